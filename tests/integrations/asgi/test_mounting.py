"""Below any path, beside any application, with a lifespan or without, in one event loop after another."""

import asyncio
import json
import socket
from typing import Any

import pytest

from asgi_llm import Exchange, Gateway, LLMMiddleware
from asgi_llm.testing import ASGIDriver, no_leaks

CHAT = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
ANSWER = b'{"object":"chat.completion","choices":[]}'
OPEN: dict[str, Any] = {"targets": {"echo": {"provider": "echo"}}, "auth": {"anonymous": True}}


async def site(scope: Any, receive: Any, send: Any) -> None:
    """Knows HTTP only, and says what it was asked for."""
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    body = json.dumps({"path": scope["path"], "root_path": scope.get("root_path", "")}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def call(app: Any, path: str, **scope: Any) -> Any:
    exchange = await ASGIDriver(app).request("POST", path, json=CHAT, scope=scope)
    answer = await exchange.json()
    await exchange.finished()
    return answer


def mounted(app: Any, prefix: str, *, strip: bool) -> Any:
    """As hosts mount: with the path left whole, as the specification has it, or with the prefix taken out of it."""

    async def host(scope: Any, receive: Any, send: Any) -> None:
        root = scope.get("root_path", "") + prefix
        path = scope["path"].removeprefix(root) if strip else scope["path"]
        await app({**scope, "root_path": root, "path": path}, receive, send)

    return host


@pytest.mark.parametrize("strip", [False, True], ids=["whole", "stripped"])
@pytest.mark.parametrize("prefix", ["/llm", "/a/b", "/v1", "/v1/chat"])
async def test_the_application_alone_below_any_mount(prefix: str, strip: bool) -> None:
    app = mounted(Gateway(OPEN).asgi, prefix, strip=strip)
    for path in ("/v1/chat/completions", "/chat/completions", "/openai/v1/chat/completions"):
        if strip and path.startswith(prefix):
            continue  # nobody could tell what was meant
        assert (await call(app, prefix + path))["object"] == "chat.completion", path
    assert (await call(app, f"{prefix}/v1/nothing"))["error"]["code"] == "unknown_endpoint"


@pytest.mark.parametrize("strip", [False, True], ids=["whole", "stripped"])
@pytest.mark.parametrize("root_path", ["", "/", "/api", "/api/", "/ll"])
async def test_the_middleware_below_any_root_path(root_path: str, strip: bool) -> None:
    app = LLMMiddleware(site, Gateway(OPEN), prefix="/llm")
    base = "" if strip else root_path.rstrip("/")
    assert (await call(app, f"{base}/llm/v1/chat/completions", root_path=root_path))["object"] == "chat.completion"
    assert (await call(app, f"{base}/llmfoo", root_path=root_path)) == {
        "path": f"{base}/llmfoo",
        "root_path": root_path,
    }


async def test_a_server_that_tells_no_root_path() -> None:
    """The specification lets it leave the key out."""

    async def server(scope: Any, receive: Any, send: Any) -> None:
        bare = {
            key: value for key, value in scope.items() if key not in ("root_path", "raw_path", "extensions", "state")
        }
        await LLMMiddleware(site, Gateway(OPEN), prefix="/llm")(bare, receive, send)

    assert (await call(server, "/llm/v1/chat/completions"))["object"] == "chat.completion"
    assert (await call(server, "/about"))["path"] == "/about"


async def test_two_gateways_in_front_of_one_application() -> None:
    inner = LLMMiddleware(site, Gateway(OPEN), prefix="/two")
    app = LLMMiddleware(inner, Gateway(OPEN), prefix="/one")
    for path in ("/one", "/two"):
        assert (await call(app, f"{path}/v1/chat/completions"))["object"] == "chat.completion"
    assert (await call(app, "/three"))["path"] == "/three"


async def test_an_application_that_knows_no_lifespan_is_none_the_worse() -> None:
    """Servers go on without one when the application refuses it. The gateway starts with its first request."""
    settled: list[Exchange] = []
    gateway = Gateway(OPEN, on_settled=settled.append)
    driver = ASGIDriver(LLMMiddleware(site, gateway, prefix="/llm"))
    async with no_leaks():
        async with driver.lifespan(required=False):
            exchange = await driver.request("POST", "/llm/v1/chat/completions", json=CHAT)
            assert (await exchange.start()).status == 200
            await exchange.finished()
        await gateway.aclose()
    assert [item.outcome for item in settled] == ["ok"]


async def test_an_application_that_must_not_be_asked() -> None:
    gateway = Gateway(OPEN)
    driver = ASGIDriver(LLMMiddleware(site, gateway, prefix="/llm", forward_lifespan=False))
    async with no_leaks(), driver.lifespan():
        assert gateway.runtime().users == 1
    assert gateway._runtimes == {}


def test_one_event_loop_after_another() -> None:
    """Without any lifespan, and with a connection to the upstream that is open when the loop ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    target = {"provider": "openai_compatible", "base_url": f"http://127.0.0.1:{listener.getsockname()[1]}/v1"}
    app = LLMMiddleware(site, Gateway({**OPEN, "targets": {"up": target}}), prefix="/llm")

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(ANSWER)
            writer.write(head + ANSWER)
            await reader.read()  # it is the gateway that closes the connection
        finally:
            writer.close()

    async def day() -> Any:
        server = await asyncio.start_server(upstream, sock=listener.dup())
        try:
            return await call(app, "/llm/v1/chat/completions")
        finally:
            server.close()

    with listener:
        for _ in range(3):
            assert asyncio.run(day())["object"] == "chat.completion"
