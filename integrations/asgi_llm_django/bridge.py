"""Between the gateway, which speaks ASGI, and Django, which wants a response: what the one sends the other takes, piece
by piece, as fast as the caller reads.

Django breaks off whatever of its own runs when the caller leaves; the gateway runs in a task of its own.
"""

import asyncio
from typing import NamedTuple

from django.core.exceptions import RequestAborted

from asgi_llm import Gateway
from asgi_llm.client.bridge import Bridge, ReadPiece, Serve
from asgi_llm.types import Headers

from .database import release_connections

__all__ = ["Answer", "Body", "open_bridge"]


class Body:
    """The side of Django: what it iterates over in the loop of the bridge, and closes when the response is over.

    Not an asynchronous generator: one that was never started, or waits where nobody iterates any more, would not hear
    that it is closed. ``close`` may be called from any thread and any number of times.
    """

    def __init__(self, bridge: Bridge) -> None:
        self.bridge = bridge
        self.fresh = True

    def __aiter__(self) -> "_Reading":
        return _Reading(self)

    def close(self) -> None:
        if not self.bridge.ended and not self.bridge.loop.is_closed():
            self.bridge.loop.call_soon_threadsafe(self.bridge.leave)

    # Where the caller leaves between the view's return and the first byte, Django forgets to close the response.
    __del__ = close


class _Reading:
    """One iteration over a body, which is closed when that is given up: Django does not close a response whose server
    raised in the middle of it, and exceptions keep the response itself alive for long."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._begun = False

    def __aiter__(self) -> "_Reading":
        # Django has one of them lying ready, and then asks for another.
        return _Reading(self._body)

    async def __anext__(self) -> bytes:
        self._begun = True
        body = self._body
        try:
            if body.fresh:
                body.fresh = False
                # Middleware may have saved a session after the view.
                await release_connections()
            data = await body.bridge.take()
        except asyncio.CancelledError:
            body.bridge.leave()
            raise
        if not data:
            raise StopAsyncIteration
        return data

    def __del__(self) -> None:
        if self._begun:
            self._body.close()


class Answer(NamedTuple):
    """``whole`` is the body if it was there at once and is no event stream; what ``body`` gives is the same."""

    status: int
    headers: Headers
    whole: bytes | None
    body: Body


async def open_bridge(gateway: Gateway, read: ReadPiece, serve: Serve) -> Answer:
    """Has ``serve`` answer in a task that ``gateway`` owns, and waits for the head of the answer.

    Raises:
        Exception: what ``serve`` raised instead of an answer.
    """
    bridge = Bridge(read, broken=RequestAborted)
    body = Body(bridge)
    gateway.runtime().spawn(bridge.run(serve), "request through Django")
    try:
        status, headers = await bridge.head
    except asyncio.CancelledError:
        bridge.leave()
        raise
    streams = any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in headers)
    return Answer(status, headers, None if streams else bridge.whole(), body)
