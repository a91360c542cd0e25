"""A caller's connection: its bytes become requests, which are answered one after the other.

Bytes come to ``data_received``. Where a request may begin, they are a head like the last one (``_again``, then
``_count`` for the rest of its body), or else go to httptools (``_parse``), which is at the beginning of a request
whenever the former is tried, and never sees what was taken in that way.

The interface towards uvicorn is that of its own protocol classes: what they are made with, ``shutdown``, and the sets
of connections and tasks that it waits for when it stops.
"""

import asyncio
import contextvars
import logging
import sys
from collections import deque
from typing import Any, cast

import httptools

from asgi_llm.types import ASGIApp, Headers, Receive, Scope, Send

from .answer import plain_answer
from .cycle import BEGUN, Cycle
from .head import Head
from .scope import connection_scope, logged, request_scope, wants_websocket

__all__ = ["Protocol"]

logger = logging.getLogger("uvicorn.error")
access = logging.getLogger("uvicorn.access")

_MAX_HEAD = 65_536
"""Bytes of a head that are read after those with which it began to come."""

_PATIENCE = 60.0
"""Seconds for a first request, for the head of one, and for what is left of one that was answered before its end."""

_OFTEN = 3
"""Heads that may differ one after the other before it is not worth remembering them."""

_SHORTEST = 0.05
"""Seconds between two looks at an idle connection."""


