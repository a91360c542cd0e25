"""Who calls, and who is refused: guards, dependencies, authentication middleware."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

import pytest

pytest.importorskip("litestar")

from litestar import Request, Response
from litestar.connection import ASGIConnection
from litestar.di import Provide
from litestar.exceptions import (
    HTTPException,
    NotAuthorizedException,
    PermissionDeniedException,
    TooManyRequestsException,
)
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult

from asgi_llm import Identity
from asgi_llm.identity import IDENTITY_KEY, TARGET_KEY

try:
    from litestar.params import HeaderParameter

    TOKEN: Any = HeaderParameter(name="x-token")
except ImportError:
    from litestar.params import Parameter

    TOKEN = Parameter(header="x-token")

DIALECTS = ("chat", "messages", "responses")
Connection = ASGIConnection[Any, Any, Any, Any]


async def bearer(request: Request[Any, Any, Any]) -> str:
    shown = request.headers.get("authorization", "")
    if not shown.startswith("Bearer "):
        raise NotAuthorizedException("log in first", headers={"www-authenticate": 'Bearer realm="shop"'})
    if shown == "Bearer banned":
        raise PermissionDeniedException("not you")
    return shown.removeprefix("Bearer ")


class Authentication(AbstractAuthenticationMiddleware):
    async def authenticate_request(self, connection: Connection) -> AuthenticationResult:
        return AuthenticationResult(user=await bearer(Request(connection.scope)), auth=None)


async def test_a_string_is_the_subject(make: Any) -> None:
    who = await make(identity=bearer).who({"authorization": "Bearer ann"})
    assert who == Identity(subject="ann", source="litestar")


async def test_an_identity_is_taken_as_it_is(make: Any) -> None:
    ann = Identity(subject="user:1", tenant="acme", roles=("staff",))

    def user() -> Identity:
        return ann

    assert await make(identity=user).who() == ann


@dataclass
class User:
    id: int
    email: str = "ann@example.org"


@dataclass
class Named:
    username: str


@pytest.mark.parametrize(
    ("user", "subject"), [(User(7), "7"), (Named("ann"), "ann"), ({"sub": "auth0|1", "email": "a@b"}, "auth0|1")]
)
async def test_an_object_is_known_by_its_id_or_name(make: Any, user: Any, subject: str) -> None:
    async def found() -> Any:
        return user

    assert await make(identity=found).who() == Identity(subject=subject, source="litestar")


async def test_the_application_says_how_its_user_becomes_an_identity(make: Any) -> None:
    async def user() -> User:
        return User(7)

    def to_identity(user: User) -> Identity:
        return Identity(subject=f"user:{user.id}", tenant=user.email.partition("@")[2])

    app = make(identity=Provide(user), to_identity=to_identity)
    assert await app.who() == Identity(subject="user:7", tenant="example.org")


async def test_the_user_of_an_authentication_middleware(make: Any) -> None:
    """Of the whole application, or of the gateway's paths only."""
    for app in (make(litestar={"middleware": [Authentication]}), make(middleware=[Authentication])):
        assert (await app.who({"authorization": "Bearer ann"})).subject == "ann"
        head, answer = await app.ask("messages")
        assert (head.status, answer["type"], answer["error"]["message"]) == (401, "error", "log in first")
        assert head.header("www-authenticate") == 'Bearer realm="shop"'


async def test_an_identity_that_a_middleware_put_into_the_scope(make: Any) -> None:
    ann = Identity(subject="user:1", tenant="acme")

    def outer(app: Any) -> Any:
        async def middleware(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, IDENTITY_KEY: ann}, receive, send)

        return middleware

    assert await make(litestar={"middleware": [outer]}).who() == ann
    both = make(litestar={"middleware": [Authentication, outer]})
    assert await both.who({"authorization": "Bearer bob"}) == ann


