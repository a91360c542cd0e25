"""What a scripted upstream was asked."""

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any

from asgi_llm.types import Headers

from .headers import joined
from .patience import PATIENCE, within

__all__ = ["Recorded"]


@dataclass(slots=True, eq=False, kw_only=True)
class Recorded:
    """One request as it arrived, and how its answer went.

    ``path`` is the path as sent, still percent-encoded and without the query. Header names are in lower case, order
    and duplicates as sent. ``connection`` numbers the connections from 1, so that reuse can be seen. ``arrived`` is
    when the request was whole, in seconds of ``time.monotonic()``. ``sent`` counts the bytes of the answer so far
    (without a socket: of its body).
    """

    method: str
    path: str
    query: str
    headers: Headers
    body: bytes
    connection: int
    arrived: float = field(default_factory=time.monotonic)
    sent: int = 0
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the last step of the answer has been played."""
    disconnected: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the peer went away while it was being answered."""

    @property
    def json(self) -> Any:
        """The body as JSON.

        Raises:
            AssertionError: it is not JSON.
        """
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise AssertionError(f"{self.method} {self.path}: the body is not JSON: {self.body[:200]!r}") from error

    def header(self, name: str) -> str | None:
        """The value of a header, several joined by a comma, or None."""
        return joined(self.headers, name)

    async def wait_disconnected(self, seconds: float = PATIENCE) -> None:
        """Until the peer has gone.

        Raises:
            AssertionError: it is still there after so many seconds.
        """
        await within(self.disconnected.wait(), seconds, f"{self.method} {self.path}: waiting for the peer to go")