class Protocol(asyncio.Protocol):
    """Made by uvicorn for each connection.

    Attributes:
        transport: of the connection.
        state: uvicorn's, of the whole server.
        tasks: uvicorn's, in which applications run.
        logs: somebody listens to uvicorn's access log.
        writing_paused: the caller does not read as fast as it is answered.
    """

    __slots__ = (
        "_app", "_app_state", "_asgi", "_broken", "_common", "_config", "_drained", "_eager", "_expects", "_head",
        "_headers", "_in_head", "_known", "_latest", "_limit", "_loop", "_missing", "_now", "_parser", "_patient",
        "_queue", "_reading_paused", "_refusal", "_running", "_shown", "_since", "_timer", "_unparsed", "_url", "_worth",
        "logs", "state", "tasks", "transport", "writing_paused",
    )  # fmt: skip

    def __init__(
        self, config: Any, server_state: Any, app_state: dict[str, Any], _loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        if not config.loaded:
            config.load()
        self._config = config
        self._app: ASGIApp = config.loaded_app
        self._app_state = app_state
        self._asgi = {"version": config.asgi_version, "spec_version": "2.3"}
        self._limit: int | None = config.limit_concurrency
        self._patient: float = config.timeout_keep_alive
        self._loop = _loop or asyncio.get_running_loop()
        self._now = self._loop.time
        self._eager = _EAGER and self._loop.get_task_factory() is None and not _fresh_context(config)
        self.state = server_state
        self.tasks: set[asyncio.Task[None]] = server_state.tasks
        self.logs = access.hasHandlers()
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._common: dict[str, Any] = {}
        # What arrives
        self._parser: Any = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: Headers = []
        self._shown: Headers | None = None  # to the application, in place of those
        self._in_head = self._expects = self._broken = False
        self._refusal = b""
        self._unparsed = 0
        self._head: Head | None = None
        self._known: Head | None = None  # the same, while nothing but a request can come
        self._worth = _OFTEN
        self._missing = 0  # bytes of the body of a request that httptools does not know of
        # What is answered
        self._latest: Cycle | None = None  # whose body arrives
        self._queue: deque[Cycle] = deque()
        self._running: Cycle | None = None
        self._reading_paused = self.writing_paused = False
        self._drained: asyncio.Event | None = None
        self._since = 0.0  # when there was last something to answer
        self._timer: asyncio.TimerHandle | None = None

    # What the transport tells it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.state.connections.add(self)
        self._common = connection_scope(transport, self._config.root_path)
        self._since = self._now()
        self._look_at(self._since + self._patient)

    def data_received(self, data: bytes) -> None:
        known = self._known
        if known is not None:
            self._known = None
            again = known.again(data)
            if again is not None:
                self._again(data, *again)
                return
            self._worth -= 1
        if self._missing:
            self._count(data)
        else:
            self._parse(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.state.connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._running is not None:
            self._running.lose()
        self._queue.clear()
        self.resume_writing()
        self._parser = self._known = None

    def pause_writing(self) -> None:
        self.writing_paused = True

    def resume_writing(self) -> None:
        self.writing_paused = False
        if self._drained is not None:
            self._drained.set()
            self._drained = None

    # A head like the last one, and the body behind it

    def _again(self, data: bytes, scope: Scope, start: int, length: int) -> None:
        scope["asgi"] = self._asgi.copy()
        scope["state"] = self._app_state.copy()
        self._worth = _OFTEN
        here = len(data) - start
        if here >= length:
            cycle = Cycle(self, scope, data[start : start + length])
        else:
            cycle = Cycle(self, scope, None)
            cycle.expect(False)
            cycle.take(memoryview(data)[start:])
            self._missing = length - here
        self._latest = cycle
        self._run(cycle)
        if here > length:
            self._known = None
            self._parse(data[start + length :])

    def _count(self, data: bytes) -> None:
        missing = self._missing - len(data)
        self._missing = max(missing, 0)
        latest = cast("Cycle", self._latest)
        if latest.take(data if missing >= 0 else data[:missing]):
            self._pause_reading()
        if missing <= 0:
            latest.end()
        if missing < 0:
            self._parse(data[missing:])

    # Any other, and what httptools says of it; what is raised in there makes the request an invalid one

    def _parse(self, data: bytes) -> None:
        if self._broken:
            return
        if self._in_head:
            self._unparsed += len(data)
            if self._unparsed > _MAX_HEAD:
                self._refuse(431, "The head of the request is too large.")
                return
        try:
            self._feed(data)
        except httptools.HttpParserError:
            latest = self._latest
            if latest is None or not latest.whole or latest.keep_alive:  # else nothing should come, and is ignored
                self._refuse(400, "Invalid HTTP request received.")
        if self._queue:
            if self._running is None:
                if len(self._queue) == 1:
                    self._remember(data, self._queue[0])
                self._run(self._queue.popleft())
            if self._queue:
                self._pause_reading()

    def _feed(self, data: bytes) -> None:
        while True:
            try:
                self._parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                rest = data[upgrade.args[0] :]
                if self._latest is not None:  # a CONNECT, behind which is no HTTP
                    return
                if self._config.ws_protocol_class is not None and wants_websocket(self._headers):
                    self._hand_over(rest)
                    return
                # It stays with HTTP, as a server may choose (RFC 9110, 7.8), but httptools took the body for the other
                # protocol's. Java's client asks so for HTTP/2 with each first request.
                data = self._written([header for header in self._headers if header[0] != b"upgrade"]) + rest
                self._shown = self._headers

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers = []
        self._in_head = True
        self._expects = False
        self._unparsed = 0
        self._since = self._now()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Also called for trailers, which ASGI has no place for."""
        if self._in_head:
            name = name.lower()
            if name == b"expect":
                self._expects = value.lower() == b"100-continue"
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._in_head = False
        parser = self._parser
        method, version = parser.get_method(), parser.get_http_version()
        if parser.should_upgrade() and method != b"CONNECT":
            self._latest = None
            return
        headers, self._shown = self._shown or self._headers, None
        scope = request_scope(self._common, method, self._url, version, headers)
        scope["asgi"] = self._asgi.copy()
        scope["state"] = self._app_state.copy()
        keep_alive = version != "1.0" and method != b"CONNECT" and parser.should_keep_alive()
        cycle = self._latest = Cycle(self, scope, None, keep_alive)
        cycle.expect(self._expects)
        self._queue.append(cycle)

    def on_body(self, body: bytes) -> None:
        if self._latest is not None and self._latest.take(body):
            self._pause_reading()

    def on_message_complete(self) -> None:
        if self._latest is not None:
            self._latest.end()

    def _remember(self, data: bytes, cycle: Cycle) -> None:
        """``data`` has brought the head of ``cycle``, and perhaps more, which ``Head`` finds out."""
        self._head = None
        if self._worth > 0 and cycle.keep_alive and not self._in_head:
            self._head = Head.remembered(data[: len(data) - cycle.size], self._url, cycle.scope)

    def _refuse(self, status: int, text: str) -> None:
        """What arrives is no request. What came before it is answered first, unless it is the rest of that."""
        logger.warning(text)
        self._broken = True
        self._in_head = False
        self._refusal = plain_answer(status, text, self.state.default_headers)
        latest = self._latest
        if latest is not None and not latest.whole:
            if latest in self._queue:
                self._queue.remove(latest)
            else:
                begun = latest.stage >= BEGUN
                latest.lose()
                self._running = None
                if begun:
                    self.transport.close()
                    return
        if self._running is None and not self._queue:
            self.transport.write(self._refusal)
            self.transport.close()

    def _hand_over(self, rest: bytes) -> None:
        """To uvicorn's protocol for WebSockets, which begins with the request."""
        if self._running is not None or self._queue:
            self._refuse(400, "A WebSocket cannot begin before the requests in front of it are answered.")
            return
        self.state.connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        protocol = self._config.ws_protocol_class(
            config=self._config, server_state=self.state, app_state=self._app_state
        )
        protocol.connection_made(self.transport)
        protocol.data_received(self._written(self._headers) + rest)
        self.transport.set_protocol(protocol)

    def _written(self, headers: Headers) -> bytes:
        """The head that httptools has read last, with these headers."""
        line = b"%b %b HTTP/%b\r\n" % (self._parser.get_method(), self._url, self._parser.get_http_version().encode())
        return b"".join((line, *map(b"%b: %b\r\n".__mod__, headers), b"\r\n"))

    # What a cycle tells and asks it

    def answered(self, cycle: Cycle) -> None:
        """The answer has been written to its end: on to the next request."""
        self.state.total_requests += 1
        self._running = None
        self._since = self._now()
        if not cycle.keep_alive:
            self.transport.close()
        elif self._queue:
            self._loop.call_soon(self._next)
        elif self._broken:
            self.transport.write(self._refusal)
            self.transport.close()
        else:
            if cycle.whole and not self._in_head:
                self._known = self._head
            if self._reading_paused:
                self.read_on()

    def log(self, scope: Scope, status: int) -> None:
        access.info('%s - "%s %s HTTP/%s" %d', *logged(scope, status))

    def read_on(self) -> None:
        """There is room for more of the request's body."""
        if self._reading_paused and not self._queue:
            self._reading_paused = False
            self.transport.resume_reading()

    async def drained(self) -> None:
        """Waits until the caller has read most of what was written, or is gone."""
        if self._drained is None:
            self._drained = asyncio.Event()
        await self._drained.wait()

    # What uvicorn asks

    def shutdown(self) -> None:
        """No further request is answered on this connection."""
        if self._running is None:
            self.transport.close()
        else:
            self._running.keep_alive = False

    # What runs when

    def _run(self, cycle: Cycle) -> None:
        self._running = cycle
        work = cycle.run(self._app if self._limit is None or self._has_room(self._limit) else _busy)
        if self._eager and cycle.whole:
            # What can be done at once is: a turn of the loop less for each request.
            task = _Task(work, loop=self._loop, eager_start=True)
        else:
            # By the next turn more of the body may be here.
            context = contextvars.Context() if _fresh_context(self._config) else None
            task = self._loop.create_task(work, context=context)
        if not task.done():
            cycle.task = task
            self.tasks.add(task)

    def _next(self) -> None:
        if self._queue and self._running is None and not self.transport.is_closing():
            self._run(self._queue.popleft())
            self.read_on()

    def _has_room(self, limit: int) -> bool:
        if len(self.state.connections) < limit and len(self.tasks) < limit:
            return True
        logger.warning("Exceeded concurrency limit.")
        return False

    def _pause_reading(self) -> None:
        if not (self._reading_paused or self.transport.is_closing()):
            self._reading_paused = True
            self.transport.pause_reading()

    def _look_at(self, time: float) -> None:
        self._timer = self._loop.call_at(time, self._look)

    def _look(self) -> None:
        """One timer goes on from request to request, and looks how long nothing has been to be answered."""
        now = self._now()
        until = soon = now + max(self._patient, _SHORTEST)
        if self._running is None:
            arriving = self._in_head or self._latest is None or not self._latest.whole
            until = self._since + (_PATIENCE if arriving else self._patient)
        if until > now:
            self._look_at(min(until, soon))
        else:
            self.transport.close()


_EAGER = sys.version_info >= (3, 12)
_Task: Any = asyncio.Task
"""As in Python 3.12, with ``eager_start``."""


def _fresh_context(config: Any) -> bool:
    """An option that the oldest uvicorn does not have: applications see no context variables of the server's."""
    return bool(getattr(config, "reset_contextvars", False))


async def _busy(_scope: Scope, _receive: Receive, send: Send) -> None:
    text = b"Service Unavailable"
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(text))]
    await send({"type": "http.response.start", "status": 503, "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": text})
