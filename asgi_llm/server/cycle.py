"""One request and its answer: what an ASGI application receives and sends (ASGI HTTP specification 2.3).

The head of an answer waits for the first piece of its body, as the specification wants it, and both leave together.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from asgi_llm.types import ASGIApp, Message, Scope

from .answer import CHUNKED, NOTHING, begin

if TYPE_CHECKING:
    from .protocol import Protocol

__all__ = ["BEGUN", "COMPLETE", "Cycle"]

logger = logging.getLogger("uvicorn.error")

WAITING, STARTED, BEGUN, COMPLETE, GONE = range(5)
"""How far an answer is: nothing is known, its head is, a part has left, all has, there is nobody to send it to."""

HELD = 262_144
"""Bytes of a request's body that wait for the application before its caller has to."""

_JOINED = 65_536
"""Bytes up to which a piece of an answer is copied behind the head, to leave in one write."""


class Cycle:
    """A request, from its head to the end of its answer.

    Attributes:
        scope: as the application gets it.
        keep_alive: whether the connection may be used again.
        whole: the request's body has arrived.
        size: bytes of the body that wait for the application.
        stage: how far the answer is.
        task: in which the application runs, if it did not return at once.
    """

    __slots__ = (
        "_body", "_event", "_expects", "_head", "_left", "_pieces", "_protocol",
        "keep_alive", "scope", "size", "stage", "task", "whole",
    )  # fmt: skip

    def __init__(self, protocol: "Protocol", scope: Scope, body: bytes | None, keep_alive: bool = True) -> None:
        """``body`` is all of it, or None for one that comes in pieces: ``expect`` is to be called before the first."""
        self._protocol = protocol
        self.scope = scope
        self.keep_alive = keep_alive
        self._body = body
        self._pieces: list[bytes | memoryview] | None = None
        self._event: asyncio.Event | None = None
        self.whole = body is not None
        self.stage = WAITING
        self.task: asyncio.Task[None] | None = None
        # The others are set where they begin to be needed, since all requests pay for what is set here.

    async def run(self, app: ASGIApp) -> None:
        """Lets the application answer. What it fails to do is logged, and answered where that is still possible."""
        try:
            await app(self.scope, self.receive, self.send)
            if self.stage < COMPLETE:
                logger.error("ASGI callable returned without %s response.", ("starting", "completing")[self.stage > 0])
                self._give_up()
        except asyncio.CancelledError:
            self._give_up()
            raise
        except BaseException:  # an application that calls sys.exit() ends its answer, not the server
            logger.exception("Exception in ASGI application\n")
            self._give_up()
        finally:
            if self.task is not None:
                self._protocol.tasks.discard(self.task)

    def _give_up(self) -> None:
        """Answers 500 where nothing has been sent yet; else a cut is all that can be told."""
        if self.stage < BEGUN:
            text = b"Internal Server Error"
            self.keep_alive = False
            self._start(500, [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(text))])
            self._write(text, False)
        elif self.stage == BEGUN:
            self.stage = COMPLETE
            self._protocol.transport.close()

    # What the connection tells it

    def expect(self, expects: bool) -> None:
        """The body comes in pieces. ``expects``: the caller waits for "100 Continue" before it sends them."""
        self._pieces = []
        self._expects = expects
        self.size = 0

    def take(self, data: bytes | memoryview) -> bool:
        """A piece of the body. Whether no more should come for now."""
        if self._pieces is None or self.stage >= COMPLETE:
            return False
        self._pieces.append(data)
        self.size += len(data)
        self._wake()
        return self.size > HELD

    def end(self) -> None:
        """The body is whole."""
        self.whole = True
        self._wake()

    def lose(self) -> None:
        """The caller is gone."""
        if self.stage < COMPLETE:
            self.stage = GONE
        self._wake()

    def _wake(self) -> None:
        if self._event is not None:
            self._event.set()

    # What the application calls

    async def receive(self) -> Message:
        """The next piece of the body; after the last one, waits until there is nobody to answer."""
        body = self._body
        if body is None or self.stage >= COMPLETE:
            return await self._later()
        self._body = None
        return {"type": "http.request", "body": body, "more_body": False}

    async def _later(self) -> Message:
        while self.stage < COMPLETE:
            pieces = self._pieces
            if pieces is not None:
                if pieces or self.whole:
                    return self._next(pieces)
                self._go_on()
            if self._event is None:
                self._event = asyncio.Event()
            self._event.clear()
            await self._event.wait()
        return {"type": "http.disconnect"}

    def _go_on(self) -> None:
        if self._expects:
            self._expects = False
            if self.stage == WAITING:
                self._protocol.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _next(self, pieces: list[bytes | memoryview]) -> Message:
        body = b"".join(pieces)  # which takes a single piece of bytes as it is
        full = self.size > HELD
        self._pieces = None if self.whole else []
        self.size = 0
        if full:
            self._protocol.read_on()
        return {"type": "http.request", "body": body, "more_body": not self.whole}

    async def send(self, message: Message) -> None:
        """A part of the answer.

        Raises:
            RuntimeError: the application sends what it must not.
        """
        if self._protocol.writing_paused and self.stage < COMPLETE:
            await self._protocol.drained()
        kind, stage = message["type"], self.stage
        if stage == BEGUN and self._left == CHUNKED and kind == "http.response.body" and message.get("more_body"):
            # As in ``_write``: a piece of a stream, of which there are more than of anything else.
            if body := message.get("body"):
                self._protocol.transport.write(b"%x\r\n%b\r\n" % (len(body), body))
            return
        if stage == GONE:
            return
        if kind == "http.response.body" and STARTED <= stage <= BEGUN:
            self._write(message.get("body", b""), message.get("more_body", False))
        elif kind == "http.response.start" and stage == WAITING:
            self._start(message["status"], message.get("headers", ()))
        else:
            raise RuntimeError(f"Unexpected ASGI message {kind!r}: {_SAID[stage]}.")

    def _start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        protocol = self._protocol
        if self._pieces is not None and self._expects:
            # Nobody asked for the body, so it may come next, or another request may (RFC 9110, 10.1.1).
            self.keep_alive = False
        given, keep_alive = protocol.state.default_headers, self.keep_alive
        self._head, self._left, self.keep_alive = begin(status, headers, given, self.scope, keep_alive)
        self.stage = STARTED
        if protocol.logs:
            protocol.log(self.scope, status)

    def _write(self, body: bytes, more: bool) -> None:
        left, transport = self._left, self._protocol.transport
        if not more and self.stage == STARTED and left == len(body) <= _JOINED:
            transport.write(self._head + body)
            self._finish()
            return
        if left == CHUNKED:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            if not more:
                body += b"0\r\n\r\n"
        elif left >= 0:
            self._left = left = left - len(body)
            if left < 0 or (left and not more):
                raise RuntimeError(f"Response content {'longer' if left < 0 else 'shorter'} than Content-Length")
        elif left == NOTHING:
            body = b""
        if self.stage == STARTED:
            self.stage = BEGUN
            if len(body) > _JOINED:
                transport.write(self._head)
            else:
                body = self._head + body
        if body:
            transport.write(body)
        if not more:
            self._finish()

    def _finish(self) -> None:
        self.stage = COMPLETE
        if self._event is not None:
            self._event.set()
        self._protocol.answered(self)


_SAID = ("there is no head yet", "its head has been sent", "its head has been sent", "it has ended", "")
