"""A caller's connection: its bytes become requests, which are answered one after the other.

Bytes come to ``data_received``. Where a request may begin, they are a head like the last one (``_again``, then
``_count`` for the rest of its body), or else go to the reader (``_parse``), which is at the beginning of a request
whenever the former is tried, and never sees what was taken in that way.

The interface towards uvicorn is that of its own protocol classes: what they are made with, ``shutdown``, and the sets
of connections and tasks that it waits for when it stops.
"""

import asyncio
import contextvars
import logging
import sys
from typing import Any, cast

import httptools

from asgi_llm.types import ASGIApp, Receive, Scope, Send

from .answer import plain_answer
from .cycle import BEGUN, Cycle
from .head import Head, remembered
from .reader import OversizedError, Reader
from .scope import connection_scope, logged

__all__ = ["Protocol"]

logger = logging.getLogger("uvicorn.error")
access = logging.getLogger("uvicorn.access")

_PATIENCE = 60.0
"""Seconds for a first request, for the head of one, and for what is left of one that was answered before its end."""

_OFTEN = 3
"""Heads that may differ one after the other before it is not worth remembering them."""

_SHORTEST = 0.05
"""Seconds between two looks at an idle connection."""


class Protocol(asyncio.Protocol):
    """Made by uvicorn for each connection.

    Attributes:
        config: uvicorn's.
        app_state: what the lifespan keeps, of which each request gets a copy; ``asgi`` likewise.
        common: what the scopes of all requests have.
        transport: of the connection.
        state: uvicorn's, of the whole server.
        tasks: uvicorn's, in which applications run.
        logs: somebody listens to uvicorn's access log.
        writing_paused: the caller does not read as fast as it is answered.
    """

    __slots__ = (
        "_app", "_broken", "_drained", "_eager", "_head", "_known", "_limit", "_loop", "_missing", "_now", "_patient",
        "_queue", "_reader", "_reading_paused", "_refusal", "_running", "_since", "_timer", "_worth",
        "app_state", "asgi", "common", "config", "logs", "state", "tasks", "transport", "writing_paused",
    )  # fmt: skip

    def __init__(
        self, config: Any, server_state: Any, app_state: dict[str, Any], _loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        if not config.loaded:
            config.load()
        self.config = config
        self._app: ASGIApp = config.loaded_app
        self.app_state = app_state
        self.asgi = {"version": config.asgi_version, "spec_version": "2.3"}
        self._limit: int | None = config.limit_concurrency
        self._patient: float = config.timeout_keep_alive
        self._loop = _loop or asyncio.get_running_loop()
        self._now = self._loop.time
        self._eager = _EAGER and self._loop.get_task_factory() is None and not _fresh_context(config)
        self.state = server_state
        self.tasks: set[asyncio.Task[None]] = server_state.tasks
        self.logs = access.hasHandlers()
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)
        self.common: dict[str, Any] = {}
        # What arrives
        self._reader = Reader(self)
        self._queue = self._reader.queue
        self._broken = False
        self._refusal = b""
        self._head: Head | None = None
        self._known: Head | None = None  # the same, while nothing but a request can come
        self._worth = _OFTEN
        self._missing = 0  # bytes of the body of a request that the reader does not know of
        # What is answered
        self._running: Cycle | None = None
        self._reading_paused = self.writing_paused = False
        self._drained: asyncio.Event | None = None
        self._since = 0.0  # when there was last something to answer
        self._timer: asyncio.TimerHandle | None = None

    # What the transport tells it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.state.connections.add(self)
        self.common = connection_scope(transport, self.config.root_path)
        self._since = self._now()
        self._look_at(self._since + self._patient)

    def data_received(self, data: bytes) -> None:
        known = self._known
        if known is not None:
            self._known = None
            again = known.again(data)
            if again is not None:
                self._again(data, again)
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
        self._running = self._known = None
        self._reader.close()
        self.resume_writing()

    def pause_writing(self) -> None:
        self.writing_paused = True

    def resume_writing(self) -> None:
        self.writing_paused = False
        if self._drained is not None:
            self._drained.set()
            self._drained = None

    # A head like the last one, and the body behind it

    def _again(self, data: bytes, again: tuple[Scope, int, int]) -> None:
        scope, start, length = again
        scope["asgi"] = self.asgi.copy()
        scope["state"] = self.app_state.copy()
        self._worth = _OFTEN
        here = len(data) - start
        if here == length:
            cycle = Cycle(self, scope, data[start:])
        elif here > length:
            cycle = Cycle(self, scope, data[start : start + length])
        else:
            cycle = Cycle(self, scope, None)
            cycle.expect(False)
            if here:
                cycle.take(memoryview(data)[start:])
            self._missing = length - here
        self._reader.latest = cycle
        self._run(cycle)
        if here > length:
            self._known = None
            self._parse(data[start + length :])

    def _count(self, data: bytes) -> None:
        missing = self._missing - len(data)
        self._missing = max(missing, 0)
        latest = cast("Cycle", self._reader.latest)
        if latest.take(data if missing >= 0 else data[:missing]):
            self.pause_reading()
        if missing <= 0:
            latest.end()
        if missing < 0:
            self._parse(data[missing:])

    # Any other

    def _parse(self, data: bytes) -> None:
        if self._broken or self.transport.is_closing():
            return
        reader = self._reader
        try:
            websocket = reader.read(data)
            if websocket is not None:
                self._hand_over(websocket)
        except OversizedError:
            self._refuse(431, "The head of the request is too large.")
        except httptools.HttpParserError:
            latest = reader.latest
            if latest is None or not latest.whole or latest.keep_alive:  # else nothing should come, and is ignored
                self._refuse(400, "Invalid HTTP request received.")
        if self._queue:
            if self._running is None:
                if len(self._queue) == 1:
                    self._remember(data, self._queue[0])
                self._run(self._queue.popleft())
            if self._queue:
                self.pause_reading()

    def _remember(self, data: bytes, cycle: Cycle) -> None:
        """``data`` has brought the head of ``cycle``, and perhaps more, which is found out there."""
        if self._worth > 0 and cycle.keep_alive and not self._reader.in_head:
            self._head = remembered(data[: len(data) - cycle.size], self._reader.url, cycle.scope)

    def _refuse(self, status: int, text: str) -> None:
        """What arrives is no request. What came before it is answered first, unless it is the rest of that."""
        logger.warning(text)
        self._broken = True
        self._reader.in_head = False
        self._refusal = plain_answer(status, text, self.state.default_headers)
        latest = self._reader.latest
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

    def _hand_over(self, request: bytes) -> None:
        """To uvicorn's protocol for WebSockets, which begins with the request."""
        if self._running is not None or self._queue:
            self._refuse(400, "A WebSocket cannot begin before the requests in front of it are answered.")
            return
        self.state.connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        make = self.config.ws_protocol_class
        protocol = make(config=self.config, server_state=self.state, app_state=self.app_state)
        protocol.connection_made(self.transport)
        protocol.data_received(request)
        self.transport.set_protocol(protocol)

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
            if cycle.whole:
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

    def wait(self) -> None:
        """A request begins to come to the reader: there is patience for its end, and until then nothing else comes."""
        self._since = self._now()
        self._head = None

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
            context = contextvars.Context() if _fresh_context(self.config) else None
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

    def pause_reading(self) -> None:
        if not (self._reading_paused or self.transport.is_closing()):
            self._reading_paused = True
            self.transport.pause_reading()

    def _look_at(self, time: float) -> None:
        self._timer = self._loop.call_at(time, self._look)

    def _look(self) -> None:
        """One timer goes on from request to request, and looks how long nothing has been to be answered."""
        now = self._now()
        until = soon = now + max(self._patient, _SHORTEST)
        if self._running is None and not self._queue:
            arriving = self._reader.in_head or self._reader.latest is None or not self._reader.latest.whole
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
