"""WebSockets below the prefix: taken where the gateway is told to, and else denied so that clients go on over HTTP."""

from typing import Any

import pytest

from asgi_llm.testing.patience import within


async def shaken(app: Any, path: str) -> Any:
    """What an application says first to a handshake at ``path``; the client leaves after that."""
    messages: list[Any] = [{"type": "websocket.connect"}]
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop() if messages else {"type": "websocket.disconnect", "code": 1001}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}},
    }
    await within(app(scope, receive, send), 60, "a handshake")
    return sent[0]


@pytest.mark.parametrize("taken", [False, True])
async def test_what_a_handshake_is_told(way: Any, taken: bool) -> None:
    if way.wsgi:
        pytest.skip("WSGI has no WebSockets")
    tree = {
        "targets": {"echo": {"provider": "echo"}},
        "auth": {"anonymous": True},
        "responses": {"stateful": True, "websocket": taken},
    }
    async with way(tree).opened() as mount:
        for path in ("/v1/responses", "/responses", "/openai/v1/responses", "/v1/chat/completions", "/v1/responses/x"):
            first = await shaken(mount.app, mount.prefix + path)
            if taken and way.sockets and path.endswith("/responses"):
                assert first["type"] == "websocket.accept", path
            else:
                assert (first["type"], first.get("status")) == ("websocket.http.response.start", 426), path
