"""Bodies for a server without an event loop (WSGI), made in the loop that the core has for such code."""

import asyncio
from collections.abc import Iterator

from .bridge import Body
from .database import release

__all__ = ["Pieces"]


class Pieces:
    """The thread that serves the request waits for each piece."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._fresh = True

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._fresh:
            self._fresh = False
            release()
        data = asyncio.run_coroutine_threadsafe(self._body.bridge.take(), self._body.bridge.loop).result()
        if not data:
            raise StopIteration
        return data

    def close(self) -> None:
        self._body.close()
