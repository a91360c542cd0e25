"""Who calls, as the project's users, its frameworks or functions of its own say."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.core.asgi import get_asgi_application
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import connection
from django.http import Http404
from django.test import AsyncClient, Client
from django.views.decorators.csrf import csrf_exempt

from asgi_llm import Identity, PolicyError
from asgi_llm.errors import Kind
from asgi_llm.testing import ASGIDriver
from asgi_llm_django import identity_of, intercept

PATHS = {"chat": "/llm/v1/chat/completions", "messages": "/llm/v1/messages", "responses": "/llm/v1/responses"}
BODY = {"model": "echo", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
KEYS = {"keys": [{"key": "k-1", "subject": "ci"}]}
TOKEN = "a" * 32

Ask = Callable[..., Any]


@pytest.fixture(params=["asgi", "intercept", "wsgi"])
async def ask(request: pytest.FixtureRequest, driven: Callable[[Any], ASGIDriver]) -> Ask:
    """``status, headers, answer = await ask(headers, dialect=...)``"""

    async def asgi(app: Any, method: str, path: str, headers: dict[str, str], body: Any) -> Any:
        exchange = await driven(app).request(method, path, headers, json=body)
        head = await exchange.start()
        answer = await exchange.body()
        await exchange.finished()
        return head.status, dict(head.headers), answer

    def wsgi(method: str, path: str, headers: dict[str, str], body: Any) -> Any:
        data = json.dumps(body) if body is not None else b""
        response = Client(enforce_csrf_checks=True).generic(method, path, data, "application/json", headers=headers)
        connection.close()
        found = {name.lower().encode(): value.encode() for name, value in response.headers.items()}
        return response.status_code, found, response.content

    async def ask(
        headers: dict[str, str] | None = None, dialect: str = "chat", path: str = "", method: str = ""
    ) -> Any:
        body: Any = {"model": "echo", "input": "hi"} if dialect == "responses" else BODY
        method = method or "POST"
        asked = method, path or PATHS[dialect], headers or {}, body if method == "POST" else None
        match request.param:
            case "wsgi":
                status, found, answer = await asyncio.to_thread(wsgi, *asked)
            case "intercept":
                status, found, answer = await asgi(intercept(_nothing, "/llm"), *asked)
            case _:
                status, found, answer = await asgi(get_asgi_application(), *asked)
        return status, found, json.loads(answer)

    return ask


async def _nothing(scope: Any, _receive: Any, _send: Any) -> None:
    raise AssertionError(f"{scope['path']} was let through")


@pytest.fixture
async def session() -> dict[str, str]:
    """Headers of a browser in which somebody of the staff has logged in."""
    return await asyncio.to_thread(_log_in)


def _log_in() -> dict[str, str]:
    user, _ = get_user_model().objects.get_or_create(pk=42, defaults={"username": "number 42", "is_staff": True})
    client = Client()
    client.force_login(user)
    connection.close()
    return {"cookie": f"sessionid={client.cookies['sessionid'].value}; csrftoken={TOKEN}"}


async def settlement(settled: list[Any]) -> Any:
    for _ in range(500):
        if settled:
            return settled.pop()
        await asyncio.sleep(0.01)
    raise AssertionError("nothing was settled")


class TestSession:
    async def test_who_has_logged_in_is_known(
        self, ask: Ask, session: dict[str, str], configured: Any, settled: list[Any]
    ) -> None:
        configured({"auth": {}})
        status, _, answer = await ask({**session, "x-csrftoken": TOKEN})
        assert (status, answer["choices"][0]["message"]["content"]) == (200, "hi")
        expected = Identity(subject="user:42", roles=("staff",), source="django-session")
        assert (await settlement(settled)).identity == expected

    @pytest.mark.parametrize("dialect", PATHS)
    async def test_who_has_not_is_told_so_in_the_dialect(self, ask: Ask, configured: Any, dialect: str) -> None:
        configured({"auth": {}})
        status, headers, answer = await ask(dialect=dialect)
        assert (status, headers[b"x-llm-error-code"]) == (401, b"missing_api_key")
        assert answer.get("type") == ("error" if dialect == "messages" else None)

    async def test_who_shows_a_key_is_not_known_by_the_cookie(
        self, ask: Ask, session: dict[str, str], configured: Any, settled: list[Any]
    ) -> None:
        configured({"auth": KEYS})
        assert (await ask({**session, "authorization": "Bearer k-1"}))[0] == 200
        assert (await settlement(settled)).identity.subject == "ci"
        assert (await ask({**session, "authorization": "Bearer wrong"}))[0] == 401
        assert (await ask({**session, "x-api-key": "wrong"}))[0] == 401

    async def test_probes_ask_for_nobody(self, ask: Ask, configured: Any) -> None:
        def never(_request: Any) -> None:
            raise AssertionError("asked")

        configured({"auth": {}, "identity": never})
        for path in ("/llm/health", "/llm/ready", "/llm/"):
            assert (await ask(path=path, method="GET"))[0] == 200


class TestForgery:
    """What another site can have a browser send."""

    async def test_a_request_that_only_has_the_cookie_is_refused(
        self, ask: Ask, session: dict[str, str], configured: Any
    ) -> None:
        configured({"auth": {}})
        status, headers, answer = await ask(session, "messages")
        assert (status, headers[b"x-llm-error-code"]) == (403, b"csrf_failed")
        assert answer["error"]["type"] == "permission_error"

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"x-csrftoken": TOKEN}, 200),
            ({"x-csrftoken": "b" * 32}, 403),
            ({"x-csrftoken": TOKEN, "origin": "http://evil.example"}, 403),
            ({"x-csrftoken": TOKEN, "origin": "http://testserver"}, 200),
            ({"content-type": "text/plain"}, 403),
            # A browser adds this by itself.
            ({"authorization": "Basic YW5uOnB3"}, 401),
        ],
        ids=["token", "wrong-token", "other-origin", "own-origin", "form", "basic"],
    )
    async def test_the_table(
        self, ask: Ask, session: dict[str, str], configured: Any, headers: dict[str, str], status: int
    ) -> None:
        configured({"auth": {}})
        assert (await ask({**session, **headers}))[0] == status

    async def test_reading_needs_no_token(self, ask: Ask, session: dict[str, str], configured: Any) -> None:
        configured({"auth": {}})
        assert (await ask(session, path="/llm/v1/models", method="GET"))[0] == 200

    async def test_a_function_of_the_projects_own_is_guarded_as_well(
        self, ask: Ask, session: dict[str, str], configured: Any
    ) -> None:
        """It may go by the session, too."""
        configured({"auth": {}, "identity": lambda request: request.user})
        assert (await ask(session))[0] == 403
        assert (await ask({**session, "authorization": "Basic YW5uOnB3"}))[0] == 403
        assert (await ask({**session, "x-csrftoken": TOKEN}))[0] == 200
        assert (await ask({**session, "authorization": "Bearer key"}))[0] == 200

    async def test_unless_it_says_that_it_does_not_go_by_cookies(self, ask: Ask, configured: Any) -> None:
        @csrf_exempt
        def by_certificate(request: Any) -> str:
            return "machine:" + request.META["HTTP_X_CLIENT"]

        configured({"auth": {}, "identity": by_certificate})
        assert (await ask({"x-client": "7"}))[0] == 200

    async def test_djangos_test_client_is_let_in(self, configured: Any) -> None:
        """As everywhere in Django, a test need not care for tokens."""
        configured({"auth": {}})
        client = AsyncClient()
        await client.aforce_login(await get_user_model().objects.aget(pk=42))
        answer = await client.post(PATHS["chat"], BODY, content_type="application/json")
        assert answer.json()["choices"][0]["message"]["content"] == "hi"


class TestFunctions:
    @pytest.mark.parametrize("kind", ["def", "async def", "object"])
    async def test_it_may_be_of_any_kind(self, ask: Ask, configured: Any, settled: list[Any], kind: str) -> None:
        ann = Identity(subject="user:1", tenant="acme", roles=("admin",))

        def plain(_request: Any) -> Identity:
            return ann

        async def awaited(request: Any) -> Identity:
            await get_user_model().objects.acount()
            return plain(request)

        class Asked:
            async def __call__(self, request: Any) -> Identity:
                return plain(request)

        configured({"auth": {}, "identity": {"def": plain, "async def": awaited, "object": Asked()}[kind]})
        assert (await ask({"authorization": "Bearer x"}))[0] == 200
        assert (await settlement(settled)).identity == ann

    async def test_the_first_that_knows_the_caller_decides(
        self, ask: Ask, session: dict[str, str], configured: Any, settled: list[Any]
    ) -> None:
        def by_key(request: Any) -> str | None:
            return "robot" if request.headers.get("x-api-key") == "r2" else None

        configured({"auth": KEYS, "identity": [by_key, "session"]})
        assert (await ask({"x-api-key": "r2"}))[0] == 200
        assert (await settlement(settled)).identity == Identity(subject="robot", source="django")
        assert (await ask({**session, "x-csrftoken": TOKEN}))[0] == 200
        assert (await settlement(settled)).identity.subject == "user:42"
        assert (await ask({"x-api-key": "k-1"}))[0] == 200
        assert (await settlement(settled)).identity.subject == "ci"

    @pytest.mark.parametrize(
        ("raised", "status", "said"),
        [
            (PermissionDenied("no plan"), 403, "no plan"),
            (PermissionDenied(), 403, "permission denied"),
            (Http404("no team"), 404, "no team"),
            (RequestDataTooBig(), 413, "the body is larger than the application reads (DATA_UPLOAD_MAX_MEMORY_SIZE)"),
            (PolicyError("later", kind=Kind.RATE_LIMIT, code="slow", retry_after=7), 429, "later"),
        ],
    )
    @pytest.mark.parametrize("dialect", PATHS)
    async def test_what_it_raises_is_told_in_the_dialect(
        self, ask: Ask, configured: Any, dialect: str, raised: Exception, status: int, said: str
    ) -> None:
        def refuse(_request: Any) -> None:
            raise raised

        configured({"identity": refuse})
        found, headers, answer = await ask(dialect=dialect)
        assert (found, answer["error"]["message"]) == (status, said)
        assert headers.get(b"retry-after") == (b"7" if status == 429 else None)
        assert answer.get("type") == ("error" if dialect == "messages" else None)

    async def test_it_may_choose_the_target(self, ask: Ask, configured: Any, settled: list[Any]) -> None:
        def choose(request: Any) -> str:
            request.META["asgi_llm.target"] = "second"
            return "ann"

        targets = {"first": {"provider": "echo", "deny": ["*"]}, "second": {"provider": "echo"}}
        configured({"targets": targets, "default_target": "first", "identity": choose})
        assert (await ask({"authorization": "Bearer x"}))[0] == 200
        assert (await settlement(settled)).plan.resolution.targets == ("second",)

    async def test_no_header_chooses_a_target_or_an_identity(self, ask: Ask, configured: Any) -> None:
        targets = {"first": {"provider": "echo", "deny": ["*"]}, "second": {"provider": "echo"}}
        configured({"targets": targets, "default_target": "first", "auth": {}})
        assert (await ask({"asgi_llm.identity": "root", "asgi-llm.identity": "root"}))[0] == 401
        configured({"targets": targets, "default_target": "first"})
        assert (await ask({"asgi-llm.target": "second", "asgi_llm.target": "second"}))[0] == 403

    async def test_a_credential_does_not_become_a_name(self, configured: Any) -> None:
        """It would be seen in every log."""
        configured({"identity": lambda request: request.headers["authorization"].removeprefix("Bearer ")})
        driver = ASGIDriver(intercept(_nothing))
        exchange = await driver.request("POST", PATHS["chat"], {"authorization": "Bearer sk-secret"}, json=BODY)
        with pytest.raises(TypeError, match="credential"):
            await exchange.start()


class TestRestFramework:
    @pytest.fixture(autouse=True)
    def _installed(self) -> None:
        pytest.importorskip("rest_framework")

    async def test_its_authentication_classes_are_taken(self, ask: Ask, configured: Any, settled: list[Any]) -> None:
        from rest_framework.authentication import BaseAuthentication
        from rest_framework.exceptions import AuthenticationFailed

        class Bearer(BaseAuthentication):
            def authenticate(self, request: Any) -> Any:
                key = request.headers.get("authorization", "").removeprefix("Bearer ")
                if key == "known":
                    return get_user_model()(pk=7, username="bob"), None
                if key:
                    raise AuthenticationFailed("that key is unknown")
                return None

            def authenticate_header(self, _request: Any) -> str:
                return 'Bearer realm="shop"'

        class Silent(Bearer):
            def authenticate_header(self, _request: Any) -> str:
                return ""

        configured({"auth": {}, "identity": Bearer})
        assert (await ask({"authorization": "Bearer known"}))[0] == 200
        assert (await settlement(settled)).identity == Identity(subject="user:7", source="rest_framework")
        status, headers, answer = await ask({"authorization": "Bearer unknown"}, "messages")
        assert (status, answer["error"]["message"]) == (401, "that key is unknown")
        assert headers[b"www-authenticate"] == b'Bearer realm="shop"'
        assert (await ask())[0] == 401
        configured({"auth": {}, "identity": Silent})
        assert (await ask({"authorization": "Bearer unknown"}))[0] == 403

    async def test_those_of_the_projects_settings(
        self, ask: Ask, session: dict[str, str], configured: Any, settled: list[Any]
    ) -> None:
        """By default the session is among them, and REST framework guards it itself."""
        configured({"auth": {}, "identity": "rest_framework"})
        assert (await ask(session))[0] == 403
        assert (await ask({**session, "x-csrftoken": TOKEN}))[0] == 200
        assert (await settlement(settled)).identity.subject == "user:42"


class TestNinja:
    @pytest.fixture(autouse=True)
    def _installed(self) -> None:
        pytest.importorskip("ninja")

    @pytest.mark.parametrize("asynchronous", [False, True])
    async def test_its_authentication_is_taken(
        self, ask: Ask, configured: Any, settled: list[Any], asynchronous: bool
    ) -> None:
        from ninja.errors import HttpError
        from ninja.security import HttpBearer

        def known(token: str) -> Any:
            if token == "banned":
                raise HttpError(418, "go away")
            return {"sub": "auth0|1"} if token == "known" else None

        class Plain(HttpBearer):
            def authenticate(self, _request: Any, token: str) -> Any:
                return known(token)

        class Awaited(HttpBearer):
            async def authenticate(self, _request: Any, token: str) -> Any:
                return known(token)

        configured({"auth": {}, "identity": Awaited() if asynchronous else Plain()})
        assert (await ask({"authorization": "Bearer known"}))[0] == 200
        assert (await settlement(settled)).identity == Identity(subject="auth0|1", source="ninja")
        assert (await ask({"authorization": "Bearer other"}))[0] == 401
        status, _, answer = await ask({"authorization": "Bearer banned"})
        assert (status, answer["error"]["message"]) == (418, "go away")

    async def test_its_session_is_guarded_by_itself(self, ask: Ask, session: dict[str, str], configured: Any) -> None:
        configured({"auth": {}, "identity": "ninja.security.django_auth"})
        assert (await ask(session))[0] == 403
        assert (await ask({**session, "x-csrftoken": TOKEN}))[0] == 200


class TestIdentityOf:
    def test_nobody(self) -> None:
        assert [identity_of(user) for user in (None, "", False, AnonymousUser())] == [None] * 4

    def test_users_and_other_objects(self) -> None:
        user = get_user_model()(pk=1, is_superuser=True)
        assert identity_of(user) == Identity(subject="user:1", roles=("superuser",), source="django")
        assert identity_of({"email": "a@b"}, "x") == Identity(subject="a@b", source="x")
        from django.contrib.auth.models import Group

        assert identity_of(Group(pk=3)) == Identity(subject="group:3", source="django")

    def test_what_nothing_is_known_about(self) -> None:
        with pytest.raises(TypeError, match="bool"):
            identity_of(True)
