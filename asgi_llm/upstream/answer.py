"""The answer as the caller of ``Http1Client.send`` sees it: head, pieces of body, an end.

While the body is on its way the answer leans on its connection; after the end, or a failure, it stands alone, and the
connection may already serve another request.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from msgspec import Struct

from asgi_llm.errors import UpstreamError
from asgi_llm.types import Headers

from . import failures

if TYPE_CHECKING:
    from .connection import Connection

__all__ = ["Answer"]


class Answer(Struct, eq=False):
    """Implements ``UpstreamResponse``. One reader at a time.

    Attributes:
        connection: where the rest comes from; None when no more will come.
        total_at: loop time at which the exchange must be over; inf: never.
        rest: what had come at the end, and was not read yet. It is read before ``error`` is raised.
        stale: the connection was a reused one and ended before any byte of the answer: safe to ask again. Whoever
            sees this owns the connection's place in the pool.
    """

    connection: Connection | None
    total_at: float = inf
    resent: bool = False
    status: int = 0
    headers: Headers = []
    rest: bytes = b""
    ended: bool = False
    error: UpstreamError | None = None
    stale: bool = False

    def __repr__(self) -> str:
        return f"<Answer {self.status} {'open' if self.connection is not None else 'ended'}>"

    async def read(self) -> bytes:
        """See ``UpstreamResponse.read``. Cancelling it closes the answer."""
        connection = self.connection
        if connection is None:
            return self._last()
        if connection.pieces:
            return connection.take_body()
        connection.since = connection.time()
        waiter = connection.waiter = connection.new_waiter()
        try:
            data = await waiter
        except BaseException:
            self.close()
            raise
        # More may have come since this was woken, and the connection may be another's by now.
        if self.connection is None:
            self.rest = data + self.rest
            return self._last()
        if connection.pieces:
            data += connection.take_body()
        return data

    def whole(self) -> bytes | None:
        """See ``UpstreamResponse.whole``."""
        if self.connection is not None or self.error is not None:
            return None
        rest, self.rest, self.ended = self.rest, b"", True
        return rest

    def _last(self) -> bytes:
        rest = self.rest
        if rest:
            self.rest = b""
            self.ended = self.error is None
        elif self.error is not None:
            raise self.error
        return rest

    def close(self) -> None:
        """See ``UpstreamResponse.close``."""
        if self.connection is not None:
            self.connection.fail(failures.reset("The answer was closed before its end."))
        if self.rest:
            self.rest = b""
            self.ended = self.error is None
