"""Drives an ASGI app as a server would, with the test deciding what the client does and when.

Spec: ASGI, HTTP part and "Lifespan Protocol".
"""

import asyncio
import json as jsonlib
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote

from asgi_llm.types import ASGIApp, Headers, Message, Scope

from .exchange import AfterDisconnect, Exchange
from .headers import Pairs, encode
from .patience import PATIENCE, News, within

__all__ = ["ASGIDriver"]


class ASGIDriver:
    """Sends requests to an ASGI app, without a server.

    ``scope`` is laid over the scope of every request. ``after_disconnect`` says what the app's ``send`` does once the
    client has gone, since servers differ.
    """

    def __init__(
        self, app: ASGIApp, *, scope: Mapping[str, Any] | None = None, after_disconnect: AfterDisconnect = "return"
    ) -> None:
        self._app = app
        self._scope = dict(scope or {})
        self._after_disconnect = after_disconnect
        self._state: dict[str, Any] | None = None
        self._exchanges: list[Exchange] = []

    async def request(
        self,
        method: str = "GET",
        path: str = "/",
        headers: Pairs = (),
        body: bytes | Iterable[bytes] = b"",
        *,
        json: Any = None,
        hold_body: bool = False,
        scope: Mapping[str, Any] | None = None,
        after_disconnect: AfterDisconnect | None = None,
    ) -> Exchange:
        """Start a request and return at once.

        Args:
            method: the HTTP method.
            path: percent-encoded, with the query if there is one.
            headers: names and values; ``host`` and ``content-length`` are added where they are missing.
            body: whole, or in the pieces in which the app is to receive it.
            json: a value to send as the body instead, with its content type.
            hold_body: deliver no body until ``Exchange.send_body``.
            scope: laid over the scope (``root_path``, ``client``, ``extensions``, ...).
            after_disconnect: replaces the driver's.
        """
        pairs = encode(headers)
        if json is not None:
            body = jsonlib.dumps(json).encode()
            _add(pairs, b"content-type", b"application/json")
        pieces = [body] if isinstance(body, bytes) else list(body)
        _add(pairs, b"host", b"testserver")
        if not hold_body and (length := sum(map(len, pieces))):
            _add(pairs, b"content-length", b"%d" % length)
        rule = after_disconnect or self._after_disconnect
        whole = self._request_scope(method, path, pairs, rule) | self._scope | dict(scope or {})
        exchange = Exchange(self._app, whole, pieces, held=hold_body, after_disconnect=rule)
        self._exchanges.append(exchange)
        return exchange

    @asynccontextmanager
    async def lifespan(self, *, required: bool = True, seconds: float = PATIENCE) -> AsyncIterator[None]:
        """The app's startup and, at the end, its shutdown; requests in between get the app's lifespan state.

        Requests still running at the end are cancelled first. With ``required=False`` an app that raises on the
        lifespan scope is driven without one, as servers do.

        Raises:
            AssertionError: startup or shutdown failed, or took longer than so many seconds.
        """
        lifespan = _Lifespan(self._app)
        self._state = lifespan.state if await lifespan.startup(required, seconds) else None
        try:
            yield
        finally:
            await self.aclose()
            self._state = None
            await lifespan.shutdown(seconds)

    async def aclose(self) -> None:
        """End the requests that are still running."""
        exchanges, self._exchanges = self._exchanges, []
        for exchange in exchanges:
            await exchange.aclose()

    def _request_scope(self, method: str, path: str, headers: Headers, rule: AfterDisconnect) -> dict[str, Any]:
        raw_path, _, query = path.partition("?")
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4" if rule == "raise" else "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(raw_path),
            "raw_path": raw_path.encode("ascii"),
            "query_string": query.encode("ascii"),
            "root_path": "",
            "headers": headers,
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 80),
        }
        if self._state is not None:
            scope["state"] = self._state.copy()
        return scope


class _Lifespan:
    """The lifespan protocol, server's side."""

    def __init__(self, app: ASGIApp) -> None:
        self.state: dict[str, Any] = {}
        self._told: deque[Message] = deque()
        self._replies: deque[Message] = deque()
        self._changed = News()
        scope: Scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        self._task = asyncio.get_running_loop().create_task(self._run(app, scope))
        self._task.add_done_callback(lambda _task: self._changed.ring())

    async def startup(self, required: bool, seconds: float) -> bool:
        """Whether the app takes part."""
        if await self._ask("startup", seconds):
            return True
        if required:
            self._task.result()
            raise AssertionError("the app returned without lifespan.startup.complete")
        self._task.exception()
        return False

    async def shutdown(self, seconds: float) -> None:
        if self._task.done():
            return
        await self._ask("shutdown", seconds)
        await within(asyncio.wait([self._task]), seconds, "waiting for the app to return from its lifespan")
        self._task.result()

    async def _ask(self, step: str, seconds: float) -> bool:
        """Whether the app did the step; it may end without a word instead."""
        self._told.append({"type": f"lifespan.{step}"})
        self._changed.ring()
        try:
            reply = await within(self._reply(), seconds, f"waiting for lifespan.{step}.complete")
        except AssertionError:
            await self._stop(seconds)
            raise
        if reply is not None and (kind := reply.get("type")) != f"lifespan.{step}.complete":
            await self._stop(seconds)
            failed = kind == f"lifespan.{step}.failed"
            raise AssertionError(f"{kind}: {reply.get('message', '')}" if failed else f"illegal ASGI: {kind} in {step}")
        return reply is not None

    async def _reply(self) -> Message | None:
        await self._changed.until(lambda: bool(self._replies) or self._task.done())
        return self._replies.popleft() if self._replies else None

    async def _stop(self, seconds: float) -> None:
        self._task.cancel()
        await asyncio.wait([self._task], timeout=seconds)

    async def _run(self, app: ASGIApp, scope: Scope) -> None:
        await app(scope, self._receive, self._send)

    async def _receive(self) -> Message:
        await self._changed.until(lambda: bool(self._told))
        return self._told.popleft()

    async def _send(self, message: Message) -> None:
        self._replies.append(message)
        self._changed.ring()


def _add(headers: Headers, name: bytes, value: bytes) -> None:
    if all(given != name for given, _ in headers):
        headers.append((name, value))
