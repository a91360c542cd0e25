"""What is seen of a response that passes: its id, how it stands, what it used, and the items in it."""

import msgspec
from msgspec import Raw, Struct

from asgi_llm.dialects.sse import FrameTooLargeError, SSEReader
from asgi_llm.stores.responses import Status

__all__ = ["Sight"]

_LIMIT = 16 * 1024 * 1024
"""Bytes of one event; of a stream with a larger one no more is seen."""
_MARKS = (b'"response"', b'"response.output_item.done"')
_MOST = 10_000
_LONGEST = 200


class _Named(Struct):
    id: object = None


class _Response(Struct):
    id: str = ""
    status: str | None = None
    output: list[_Named] | None = None
    usage: Raw = Raw(b"null")


class _Event(Struct):
    type: str = ""
    response: _Response | None = None
    item: _Named | None = None


_response = msgspec.json.Decoder(_Response)
_event = msgspec.json.Decoder(_Event)
_ENDED = frozenset({"completed", "incomplete", "failed", "cancelled"})
_FAILURES = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Sight:
    """``id`` is empty until it is known, ``status`` until it has ended. ``usage`` is as it was said."""

    __slots__ = ("_reader", "id", "items", "status", "usage")

    def __init__(self) -> None:
        self.id = ""
        self.status: Status | None = None
        self.items: dict[str, None] = {}
        self.usage = Raw(b"null")
        self._reader: SSEReader | None = SSEReader(_LIMIT)

    def whole(self, body: bytes) -> None:
        """Looks at a response object."""
        try:
            self._take(_response.decode(body))
        except _FAILURES:
            return

    def feed(self, data: bytes) -> None:
        """Looks at the next piece of a stream."""
        reader = self._reader
        if reader is None or (not reader.pending and data.endswith(b"\n\n") and not _marked(data)):
            return
        try:
            frames = reader.feed(data)
        except FrameTooLargeError:
            self._reader = None
            return
        for frame in frames:
            if _marked(frame.data):
                self._look(frame.data)

    def _look(self, data: bytes) -> None:
        try:
            event = _event.decode(data)
        except _FAILURES:
            return
        if event.type == "response.output_item.done" and event.item is not None:
            self._hold(event.item)
        elif event.response is not None and event.type.startswith("response."):
            self._take(event.response)

    def _take(self, response: _Response) -> None:
        if not self.id and len(response.id) <= _LONGEST and response.id.isascii() and response.id.isprintable():
            self.id = response.id
        for item in response.output or ():
            self._hold(item)
        if response.status in _ENDED:
            self.status = response.status  # type: ignore[assignment]  # one of the words, as was just seen
            self.usage = Raw(bytes(response.usage))

    def _hold(self, item: _Named) -> None:
        if isinstance(item.id, str) and 0 < len(item.id) <= _LONGEST and len(self.items) < _MOST:
            self.items[item.id] = None


def _marked(data: bytes) -> bool:
    return any(data.find(mark) >= 0 for mark in _MARKS)  # `in` first takes bytes for a number
