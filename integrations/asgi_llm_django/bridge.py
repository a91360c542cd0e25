"""Between the gateway, which speaks ASGI, and Django, which wants a response: what the one sends the other takes, piece
by piece, as fast as the caller reads.

The gateway runs in a task of its own, since Django breaks off whatever of its own runs when the caller leaves, and the
gateway then still has its settlement to make. It is told of the caller's leaving as by any server.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from django.core.exceptions import RequestAborted

from asgi_llm import Gateway
from asgi_llm.types import Headers, Message, Receive, Send

from .database import release_connections

__all__ = ["Answer", "Body", "Bridge", "ReadPiece", "Serve", "open_bridge"]

ReadPiece = Callable[[], Awaitable[tuple[bytes, bool]]]
"""The next piece of the request's body and whether there is more."""

Serve = Callable[[Receive, Send], Awaitable[None]]

_ENOUGH = 64 * 1024
"""Bytes that wait to be taken, above which the gateway waits as well."""


Head = tuple[int, Headers]


class Bridge:
    """The side of the gateway. Belongs to the event loop it is made in.

    Attributes:
        head: status and headers, once they are known.
        ended: whether the gateway has said all it had to say.
    """

    def __init__(self, read: ReadPiece) -> None:
        self.loop = asyncio.get_running_loop()
        self.head: asyncio.Future[Head] = self.loop.create_future()
        self.ended = False
        self._read = read
        self._unread = True
        self._pieces: list[bytes] = []
        self._size = 0
        self._broken = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._gone = asyncio.Event()

    async def run(self, serve: Serve) -> None:
        """Has ``serve`` answer. What it raises is raised where Django waits for the answer."""
        try:
            await serve(self._receive, self._send)
        except Exception as error:
            if self.head.done():
                # After the caller has gone, a gateway that could not say something is no news.
                if not self._gone.is_set():
                    raise
                return
            self.head.set_exception(error)
        finally:
            self._broken = not self.ended
            self.ended = True
            self._news.set()
            if not self.head.done():
                self.head.set_exception(RequestAborted("the gateway ended without an answer"))

    def leave(self) -> None:
        """The caller has gone."""
        self._gone.set()
        self._room.set()

    async def take(self) -> bytes:
        """All of the body that was not taken yet, as soon as there is any; b"" at its end.

        Raises:
            RequestAborted: it breaks off here. A server then closes the connection, so that it does not look whole.
        """
        while not self._pieces and not self.ended:
            self._news.clear()
            await self._news.wait()
        if not self._pieces and self._broken:
            raise RequestAborted("the answer broke off")
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        self._room.set()
        return data

    def whole(self) -> bytes | None:
        """The body, if all of it is there."""
        return b"".join(self._pieces) if self.ended and not self._broken else None

    async def _receive(self) -> Message:
        if self._unread:
            piece, self._unread = await self._read()
            return {"type": "http.request", "body": piece, "more_body": self._unread}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self._check_presence()
        if message["type"] == "http.response.start":
            # Whoever waits for it looks after this task's next pause, when a whole answer is there already.
            self.head.set_result((message["status"], message["headers"]))
            return
        if data := message.get("body", b""):
            self._pieces.append(data)
            self._size += len(data)
        self.ended = not message.get("more_body", False)
        self._news.set()
        if self._size > _ENOUGH and not self.ended:
            self._room.clear()
            await self._room.wait()
            self._check_presence()

    def _check_presence(self) -> None:
        if self._gone.is_set():
            # As in ASGI 2.4.
            raise OSError("the caller has gone")


class Body:
    """The side of Django: what it iterates over in the loop of the bridge, and closes when the response is over.

    Not an asynchronous generator: one that was never started, or waits where nobody iterates any more, would not hear
    that it is closed. ``close`` may be called from any thread and any number of times.
    """

    def __init__(self, bridge: Bridge) -> None:
        self.bridge = bridge
        self._fresh = True

    def __aiter__(self) -> "Body":
        return self

    async def __anext__(self) -> bytes:
        try:
            if self._fresh:
                self._fresh = False
                # Middleware may have saved a session after the view.
                await release_connections()
            data = await self.bridge.take()
        except asyncio.CancelledError:
            self.bridge.leave()
            raise
        if not data:
            raise StopAsyncIteration
        return data

    def close(self) -> None:
        if not self.bridge.ended and not self.bridge.loop.is_closed():
            self.bridge.loop.call_soon_threadsafe(self.bridge.leave)

    # Where the caller leaves between the view's return and the first byte, Django forgets to close the response.
    __del__ = close


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
    bridge = Bridge(read)
    body = Body(bridge)
    gateway.runtime().spawn(bridge.run(serve), "request through Django")
    try:
        status, headers = await bridge.head
    except asyncio.CancelledError:
        bridge.leave()
        raise
    streams = any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in headers)
    return Answer(status, headers, None if streams else bridge.whole(), body)
