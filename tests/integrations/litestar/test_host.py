"""What else an application has: checks for forged requests, compression, logging, hooks, headers of its own."""

import gzip
from typing import Any

import pytest

pytest.importorskip("litestar")

from litestar import Request, Response, get
from litestar.config.compression import CompressionConfig
from litestar.config.cors import CORSConfig
from litestar.config.csrf import CSRFConfig
from litestar.connection import ASGIConnection
from litestar.datastructures import CacheControlHeader, Cookie
from litestar.logging import LoggingConfig
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult
from litestar.middleware.logging import LoggingMiddlewareConfig

from asgi_llm.testing import ScriptedUpstream, chat_text

OPEN = {"auth": {"anonymous": True}}
LONG = {"model": "echo", "messages": [{"role": "user", "content": "a long text " * 200}]}
CHAT = "/llm/v1/chat/completions"


class CookieUser(AbstractAuthenticationMiddleware):
    """Stands for a session."""

    async def authenticate_request(self, connection: ASGIConnection[Any, Any, Any, Any]) -> AuthenticationResult:
        return AuthenticationResult(user=connection.cookies.get("user"), auth=None)


class TestForgedRequests:
    @pytest.fixture
    def app(self, make: Any) -> Any:
        csrf = CSRFConfig(secret="s" * 32)
        litestar = {"csrf_config": csrf, "middleware": [CookieUser]}
        return make(settings={"auth": {"keys": [{"key": "k-1", "subject": "ci"}]}}, litestar=litestar)

    @pytest.mark.parametrize("key", [{"authorization": "Bearer k-1"}, {"x-api-key": "k-1"}])
    async def test_a_program_with_a_key_needs_no_token(self, app: Any, key: dict[str, str]) -> None:
        assert (await app.who(key)).subject == "ci"

    @pytest.mark.parametrize("basic", [{}, {"authorization": "Basic YTpi"}])
    async def test_what_a_browser_sends_on_its_own_does(self, app: Any, basic: dict[str, str]) -> None:
        """Told in the caller's dialect."""
        head, answer = await app.ask("messages", {"cookie": "user=ann", **basic})
        assert (head.status, answer["type"], answer["error"]["type"]) == (403, "error", "permission_error")
        assert "CSRF" in answer["error"]["message"]
        assert app.settled == []

    async def test_a_page_of_the_application_sends_its_token(self, app: Any) -> None:
        head, _ = await app.send("GET", "/llm/v1/models", {"cookie": "user=ann"})
        cookie = head.header("set-cookie").partition(";")[0]
        headers = {"cookie": f"user=ann; {cookie}", "x-csrftoken": cookie.partition("=")[2]}
        assert (await app.who(headers)).subject == "ann"

    @pytest.mark.parametrize(("decided", "status"), [(True, 200), (False, 403)])
    async def test_opt_decides_for_all(self, make: Any, decided: bool, status: int) -> None:
        litestar = {"csrf_config": CSRFConfig(secret="s" * 32)}
        app = make(settings=OPEN, litestar=litestar, opt={"exclude_from_csrf": decided})
        assert (await app.ask(headers={"authorization": "Bearer x"} if not decided else None))[0].status == status

    async def test_a_key_of_another_name(self, make: Any) -> None:
        litestar = {"csrf_config": CSRFConfig(secret="s" * 32, exclude_from_csrf_key="no_csrf")}
        app = make(settings=OPEN, litestar=litestar)
        assert (await app.ask(headers={"authorization": "Bearer x"}))[0].status == 200
        assert (await app.ask())[0].status == 403


@pytest.mark.parametrize("key", [None, "plain"])
@pytest.mark.parametrize("stream", [False, True])
async def test_answers_are_not_compressed_but_the_applications_are(make: Any, stream: bool, key: str | None) -> None:
    @get("/page")
    async def page() -> str:
        return "a page " * 200

    config = CompressionConfig(backend="gzip", exclude_opt_key=key)
    app = make(settings=OPEN, handlers=[page], litestar={"compression_config": config})
    exchange = await app.driver.request("POST", CHAT, {"accept-encoding": "gzip"}, json={**LONG, "stream": stream})
    assert (await exchange.start()).header("content-encoding") is None
    assert b"a long text" in await exchange.body() or stream
    head, body = await app.send("GET", "/page", {"accept-encoding": "gzip"})
    assert head.header("content-encoding") == "gzip"
    assert gzip.decompress(body).startswith(b"a page")
    assert config.exclude_opt_key == key


