"""One request that came through a WebSocket, for an application that speaks HTTP."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import Raw

from asgi_llm.types import Headers, Message

__all__ = ["Turn"]

_FAILED = b"response.failed"
_LONGEST = 500
"""Bytes of an error that has not the API's form."""
_encode = msgspec.json.Encoder().encode


class Turn:
    """``receive`` and ``send`` are those of an ASGI request. Events go to ``say`` one by one, and anything else as an
    ``error`` event, if it is one. ``limit`` is bytes of one event. ``failed`` once it ended in an error."""

    __slots__ = ("_asked", "_body", "_headers", "_held", "_left", "_limit", "_say", "_status", "_streams", "failed")

    def __init__(self, body: bytes, left: asyncio.Event, say: Callable[[bytes], Awaitable[None]], limit: int) -> None:
        self.failed = False
        self._body = body
        self._left = left
        self._say = say
        self._limit = limit
        self._asked = False
        self._status = 0
        self._headers: Headers = []
        self._streams = False
        self._held = bytearray()

    async def receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """
        Raises:
            OSError: nobody listens any more, or an event is larger than it may be.
        """
        if message["type"] == "http.response.start":
            self._status, self._headers = message["status"], message["headers"]
            kind = dict(self._headers).get(b"content-type", b"")
            self._streams = kind[:17].lower() == b"text/event-stream"
            return
        self._held += message.get("body", b"")
        if len(self._held) > self._limit:
            self.failed = True
            await self._tell_failure(500, {"code": "event_too_large", "message": "an event is too large to be sent"})
            raise OSError("an event is too large")
        if self._streams:
            await self._pass_events()
        elif not message.get("more_body", False):
            await self._whole()

    async def _pass_events(self) -> None:
        """Those that are whole by now."""
        data = bytes(self._held)
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n")
        *frames, rest = data.split(b"\n\n")
        for frame in frames:
            event = b"\n".join(line[5:].strip() for line in frame.split(b"\n") if line.startswith(b"data:"))
            if event and event != b"[DONE]":
                self.failed = self.failed or (_FAILED in frame and _kind(event) == "response.failed")
                await self._say(event)
        self._held[:] = rest

    async def _whole(self) -> None:
        body = bytes(self._held)
        if self._status < 400:
            # An upstream that was asked for a stream and gave none.
            await self._say(_encode({"type": "response.completed", "sequence_number": 0, "response": Raw(body)}))
            return
        self.failed = True
        await self._tell_failure(self._status, _error(body))

    async def _tell_failure(self, status: int, error: Any) -> None:
        """Clients look among ``headers`` for when to ask again, as they would over HTTP."""
        told = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in self._headers
            if name.startswith((b"x-", b"retry-after"))
        }
        await self._say(_encode({"type": "error", "status": status, "error": error, "headers": told}))


def _error(body: bytes) -> Any:
    """What is wrong, as the API says it; there are upstreams that say it in their own way."""
    try:
        said = msgspec.json.decode(body)["error"]
    except (msgspec.MsgspecError, UnicodeDecodeError, TypeError, KeyError):
        said = None
    if isinstance(said, dict):
        return said
    return {"code": "upstream_error", "message": body[:_LONGEST].decode("utf-8", "replace")}


class _Event(msgspec.Struct):
    type: str = ""


_event = msgspec.json.Decoder(_Event)


def _kind(event: bytes) -> str:
    try:
        return _event.decode(event).type
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""
