"""WebSockets are not spoken; clients that try one first are told so in the way that makes them go on over HTTP."""

from asgi_llm.types import Receive, Scope, Send

__all__ = ["refuse_websocket"]


async def refuse_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """Denies the handshake with 426 where the server can send a status (ASGI extension ``websocket.http.response``);
    coding agents that get this fall back to event streams at once, any other answer makes them try again."""
    await receive()
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": 1000})
        return
    body = b"WebSocket is not supported here; use HTTP."
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "websocket.http.response.start", "status": 426, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})
