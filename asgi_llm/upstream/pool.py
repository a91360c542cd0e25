"""Places for connections: how many there are, who waits for one, which connections are idle.

A place belongs to an idle connection or to one request (from before it dials until its exchange is over); a
connection never counts by itself. Idle connections are reused last in, first out, so that a quiet worker's pool
shrinks; waiters are served first come, first served, and are handed a connection or an empty place directly, so
that nobody overtakes them.
"""

import asyncio
from collections import deque
from contextvars import Context

from .connection import Connection
from .failures import closed

__all__ = ["Pool"]


class Pool:
    """Bound to one event loop.

    Attributes:
        open: places taken, whether dialling, in use or idle.
        connections: those that exist, idle or not; whoever dials adds them.
        idle: idle connections, the one that has been so for longest first.
    """

    __slots__ = (
        "_all_gone",
        "_keepalive",
        "_limit",
        "_loop",
        "_max_idle",
        "_sweeper",
        "_waiters",
        "connections",
        "idle",
        "open",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, *, limit: int, max_idle: int, keepalive: float) -> None:
        self._loop = loop
        self._limit = limit
        self._max_idle = max_idle if keepalive > 0 else 0
        self._keepalive = keepalive
        self._waiters: deque[asyncio.Future[Connection | None]] = deque()
        self._all_gone: asyncio.Future[None] | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self.connections: set[Connection] = set()
        self.idle: deque[Connection] = deque()
        self.open = 0

    @property
    def waiting(self) -> int:
        """Requests that wait for a place."""
        return len(self._waiters)

    def take(self) -> Connection | None:
        """An idle connection, together with its place."""
        while self.idle:
            connection = self.idle.pop()
            connection.idle = False
            if connection.usable():
                return connection
            self.vacate()
        return None

    async def acquire(self) -> Connection | None:
        """A place: with a connection in it, or empty (None) for the caller to dial. Waits while there is none."""
        if self.open < self._limit:
            self.open += 1
            return None
        waiter: asyncio.Future[Connection | None] = self._loop.create_future()
        self._waiters.append(waiter)
        try:
            return await waiter
        except BaseException:
            # Cancelled after it was served: what it was handed goes to the next one.
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._give_back(waiter.result())
            elif waiter in self._waiters:
                self._waiters.remove(waiter)
            raise

    def _give_back(self, connection: Connection | None) -> None:
        if connection is None or not connection.usable():
            self.vacate()
        else:
            self.release(connection)

    def release(self, connection: Connection) -> None:
        """A connection fit for another request comes back with its place."""
        if self._waiters and (waiter := self._next_waiter()) is not None:
            waiter.set_result(connection)
            return
        if self._max_idle < 1:
            connection.abort()
            self.vacate()
            return
        if len(self.idle) >= self._max_idle:
            self._evict()
        connection.idle = True
        connection.idle_since = self._loop.time()
        self.idle.append(connection)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(self._keepalive, self._sweep, context=Context())

    def vacate(self) -> None:
        """A place comes back without a connection."""
        waiter = self._next_waiter()
        if waiter is not None:
            waiter.set_result(None)
        else:
            self.open -= 1

    def drop(self, connection: Connection) -> None:
        """An idle connection has ended, or said something unasked."""
        self.idle.remove(connection)
        connection.idle = False
        self.vacate()

    def left(self, connection: Connection) -> None:
        """A connection is gone."""
        self.connections.discard(connection)
        if self._all_gone is not None and not self.connections and not self._all_gone.done():
            self._all_gone.set_result(None)

    async def close(self) -> None:
        """Turn waiters away, close what is idle, break off what is busy."""
        while (waiter := self._next_waiter()) is not None:
            waiter.set_exception(closed())
        while self.idle:
            self._evict()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        if self.connections:
            self._all_gone = self._loop.create_future()
            for connection in list(self.connections):
                connection.fail(closed())
                connection.abort()
            await self._all_gone

    def _next_waiter(self) -> "asyncio.Future[Connection | None] | None":
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                return waiter
        return None

    def _evict(self) -> None:
        connection = self.idle.popleft()
        connection.idle = False
        connection.abort()
        self.vacate()

    def _sweep(self) -> None:
        self._sweeper = None
        now = self._loop.time()
        while self.idle and self.idle[0].idle_since + self._keepalive <= now:
            self._evict()
        if self.idle:
            self._sweeper = self._loop.call_at(
                self.idle[0].idle_since + self._keepalive, self._sweep, context=Context()
            )
