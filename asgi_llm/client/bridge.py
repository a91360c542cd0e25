"""Between an ASGI application and whoever takes its answer: what the one sends the other takes, piece by piece, as fast
as it reads.

The application runs in a task of its own, since whoever waits for the answer may be cancelled, and the gateway then
still has its settlement to make. It is told of the caller's leaving as by any server.
"""

import asyncio
from collections.abc import Awaitable, Callable

from asgi_llm.types import Headers, Message, Receive, Send

__all__ = ["Bridge", "BrokenOff", "Head", "ReadPiece", "Serve"]

ReadPiece = Callable[[], Awaitable[tuple[bytes, bool]]]
"""The next piece of the request's body and whether there is more."""

Serve = Callable[[Receive, Send], Awaitable[None]]

Head = tuple[int, Headers]
"""Status and headers."""

_ENOUGH = 64 * 1024
"""Bytes that wait to be taken, above which the application waits as well."""


class BrokenOff(Exception):  # noqa: N818  # hosts have errors of their own for it
    """The answer ends before it is whole."""


class Bridge:
    """Belongs to the event loop it is made in. ``broken`` is the kind of exception that tells of an answer that is not
    whole.

    Attributes:
        head: status and headers, once they are known.
        ended: whether the application has said all it had to say.
    """

    def __init__(self, read: ReadPiece, broken: type[Exception] = BrokenOff) -> None:
        self.loop = asyncio.get_running_loop()
        self.head: asyncio.Future[Head] = self.loop.create_future()
        self.ended = False
        self._read = read
        self._error = broken
        self._unread = True
        self._pieces: list[bytes] = []
        self._size = 0
        self._broken = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._gone = asyncio.Event()

    async def run(self, serve: Serve) -> None:
        """Has ``serve`` answer. What it raises is raised where the answer's head is waited for."""
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
                self.head.set_exception(self._error("the gateway ended without an answer"))

    def leave(self) -> None:
        """The caller has gone."""
        self._gone.set()
        self._room.set()

    async def take(self) -> bytes:
        """All of the body that was not taken yet, as soon as there is any; b"" at its end.

        Raises:
            BrokenOff: (or what was named instead) it breaks off here and must not look whole.
        """
        while not self._pieces and not self.ended:
            self._news.clear()
            await self._news.wait()
        if not self._pieces and self._broken:
            raise self._error("the answer broke off")
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
