"""The hot path: HTTP/1.1 towards one worker, on asyncio and httptools.

``send`` reads top to bottom: a connection (idle, handed over, or dialled), the request, the answer's head. What a
connection does is in ``connection.py``, who gets one in ``pool.py``.
"""

import asyncio
from asyncio import get_running_loop
from math import inf

from asgi_llm.errors import Cause

from . import failures
from .address import parse_base_url
from .answer import Answer
from .connection import Connection
from .dial import Dialler
from .interface import BodySource, ClientOptions, Timeouts, UpstreamRequest
from .pool import Pool
from .request_head import RequestHead
from .upload import upload

__all__ = ["Http1Client"]


class Http1Client:
    """Implements ``Client``. Made anywhere; bound to the event loop of its first request, and to a later one only
    after that loop was closed.

    Raises:
        ValueError: options that cannot work.
    """

    def __init__(self, options: ClientOptions) -> None:
        if options.proxy is not None or options.http2:
            raise ValueError("proxies and HTTP/2 need the httpx backend")
        if options.max_connections < 1:
            raise ValueError("max_connections must be at least 1")
        address = parse_base_url(options.base_url)
        self._options = options
        self._timeouts = options.timeouts
        self._head = RequestHead(address)
        self._dialler = Dialler(address, options.tls, options.resolve)
        self._pools: dict[asyncio.AbstractEventLoop, Pool] = {}  # one, by the loop that it is bound to
        self._closed = False

    def __repr__(self) -> str:
        return f"<Http1Client open={self.open} idle={self.idle} in_use={self.in_use} waiting={self.waiting}>"

    @property
    def open(self) -> int:
        """Places taken: being dialled, in use, or idle."""
        return sum(pool.open for pool in self._pools.values())

    @property
    def idle(self) -> int:
        """Connections kept for the next request."""
        return sum(len(pool.idle) for pool in self._pools.values())

    @property
    def in_use(self) -> int:
        """Places that requests hold."""
        return self.open - self.idle

    @property
    def waiting(self) -> int:
        """Requests that wait for a place."""
        return sum(pool.waiting for pool in self._pools.values())

    async def send(self, request: UpstreamRequest) -> Answer:
        """See ``Client.send``.

        Raises:
            UpstreamError: with the cause.
            ClientError: illegal bytes in the request's method, path or headers.
        """
        if request.source is not None:
            return await self._send_source(request, request.source)
        first, rest = self._head.write(request)
        pool = self._pools.get(get_running_loop()) or self._bind()
        timeouts = request.timeouts or self._timeouts
        total_at = pool.time() + timeouts.total if timeouts.total else inf
        connection = pool.take() or await self._acquire(pool, timeouts, total_at)
        resent = False
        while True:
            answer = Answer(connection, total_at, resent)
            if request.method == b"HEAD":
                connection.ask_head()
            try:
                await connection.begin(answer, first, rest, timeouts)
            except BaseException:
                _give_up(answer, pool)
                raise
            if answer.status:
                return answer
            # Only a reused connection goes stale, so this happens once.
            connection = await self._replace(answer, pool, timeouts, total_at)
            resent = True

    async def _send_source(self, request: UpstreamRequest, source: BodySource) -> Answer:
        """``send`` for a body that is still arriving."""
        first = self._head.announce(request, source.length)
        pool = self._pools.get(get_running_loop()) or self._bind()
        timeouts = request.timeouts or self._timeouts
        total_at = pool.time() + timeouts.total if timeouts.total else inf
        connection = pool.take() or await self._acquire(pool, timeouts, total_at)
        resent = False
        while True:
            answer = Answer(connection, total_at, resent)
            head = connection.begin(answer, first, b"", timeouts)
            try:
                source.begin()
                await upload(connection, head, source)
                await head
            except BaseException:
                _give_up(answer, pool)
                raise
            if answer.status:
                return answer
            connection = await self._replace(answer, pool, timeouts, total_at)
            resent = True

    async def aclose(self) -> None:
        """See ``Client.aclose``. Requests under way, waiting or still to come fail."""
        self._closed = True
        pool = self._pools.get(get_running_loop())
        self._pools = {}
        if pool is not None:
            await pool.close()

    def _bind(self) -> Pool:
        if self._closed:
            raise failures.closed()
        if any(not loop.is_closed() for loop in self._pools):
            raise RuntimeError("an upstream client serves one event loop, and this one's is still open")
        loop, options = get_running_loop(), self._options
        pool = Pool(loop, limit=options.max_connections, max_idle=options.max_keepalive, keepalive=options.keepalive)
        self._pools = {loop: pool}
        return pool

    async def _acquire(self, pool: Pool, timeouts: Timeouts, total_at: float) -> Connection:
        """A place of the pool, and a connection in it, within the time for connecting."""
        connecting = _sooner(pool.time(), timeouts.connect, total_at)
        has_place = False
        try:
            async with asyncio.timeout_at(connecting):
                connection = await pool.acquire()
                has_place = True
                if connection is not None and connection.usable():
                    return connection
                return await self._dial(pool)
        except TimeoutError:
            if connecting == total_at:
                raise failures.timed_out(Cause.TOTAL_TIMEOUT) from None
            raise (failures.timed_out(Cause.CONNECT_TIMEOUT) if has_place else failures.pool_timeout()) from None

    async def _replace(self, answer: Answer, pool: Pool, timeouts: Timeouts, total_at: float) -> Connection:
        """A fresh connection in the place of one that went stale.

        Raises:
            UpstreamError: the one of ``answer``, which failed in another way, or that of dialling.
        """
        if not answer.stale:
            error = answer.error or failures.reset()
            error.resent = answer.resent
            raise error
        connecting = _sooner(pool.time(), timeouts.connect, total_at)
        try:
            async with asyncio.timeout_at(connecting):
                return await self._dial(pool)
        except TimeoutError:
            cause = Cause.TOTAL_TIMEOUT if connecting == total_at else Cause.CONNECT_TIMEOUT
            raise failures.timed_out(cause) from None

    async def _dial(self, pool: Pool) -> Connection:
        """Gives the place back when there will be no connection in it."""
        loop = get_running_loop()
        try:
            connection = await self._dialler.dial(loop, lambda: Connection(pool, loop, self._options.max_head))
        except BaseException:
            pool.vacate()
            raise
        if self._closed or not connection.usable():
            connection.abort()
            pool.vacate()
            raise failures.closed() if self._closed else failures.unreachable()
        # Not before: where dialling is cancelled, not every event loop tells a connection that it was lost.
        pool.connections.add(connection)
        return connection


def _give_up(answer: Answer, pool: Pool) -> None:
    """Nobody waits for the answer any more."""
    answer.close()
    if answer.stale:
        pool.vacate()


def _sooner(now: float, limit: float, total_at: float) -> float | None:
    at = min(now + limit, total_at) if limit else total_at
    return None if at == inf else at
