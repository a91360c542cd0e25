"""The answer as the caller of ``Http1Client.send`` sees it: head, pieces of body, an end.

While the body is on its way the answer leans on its connection; after the end, or a failure, it stands alone, and the
connection may already serve another request.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from asgi_llm.errors import Cause, UpstreamError
from asgi_llm.types import Headers

from . import failures

if TYPE_CHECKING:
    from .connection import Connection

__all__ = ["Answer"]


class Answer:
    """Implements ``UpstreamResponse``. One reader at a time.

    Attributes:
        stale: the connection was a reused one and ended before any byte of the answer: safe to ask again. Whoever
            sees this owns the connection's place in the pool.
    """

    __slots__ = ("_connection", "_rest", "error", "headers", "resent", "stale", "status")

    def __init__(self, connection: Connection) -> None:
        self._connection: Connection | None = connection
        self._rest = b""
        self.status = 0
        self.headers: Headers = []
        self.error: UpstreamError | None = None
        self.resent = False
        self.stale = False

    def __repr__(self) -> str:
        return f"<Answer {self.status} {'open' if self._connection is not None else 'ended'}>"

    @property
    def ended(self) -> bool:
        """See ``UpstreamResponse.ended``."""
        return self._connection is None and not self._rest and self.error is None

    async def read(self) -> bytes:
        """See ``UpstreamResponse.read``. Cancelling it closes the answer."""
        connection = self._connection
        if connection is None:
            return self._last()
        alarm = connection.alarm
        if alarm.total_at is not inf and alarm.total_is_over():
            connection.time_out(Cause.TOTAL_TIMEOUT)
            return self._last()
        if not connection.pieces:
            try:
                await connection.wait_for_body()
            except BaseException:
                self.close()
                raise
            if self._connection is None:
                return self._last()
        return connection.take_body()

    def _last(self) -> bytes:
        rest, self._rest = self._rest, b""
        if not rest and self.error is not None:
            raise self.error
        return rest

    def end(self, rest: bytes, error: UpstreamError | None = None) -> None:
        """Told by the connection: no more will come. What is in ``rest`` is still read before ``error`` is raised."""
        self._connection = None
        self._rest = rest
        self.error = error

    def close(self) -> None:
        """See ``UpstreamResponse.close``."""
        connection = self._connection
        if connection is not None:
            connection.fail(failures.reset("The answer was closed before its end."))
        self._rest = b""