async def test_a_body_that_a_middleware_has_read_is_still_there(make: Any) -> None:
    """Litestar's logging middleware reads it to log it. Upstream it is the same, byte for byte."""
    raw = b' {"messages" :[{"role":"user","content":"hi"}],  "model":"m","stream":false} '
    async with ScriptedUpstream([chat_text("Hello")]) as upstream:
        target = {"provider": "openai_compatible", "base_url": f"{upstream.url}/v1"}
        litestar = {"middleware": [LoggingMiddlewareConfig().middleware], "logging_config": LoggingConfig()}
        app = make(settings={**OPEN, "targets": {"up": target}}, litestar=litestar)
        async with app.driver.lifespan():
            headers = {"content-type": "application/json"}
            exchange = await app.driver.request("POST", CHAT, headers, [raw[:20], raw[20:]])
            assert (await exchange.json())["choices"][0]["message"]["content"] == "Hello"
            await exchange.finished()
        assert upstream.requests[0].body == raw
    assert [item.outcome for item in app.settled] == ["ok"]


async def test_the_gateways_own_limit_on_bodies_counts(make: Any) -> None:
    """Not Litestar's ten megabytes, which are meant for forms."""
    app = make(settings={**OPEN, "limits": {"body": 12_000_000}})
    for size, status in ((11_000_000, 200), (13_000_000, 413)):
        body = {**LONG, "messages": [{"role": "user", "content": "x" * size}]}
        exchange = await app.driver.request("POST", CHAT, json=body)
        assert (await exchange.start()).status == status
        answer = await exchange.json()
        assert status == 200 or answer["error"]["code"] == "request_too_large"


async def test_hooks_and_headers_of_the_application(make: Any) -> None:
    """Layers and hooks add to the answer. What belongs to its body is not theirs to say."""
    seen: list[str] = []

    async def before_request(request: Request[Any, Any, Any]) -> None:
        seen.append(f"before {request.url.path}")

    async def after_request(response: Response[Any]) -> Response[Any]:
        response.headers["x-shop"] = "open"
        response.headers["Content-Type"] = "text/shop"
        response.set_cookie("visited", "yes")
        return response

    async def after_response(request: Request[Any, Any, Any]) -> None:
        seen.append(f"after {request.url.path}")

    litestar = {
        "before_request": before_request,
        "after_request": after_request,
        "after_response": after_response,
        "response_headers": {"x-layer": "application"},
        "response_cookies": [Cookie(key="layer", value="one")],
        "cache_control": CacheControlHeader(no_store=True),
    }
    head, answer = await make(settings=OPEN, litestar=litestar).ask()
    assert head.status == 200
    assert answer["choices"][0]["message"]["content"] == "hi"
    assert (head.header("x-shop"), head.header("x-layer")) == ("open", "application")
    assert (head.header("content-type"), head.header("cache-control")) == ("application/json", "no-store")
    cookies = [value.split(b";")[0] for name, value in head.headers if name == b"set-cookie"]
    assert sorted(cookies) == [b"layer=one", b"visited=yes"]
    assert seen == [f"before {CHAT}", f"after {CHAT}"]


async def test_pages_of_other_origins_may_ask_where_the_application_says_so(make: Any) -> None:
    app = make(settings=OPEN, litestar={"cors_config": CORSConfig(allow_origins=["https://shop.example"])})
    headers = {"origin": "https://shop.example", "access-control-request-method": "POST"}
    head, _ = await app.send("OPTIONS", CHAT, headers)
    assert head.status == 204
    assert head.header("access-control-allow-origin") == "https://shop.example"
    head, _ = await app.ask(headers={"origin": "https://shop.example"})
    assert (head.status, head.header("access-control-allow-origin")) == (200, "https://shop.example")
