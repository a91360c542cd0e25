"""The Responses API over WebSockets: each ``response.create`` is a request of its own, and takes the way of any other.

Its events are sent as messages. There is one response at a time, as the API has it; what one that is not kept said is
remembered for the next as long as the connection lasts.

OpenAI Responses API, "WebSocket mode"; Open Responses, "WebSocket Transport". Where it is not switched on, clients that
try it first are told so in the way that makes them go on over HTTP.
"""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Raw, Struct

from asgi_llm.dialects.registry import DIALECTS
from asgi_llm.errors import AsgiLLMError, ClientError, Kind
from asgi_llm.history.edit import edited
from asgi_llm.history.local import LOCAL_KEY, Local, Room
from asgi_llm.pipeline.admit import identify
from asgi_llm.pipeline.enforce import check_endpoint
from asgi_llm.runtime import Runtime
from asgi_llm.types import ASGIApp, Headers, Receive, Scope, Send

from .caller import ASGICaller
from .turn import Turn

__all__ = ["refuse_websocket", "serve_websocket"]

_WAITING = 16
"""Messages that may wait for the response before them to end."""
_OWN = frozenset({b"accept", b"connection", b"content-encoding", b"content-length", b"content-type", b"expect",
                  b"transfer-encoding", b"upgrade"})  # fmt: skip
"""Headers of the handshake that say nothing about the requests that follow it."""
_JSON = (b"content-type", b"application/json")
_TRANSPORT = ("type", "generate", "stream_id", "stream_options")
"""Members of a message that are about it, and not about the response."""


class _Frame(Struct):
    type: str = ""
    generate: bool | None = None
    background: bool | None = None
    previous_response_id: Any = None
    input: Raw = Raw(b"null")


_frame = msgspec.json.Decoder(_Frame)


async def refuse_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """Denies the handshake with 426: coding agents that get this fall back to event streams at once, any other answer
    makes them try again."""
    await receive()
    await _deny(scope, send, 426, b"text/plain", b"WebSocket is not supported here; use HTTP.")


async def serve_websocket(app: ASGIApp, runtime: Runtime, scope: Scope, receive: Receive, send: Send) -> None:
    """Serves one connection by asking ``app`` each request that comes through it."""
    await receive()
    dialect = DIALECTS["responses"]
    try:
        _check_origin(scope)
        caller = ASGICaller(runtime, scope, receive, send)
        check_endpoint(runtime, await identify(runtime, caller), "responses", dialect)
    except AsgiLLMError as error:
        status, body = dialect.encode_error(error, runtime.new_id())
        await _deny(scope, send, status, b"application/json", body)
        return
    await send({"type": "websocket.accept"})
    await _Connection(app, runtime, scope, receive, send).serve()


