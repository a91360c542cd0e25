"""One request to an ASGI app, message by message, with the server's side in the test's hands."""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Literal, NamedTuple

from asgi_llm.types import ASGIApp, Headers, Message, Scope

from .headers import joined
from .legality import Legality, headers_of
from .patience import PATIENCE, News, within

__all__ = ["AfterDisconnect", "ClientGoneError", "Exchange", "Head"]

AfterDisconnect = Literal["return", "raise"]
"""What ``send`` does once the client has gone: nothing (uvicorn), or raise ``OSError`` (ASGI 2.4 and later)."""


class ClientGoneError(OSError):
    """What ``send`` raises after the disconnect if it was told to."""


class Head(NamedTuple):
    """Status and headers of an answer, header names in lower case."""

    status: int
    headers: Headers

    def header(self, name: str) -> str | None:
        """The value of a header, several joined by a comma, or None."""
        return joined(self.headers, name)


class Exchange:
    """A running request; made by ``ASGIDriver.request``.

    Every method that waits gives up after ``seconds`` with an ``AssertionError`` that says what it waited for, raises
    at once what the app raised, and raises ``AssertionError`` if the app broke the rules of ASGI.
    """

    def __init__(
        self, app: ASGIApp, scope: Scope, body: Iterable[bytes], *, held: bool, after_disconnect: AfterDisconnect
    ) -> None:
        self.scope = scope
        self.messages: list[Message] = []
        """All messages the app sent that reached the client, in order."""
        self.blocked = asyncio.Event()
        """Set while the app waits in a ``send`` that ``block_sends`` holds back."""
        self._pending: deque[tuple[bytes, bool]] = deque()
        self._after_disconnect = after_disconnect
        self._legality = Legality(scope)
        self._illegal: AssertionError | None = None
        self._head: Head | None = None
        self._chunks: deque[bytes] = deque()
        self._sendable = asyncio.Event()
        self._sendable.set()
        self._gone = False
        self._complete = False
        self._changed = News()
        if not held:
            pieces = list(body) or [b""]
            self._pending.extend((piece, number < len(pieces)) for number, piece in enumerate(pieces, 1))
        self._task = asyncio.get_running_loop().create_task(self._run(app))
        self._task.add_done_callback(self._ended)

    # What the client does.

    def send_body(self, data: bytes, *, more: bool = True) -> None:
        """Deliver the next piece of a request body that was held back; ``more=False`` with the last one."""
        self._pending.append((data, more))
        self._changed.ring()

    def disconnect(self) -> None:
        """The client goes away now: ``receive`` tells so from now on, body not yet received is lost."""
        self._gone = True
        self._changed.ring()
        self._sendable.set()

    def cancel(self) -> None:
        """Disconnect and cancel the app, as some servers do."""
        self.disconnect()
        self._task.cancel()

    def block_sends(self) -> None:
        """From the next message on, the app's ``send`` does not return: the client has stopped reading."""
        if not self._gone:
            self._sendable.clear()

    def release_sends(self) -> None:
        """The client reads again."""
        self._sendable.set()

    # What the test sees.

    async def start(self, seconds: float = PATIENCE) -> Head:
        """Status and headers, as soon as the app has sent them."""
        await self._until(lambda: self._head is not None, seconds, "waiting for http.response.start")
        if self._head is None:
            raise AssertionError("the app ended without http.response.start")
        return self._head

    async def next_chunk(self, seconds: float = PATIENCE) -> bytes:
        """The next piece of the body that is not empty; b"" when the body has ended."""
        await self._until(lambda: bool(self._chunks) or self._complete, seconds, "waiting for more of the body")
        if not self._chunks and not self._complete and not self._gone:
            raise AssertionError("the app ended in the middle of the body")
        return self._chunks.popleft() if self._chunks else b""

    async def body(self, seconds: float = PATIENCE) -> bytes:
        """All of the body that was not taken yet."""
        await self._until(lambda: self._complete, seconds, "waiting for the end of the body")
        if not self._complete and not self._gone:
            raise AssertionError("the app ended in the middle of the body")
        body = b"".join(self._chunks)
        self._chunks.clear()
        return body

    async def json(self, seconds: float = PATIENCE) -> Any:
        """The body as JSON."""
        body = await self.body(seconds)
        try:
            return json.loads(body)
        except ValueError as error:
            raise AssertionError(f"the body is not JSON: {body[:200]!r}") from error

    async def wait_blocked(self, seconds: float = PATIENCE) -> None:
        """Until the app waits in a ``send`` that is held back."""
        await within(self.blocked.wait(), seconds, "waiting for the app to block in send()")

    async def finished(self, seconds: float = PATIENCE) -> None:
        """Until the app has returned. Raises what it raised, and checks that it left the answer whole.

        After a disconnect an answer cut short is in order, and so are an escaped ``ClientGoneError`` and the
        cancellation asked for.
        """
        await within(asyncio.wait([self._task]), seconds, "waiting for the app to return")
        self._raise_fault()
        if not self._gone:
            self._legality.end()

    async def aclose(self) -> None:
        """``cancel`` and wait for the app. Raises nothing that the app raises."""
        self.cancel()
        await within(asyncio.wait([self._task]), PATIENCE, "waiting for the cancelled app to return")

    # The server's side.

    async def _run(self, app: ASGIApp) -> None:
        with suppress(ClientGoneError):  # servers take it for what it is
            await app(self.scope, self._receive, self._send)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._illegal is not None and not task.cancelled():
            task.exception()  # known already; asyncio need not log it again
        self._changed.ring()

    async def _receive(self) -> Message:
        await self._changed.until(lambda: bool(self._pending) or self._over)
        if self._over:
            return {"type": "http.disconnect"}
        data, more = self._pending.popleft()
        return {"type": "http.request", "body": data, "more_body": more}

    async def _send(self, message: Message) -> None:
        try:
            self._legality.feed(message)
        except AssertionError as error:
            self._illegal = error
            self._changed.ring()
            raise
        if not self._sendable.is_set():
            self.blocked.set()
            try:
                await self._sendable.wait()
            finally:
                self.blocked.clear()
        if self._gone:
            if self._after_disconnect == "raise":
                raise ClientGoneError("the client has gone")
            return
        self._deliver(message)

    def _deliver(self, message: Message) -> None:
        self.messages.append(message)
        if message["type"] == "http.response.start":
            self._head = Head(message["status"], headers_of(message))
        elif message["type"] == "http.response.body" and (body := message.get("body")):
            self._chunks.append(body)
        self._complete = self._legality.complete
        self._changed.ring()

    @property
    def _over(self) -> bool:
        """Servers also tell a disconnect when the answer is whole."""
        return self._gone or self._complete

    async def _until(self, ready: Callable[[], bool], seconds: float, what: str) -> None:
        """Until it is ready or the app has ended (or has broken the rules)."""
        await within(
            self._changed.until(lambda: ready() or self._task.done() or self._illegal is not None),
            seconds,
            f"{self.scope['method']} {self.scope['path']}: {what}",
        )
        if not ready() or self._illegal is not None:
            self._raise_fault()

    def _raise_fault(self) -> None:
        if self._illegal is not None:
            raise self._illegal
        if self._task.cancelled():
            if not self._gone:
                raise AssertionError("the app was cancelled, though not by its server")
        elif self._task.done():
            self._task.result()
