"""Requests that need nothing of Litestar's routes pass them by; all that is asked is still asked."""

from typing import Any

import pytest

pytest.importorskip("litestar")

from litestar import Request
from litestar.config.allowed_hosts import AllowedHostsConfig
from litestar.config.compression import CompressionConfig
from litestar.config.csrf import CSRFConfig
from litestar.datastructures import ResponseHeader
from litestar.exceptions import NotAuthorizedException
from litestar.routes import HTTPRoute

OPEN = {"auth": {"anonymous": True}}
KEY = {"authorization": "Bearer any"}


@pytest.fixture
def routed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths for which a route made a request and a response."""
    paths: list[str] = []
    make = HTTPRoute._get_response_for_request

    async def note(self: HTTPRoute, scope: Any, *args: Any, **options: Any) -> Any:
        paths.append(scope["path"])
        return await make(self, scope, *args, **options)

    monkeypatch.setattr(HTTPRoute, "_get_response_for_request", note)
    return paths


def refuse(*_: Any) -> None:
    raise NotAuthorizedException("log in first")


class Count:
    """Middleware."""

    seen = 0

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        Count.seen += 1
        await self.app(scope, receive, send)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"middleware": [Count]},
        {"csrf_config": CSRFConfig(secret="s" * 32)},
        {"compression_config": CompressionConfig(backend="gzip", exclude_opt_key="plain")},
    ],
)
async def test_routes_are_passed_by(make: Any, routed: list[str], options: dict[str, Any]) -> None:
    before, app = Count.seen, make(settings=OPEN, litestar=options)
    assert (await app.ask(headers=KEY))[0].status == 200
    assert routed == []
    assert Count.seen == before + ("middleware" in options)


@pytest.mark.parametrize(
    "options",
    [
        {"before_request": lambda request: None},
        {"after_request": lambda response: response},
        {"after_response": lambda request: None},
        {"response_headers": [ResponseHeader(name="x-shop", value="open")]},
        {"allowed_hosts": AllowedHostsConfig(allowed_hosts=["*.example", "testserver", "127.0.0.1", "localhost"])},
    ],
)
async def test_routes_are_asked(make: Any, routed: list[str], options: dict[str, Any]) -> None:
    head, _ = await make(settings=OPEN, litestar=options).ask(headers={"host": "shop.example"})
    assert (head.status, len(routed)) == (200, 1)


async def test_guards_of_the_application_are_asked(make: Any, routed: list[str]) -> None:
    assert (await make(settings=OPEN, litestar={"guards": [refuse]}).ask())[0].status == 401
    assert (await make(settings=OPEN, guards=[refuse]).ask())[0].status == 401
    assert routed == []


async def test_unknown_hosts_are_refused(make: Any) -> None:
    hosts = AllowedHostsConfig(allowed_hosts=["shop.example"])
    head, _ = await make(settings=OPEN, litestar={"allowed_hosts": hosts}).ask(headers={"host": "elsewhere.example"})
    assert head.status == 400


async def test_tracers_that_replace_the_routes_see_the_requests(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    handle = HTTPRoute.handle

    async def traced(self: HTTPRoute, scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["path"])
        await handle(self, scope, receive, send)

    monkeypatch.setattr(HTTPRoute, "handle", traced)
    assert (await make(settings=OPEN).ask())[0].status == 200
    assert seen == ["/llm/v1/chat/completions"]


async def test_a_form_that_a_middleware_read_is_closed_by_the_route(make: Any, routed: list[str]) -> None:
    class Reads:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await Request(scope, receive, send).form()
            await self.app(scope, receive, send)

    app = make(settings=OPEN, litestar={"middleware": [Reads]})
    await app.ask(headers={"content-type": "application/x-www-form-urlencoded"})
    assert len(routed) == 1