async def _deny(scope: Scope, send: Send, status: int, content_type: bytes, body: bytes) -> None:
    """Where the server can send a status (ASGI extension ``websocket.http.response``), with that one."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": 1000 if status == 426 else 1008})
        return
    headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body))]
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


def _check_origin(scope: Scope) -> None:
    """Browsers let any page open a WebSocket, with the cookies of whom it connects to, and read what comes back.

    Raises:
        ClientError: a page of another origin asks.
    """
    fields = dict(scope["headers"])
    origin = fields.get(b"origin")
    if origin is not None and urlsplit(origin.decode("latin-1")).netloc != fields.get(b"host", b"").decode("latin-1"):
        raise ClientError("pages of other origins may not connect", code="origin_not_allowed", kind=Kind.PERMISSION)


class _Connection:
    __slots__ = ("_app", "_frames", "_left", "_local", "_receive", "_runtime", "_scope", "_send")

    def __init__(self, app: ASGIApp, runtime: Runtime, scope: Scope, receive: Receive, send: Send) -> None:
        self._app = app
        self._runtime = runtime
        self._receive = receive
        self._send = send
        self._left = asyncio.Event()
        self._frames: asyncio.Queue[bytes | None] = asyncio.Queue()
        history = None if runtime.history is None else runtime.history.history
        room = Room(0) if history is None else history.room
        self._local = Local(runtime.blueprint.settings.responses.max_history, room)
        headers: Headers = [
            pair for pair in scope["headers"] if pair[0] not in _OWN and not pair[0].startswith(b"sec-websocket-")
        ]
        self._scope: Scope = {
            **{name: value for name, value in scope.items() if name not in ("subprotocols", "extensions")},
            "type": "http",
            "method": "POST",
            "http_version": "1.1",
            "scheme": "https" if scope.get("scheme") == "wss" else "http",
            "headers": [*headers, _JSON],
            LOCAL_KEY: self._local,
        }

    async def serve(self) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._runtime.blueprint.settings.responses.websocket_lifetime
        reader = loop.create_task(self._read(), name="asgi-llm websocket")
        try:
            while True:
                try:
                    frame = await asyncio.wait_for(self._frames.get(), max(0.0, end - loop.time()))
                except TimeoutError:
                    await self._close(_problem("websocket_connection_limit_reached", "this connection is too old"))
                    return
                if frame is None or self._left.is_set():
                    return
                try:
                    await self._answer(frame)
                except AsgiLLMError as error:
                    await self._refuse(error)
        except OSError:
            return  # it left while it was told something
        finally:
            reader.cancel()
            self._left.set()
            self._local.clear()

    async def _read(self) -> None:
        """Hears the other end, also while it is answered."""
        try:
            while (message := await self._receive())["type"] == "websocket.receive":
                text = message.get("text")
                data = text.encode() if text is not None else message.get("bytes") or b""
                if self._frames.qsize() >= _WAITING:
                    await self._close(_problem("too_many_messages", "too many messages wait for their turn"))
                    return
                self._frames.put_nowait(data)
        except OSError:
            return  # it left while it was told something
        finally:
            self._left.set()
            self._frames.put_nowait(None)

    async def _answer(self, frame: bytes) -> None:
        """
        Raises:
            ClientError: it is nothing that may be asked here.
        """
        if len(frame) > self._runtime.blueprint.settings.limits.body:
            raise ClientError("the message is too large", code="request_too_large", kind=Kind.TOO_LARGE)
        try:
            said = _frame.decode(frame)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise ClientError("the message is no JSON object that is understood here", code="invalid_json") from None
        if said.type == "response.steer":
            await self._say(_not_steered(said))
            return
        if said.type != "response.create":
            raise ClientError(
                f'messages of the type "{said.type[:100]}" are not understood here; response.create is',
                code="unknown_message",
                param="type",
            )
        if said.background:
            raise ClientError("background is for requests over HTTP", code="unsupported_parameter", param="background")
        self._local.warming = said.generate is False
        turn = Turn(
            edited(frame, {"stream": b"true"}, _TRANSPORT),
            self._left,
            self._say,
            self._runtime.blueprint.settings.limits.answer,
        )
        await self._app(dict(self._scope), turn.receive, turn.send)
        if turn.failed and isinstance(said.previous_response_id, str):
            self._local.forget(said.previous_response_id)

    async def _say(self, event: bytes) -> None:
        await self._send({"type": "websocket.send", "text": event.decode("utf-8", "replace")})

    async def _refuse(self, error: AsgiLLMError) -> None:
        status, body = DIALECTS["responses"].encode_error(error, self._runtime.new_id())
        await self._say(msgspec.json.encode({"type": "error", "status": status, **msgspec.json.decode(body)}))

    async def _close(self, error: AsgiLLMError) -> None:
        await self._refuse(error)
        await self._send({"type": "websocket.close", "code": 1000})


def _problem(code: str, message: str) -> ClientError:
    return ClientError(f"{message}; open a new one", code=code)


def _not_steered(said: _Frame) -> bytes:
    """A response that has begun goes on as it is; what was to change it comes back, to be asked next."""
    problem = {
        "type": "invalid_request_error",
        "code": "steering_not_supported",
        "message": "responses cannot be steered here",
    }
    steer = {"previous_response_id": said.previous_response_id, "input": said.input}
    return msgspec.json.encode(
        {"type": "response.steer.failed", "sequence_number": 0, "error": problem, "steer": steer}
    )
