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
        time: the loop's.
    """

    __slots__ = (
        "_all_gone",
        "_keepalive",
        "_limit",
        "_loop",
        "_max_idle",
        "_room",
        "_sweeper",
        "_waiters",
        "connections",
        "idle",
        "open",
        "time",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, *, limit: int, max_idle: int, keepalive: float) -> None:
        self._loop = loop
        self.time = loop.time
        self._limit = limit
        self._max_idle = max_idle if keepalive > 0 else 0
        self._keepalive = keepalive
        self._room = 0  # how many may lie idle without more ado: none while the sweeper does not run
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
        idle = self.idle
        while idle:
            connection = idle.pop()
            if not connection.is_closing():
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
        idle = self.idle
        connection.idle_since = self.time()
        if (self._waiters or len(idle) >= self._room) and not self._make_room(connection):
            return
        idle.append(connection)

    def _make_room(self, connection: Connection) -> bool:
        """Whether the connection can lie idle; else it has been given away, or closed."""
        waiter = self._next_waiter()
        if waiter is not None:
            waiter.set_result(connection)
            return False
        if not self._max_idle:
            connection.abort()
            self.vacate()
            return False
        if self._sweeper is None:
            self._sweep()
        elif len(self.idle) >= self._max_idle:
            self._evict()
        return True

    def vacate(self) -> None:
        """A place comes back without a connection."""
        waiter = self._next_waiter()
        if waiter is not None:
            waiter.set_result(None)
        else:
            self.open -= 1

    def drop(self, connection: Connection) -> None:
        """A connection without an exchange has ended, or said something unasked."""
        if connection in self.idle:
            self.idle.remove(connection)
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
        self.idle.popleft().abort()
        self.vacate()

    def _sweep(self) -> None:
        """Runs while there are connections: none that becomes idle after one turn expires before the next."""
        now = self.time()
        while self.idle and self.idle[0].idle_since + self._keepalive <= now:
            self._evict()
        if self.connections:
            oldest = self.idle[0].idle_since if self.idle else now
            self._sweeper = self._loop.call_at(oldest + self._keepalive, self._sweep, context=Context())
            self._room = self._max_idle
        else:
            self._sweeper = None
            self._room = 0
