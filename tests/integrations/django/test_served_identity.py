"""Each way to know a caller, on a real server: who comes in, with which roles, and what those open."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.test import Client, RequestFactory

from asgi_llm import Identity
from asgi_llm_django import allm_client, llm_client

TOKEN = "a" * 32
RULES = [
    {"models": ["for-editors"], "roles": ["Editors"]},
    {"models": ["for-viewers"], "roles": ["auth.view_user"]},
    {"models": ["for-staff"], "roles": ["staff"]},
]
SETTINGS: dict[str, Any] = {"auth": {}, "access": {"rules": RULES}, "roles": ["groups", "auth.view_user"]}


def by_header(request: Any) -> Any:
    """One of the project's own."""
    return User.objects.filter(username=request.headers.get("authorization", "").removeprefix("Bearer ")).first()


def by_framework() -> Any:
    authentication = pytest.importorskip("rest_framework.authentication")

    class Bearer(authentication.BaseAuthentication):  # type: ignore[name-defined,misc]  # it may not be installed
        def authenticate(self, request: Any) -> Any:
            user = by_header(request)
            return None if user is None else (user, None)

        def authenticate_header(self, _request: Any) -> str:
            return "Bearer"

    return Bearer


def by_ninja() -> Any:
    security = pytest.importorskip("ninja.security")

    class Bearer(security.HttpBearer):  # type: ignore[name-defined,misc]  # it may not be installed
        def authenticate(self, request: Any, _token: str) -> Any:
            return by_header(request)

    return Bearer()


SOURCES: dict[str, Any] = {
    "session": lambda: "session",
    "rest_framework": by_framework,
    "ninja": by_ninja,
    "function": lambda: by_header,
}


@pytest.fixture
def people() -> Iterator[dict[str, dict[str, str]]]:
    """The headers of a browser of each."""
    found = {}
    for name in ("zoe", "yan"):
        user = User.objects.create(username=name)
        if name == "zoe":
            user.groups.add(Group.objects.create(name="Editors"), Group.objects.create(name="staff"))
            user.user_permissions.add(Permission.objects.get(codename="view_user"))
        client = Client()
        client.force_login(user)
        found[name] = {"cookie": f"sessionid={client.cookies['sessionid'].value}; csrftoken={TOKEN}"}
    connection.close()
    yield found
    User.objects.filter(username__in=found).delete()
    Group.objects.all().delete()
    connection.close()


@pytest.mark.parametrize("source", SOURCES)
async def test_who_comes_in_and_what_for(
    source: str, way: str, serve: Any, configured: Any, people: dict[str, dict[str, str]], settled: list[Any]
) -> None:
    configured({**SETTINGS, "identity": SOURCES[source]()})
    async with serve(way) as url, httpx.AsyncClient(base_url=f"{url}/llm/v1", trust_env=False, timeout=30) as client:

        async def asked(who: str, model: str) -> int:
            shown = {**people.get(who, {}), "x-csrftoken": TOKEN} if source == "session" else {}
            shown |= {} if source == "session" else {"authorization": f"Bearer {who}"}
            body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
            return (await client.post("/chat/completions", json=body, headers=shown)).status_code

        opened = ("for-all", "for-editors", "for-viewers", "for-staff")
        # A group cannot make its members staff by its name.
        assert [await asked("zoe", model) for model in opened] == [200, 200, 200, 403]
        assert [await asked("yan", model) for model in opened] == [200, 403, 403, 403]
        assert await asked("nobody", "for-all") == 401
        for _ in range(500):
            if len(settled) == 9:
                break
            await asyncio.sleep(0.01)
    roles = {exchange.identity.roles for exchange in settled}
    assert roles == {("Editors", "auth.view_user"), ()}


async def test_views_that_ask_for_their_user_have_the_same_roles(configured: Any, people: dict[str, Any]) -> None:
    configured(SETTINGS)
    hello = {"model": "for-editors", "messages": [{"role": "user", "content": "Hello"}]}

    def view(name: str) -> int:
        request = RequestFactory().get("/")
        request.user = User.objects.get(username=name)
        with llm_client(request) as client:
            status: int = client.post("http://llm/v1/chat/completions", json=hello).status_code
        connection.close()
        return status

    assert [await asyncio.to_thread(view, name) for name in ("zoe", "yan")] == [200, 403]
    request = RequestFactory().get("/")

    async def auser() -> User:
        return await User.objects.aget(username="zoe")

    request.auser = auser
    async with await allm_client(request) as client:
        assert (await client.post("http://llm/v1/chat/completions", json=hello)).status_code == 200


def test_what_a_function_says_of_roles_stands() -> None:
    from asgi_llm_django.roles import granted

    told = Identity(subject="x", roles=("own",))
    assert granted(told, told, ("groups", "auth.view_user")) is told