async def test_an_object_that_nothing_is_known_about_is_the_developers_mistake(
    make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def user() -> object:
        return object()

    app = make(identity=user, litestar={"debug": True})
    head, body = await app.send("POST", "/llm/v1/messages", json={})
    assert head.status == 500
    assert b"to_identity" in body


async def test_the_identitys_own_dependencies_are_injected_and_closed_before_the_first_byte(make: Any) -> None:
    seen: list[str] = []

    async def session() -> AsyncIterator[str]:
        seen.append("open")
        yield "session"
        seen.append("closed")

    async def user(session: Annotated[str, "injected"], token: Annotated[str, TOKEN]) -> str:
        return f"{token} of {session}"

    app = make(identity=user, litestar={"dependencies": {"session": Provide(session)}})
    app.gateway._blueprint.sinks += (lambda _exchange: seen.append("settled"),)
    assert (await app.who({"x-token": "ann"})).subject == "ann of session"
    assert seen == ["open", "closed", "settled"]
    head, answer = await app.ask("messages")
    assert (head.status, answer["type"]) == (400, "error")
    assert "x-token" in answer["error"]["message"]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(("key", "status", "said"), [(None, 401, "log in first"), ("banned", 403, "not you")])
async def test_a_refusal_is_told_in_the_callers_dialect(
    make: Any, dialect: str, key: str | None, status: int, said: str
) -> None:
    app = make(identity=bearer)
    head, answer = await app.ask(dialect, {"authorization": f"Bearer {key}"} if key else None)
    assert head.status == status
    assert answer["error"]["message"] == said
    assert answer.get("type") == ("error" if dialect == "messages" else None)
    kind = {401: "authentication_error", 403: "permission_error"}[status]
    assert dialect != "messages" or answer["error"]["type"] == kind
    assert head.header("x-llm-error-code") == "host_refused"
    assert head.header("www-authenticate") == ('Bearer realm="shop"' if status == 401 else None)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("layer", ["plugin", "application"])
async def test_a_guard_refuses_in_the_callers_dialect(make: Any, layer: str, dialect: str) -> None:
    def guard(connection: Connection, handler: Any) -> None:
        if connection.headers.get("x-plan") != "gold" or handler.opt["floor"] != 3:
            raise PermissionDeniedException("no plan")

    guards: dict[str, Any] = {"guards": [guard]}
    options = guards if layer == "plugin" else {"litestar": guards}
    app = make(settings={"auth": {"anonymous": True}}, opt={"floor": 3}, **options)
    head, answer = await app.ask(dialect)
    assert (head.status, answer["error"]["message"]) == (403, "no plan")
    assert answer.get("type") == ("error" if dialect == "messages" else None)
    assert (await app.ask(dialect, {"x-plan": "gold"}))[0].status == 200
    assert len(app.settled) == 1


async def test_a_refusal_reads_no_body(make: Any) -> None:
    exchange = await make(identity=bearer).driver.request("POST", "/llm/v1/chat/completions", hold_body=True)
    assert (await exchange.start()).status == 401
    await exchange.finished()


async def test_a_refusal_keeps_its_status_and_headers(make: Any) -> None:
    async def limited() -> str:
        raise TooManyRequestsException("slowly", headers={"Retry-After": "7"})

    head, answer = await make(identity=limited).ask()
    assert (head.status, head.header("retry-after"), answer["error"]["message"]) == (429, "7", "slowly")

    async def tea() -> str:
        raise HTTPException(status_code=418, detail="tea")

    head, answer = await make(identity=tea).ask("messages")
    assert (head.status, answer["error"]["message"]) == (418, "tea")


async def test_a_redirect_to_the_login_is_left_to_litestar(make: Any) -> None:
    async def to_login() -> str:
        raise HTTPException(status_code=303, detail="See Other", headers={"location": "/login"})

    head, answer = await make(identity=to_login).ask()
    assert (head.status, head.header("location"), answer["detail"]) == (303, "/login", "See Other")


async def test_what_the_application_shows_to_browsers_is_not_shown_to_programs(make: Any) -> None:
    """Handlers of the application for Litestar's own exceptions, and for statuses, do not speak for the gateway."""

    def to_login(_request: Any, _error: Any) -> Response[str]:
        return Response("<h1>log in</h1>", status_code=401, media_type="text/html")

    for key in (401, HTTPException, NotAuthorizedException):
        head, answer = await make(identity=bearer, litestar={"exception_handlers": {key: to_login}}).ask()
        assert (head.status, answer["error"]["message"]) == (401, "log in first")


async def test_handlers_of_the_applications_own_exceptions_still_decide(make: Any) -> None:
    class NoLoginError(Exception):
        pass

    class NoSeatError(PermissionDeniedException):
        pass

    def tell(_request: Any, error: Exception) -> Response[dict[str, str]]:
        return Response({"shop": type(error).__name__}, status_code=401)

    async def no_login() -> str:
        raise NoLoginError

    async def no_seat() -> str:
        raise NoSeatError

    for kind, needs in ((NoLoginError, no_login), (NoSeatError, no_seat)):
        head, answer = await make(identity=needs, litestar={"exception_handlers": {kind: tell}}).ask()
        assert (head.status, answer) == (401, {"shop": kind.__name__})


KEYS = {"auth": {"keys": [{"key": "k-1", "subject": "ci"}]}}


async def test_none_leaves_it_to_the_gateways_keys(make: Any) -> None:
    async def nobody() -> None:
        return None

    app = make(identity=nobody, settings=KEYS)
    assert (await app.who({"authorization": "Bearer k-1"})).subject == "ci"
    head, answer = await app.ask()
    assert (head.status, answer["error"]["code"]) == (401, "missing_api_key")


async def test_without_an_identity_the_gateway_decides(make: Any) -> None:
    assert (await make().ask())[0].status == 401
    assert (await make(settings=KEYS).who({"x-api-key": "k-1"})).subject == "ci"
    assert (await make(settings={"auth": {"anonymous": True}}).who()).source == "anonymous"


async def test_nothing_the_client_sends_makes_an_identity(make: Any) -> None:
    head, _ = await make().ask(headers={"asgi_llm.identity": "root", "user": "root"})
    assert head.status == 401


async def test_a_guard_may_choose_the_target(make: Any) -> None:
    def choose(connection: Connection, _handler: Any) -> None:
        connection.scope[TARGET_KEY] = "second"  # type: ignore[literal-required,typeddict-unknown-key]

    targets = {"first": {"provider": "echo", "deny": ["*"]}, "second": {"provider": "echo"}}
    tree = {"targets": targets, "default_target": "first", "auth": {"anonymous": True}}
    app = make(guards=[choose], settings=tree)
    await app.who()
    assert app.settled[-1].plan.resolution.targets == ("second",)


async def test_probes_ask_for_no_user(make: Any) -> None:
    app = make(identity=bearer)
    for path in ("/llm/health", "/llm/ready", "/llm"):
        assert (await app.send("GET", path))[0].status == 200, path
    for path in ("/llm/v1/models", "/llm/v1/models/echo"):
        for method in ("GET", "HEAD"):
            assert (await app.send(method, path))[0].status == 401, path
            assert (await app.send(method, path, {"authorization": "Bearer ann"}))[0].status == 200, path


async def test_what_cannot_be_copied_may_know_the_user(make: Any) -> None:
    """Litestar copies routers deeply; services with locks and connections cannot be."""
    import threading

    class Users:
        def __init__(self) -> None:
            self.lock = threading.Lock()

        async def current(self) -> str:
            with self.lock:
                return "ann"

    assert (await make(identity=Users().current).who()).subject == "ann"
