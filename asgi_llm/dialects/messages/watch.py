"""Looks at a Messages stream that passes through unchanged, as cheaply as it can.

Nearly all of a stream are deltas, which are never parsed: only blocks of bytes in which a message event or an error may
be are cut into events. At most one unfinished event is held, and not more than a limit of it.
"""

import re

import msgspec
from msgspec import Raw, Struct

from asgi_llm.dialects.money import with_gateway
from asgi_llm.dialects.sse import SSEReader
from asgi_llm.errors import UpstreamError
from asgi_llm.neutral.usage import Usage

from .errors import in_band
from .raws import NULL
from .usage import WireUsage, decode_usage, fold, to_neutral

__all__ = ["MessagesWatcher"]

_LIMIT = 256 * 1024
_BLANK = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_ENDINGS = (b"\n\n", b"\r\n\r\n", b"\r\r")


class _Message(Struct):
    usage: Raw = NULL


class _Stop(Struct):
    stop_reason: str | None = None


class _Event(Struct):
    type: str = ""
    message: _Message | None = None
    delta: _Stop | None = None
    usage: Raw = NULL


_EVENT = msgspec.json.Decoder(_Event)


class MessagesWatcher:
    """See ``interface.StreamWatcher``."""

    __slots__ = ("_held", "_seen", "_skipping", "_wire", "ended", "failure", "finish", "usage")

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.ended = False
        self.failure: UpstreamError | None = None
        self.finish: str | None = None
        self._wire: WireUsage | None = None
        self._held = b""
        self._skipping = False
        self._seen = b"\n\n"

    @property
    def over(self) -> bool:
        return self.ended

    @property
    def at_boundary(self) -> bool:
        return self._seen.endswith(_ENDINGS)

    def feed(self, data: bytes) -> None:
        if not data:
            return
        if not self._held and data.endswith(b"\n\n"):
            self._seen = b"\n\n"
            if self._skipping:
                data = self._resume(data)
            if _may_matter(data):
                self._look(data)
            return
        self._seen = (self._seen + data[-4:])[-4:]
        self._feed_cut(data)

    def end(self) -> None:
        held, self._held = self._held, b""
        if held:
            self._look(held)

    def _feed_cut(self, data: bytes) -> None:
        """Bytes that begin or end inside an event."""
        if self._skipping:
            data = self._resume(data)
        data = self._held + data
        whole = 0
        for found in _BLANK.finditer(data, max(0, len(self._held) - 3)):
            whole = found.end()
        if whole and _may_matter(data[:whole]):
            self._look(data[:whole])
        self._held = data[whole:]
        if len(self._held) > _LIMIT:
            # No event that matters is so large: forget it, and go on after it.
            self._held = self._held[-3:]
            self._skipping = True

    def _resume(self, data: bytes) -> bytes:
        """What follows the end of an event that was too large to hold."""
        text = self._held + data
        self._held = b""
        if (found := _BLANK.search(text)) is None:
            self._held = text[-3:]
            return b""
        self._skipping = False
        return text[found.end() :]

    def _look(self, block: bytes) -> None:
        reader = SSEReader()
        for name, data in [*reader.feed(block), *reader.end()]:
            if name[:8] != b"content_" and _may_matter(data):
                self._event(name, data)

    def _event(self, name: bytes, data: bytes) -> None:
        try:
            event = _EVENT.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            event = _Event()
        match event.type or name.decode("latin-1"):
            case "message_start" if event.message is not None:
                self._count(event.message.usage, data)
            case "message_delta":
                self._count(event.usage, data)
                if event.delta is not None and event.delta.stop_reason:
                    self.finish = event.delta.stop_reason
            case "message_stop":
                self.ended = True
            case "error":
                self.failure = in_band(data)

    def _count(self, raw: Raw, data: bytes) -> None:
        self._wire = fold(self._wire, decode_usage(raw))
        self.usage = with_gateway(to_neutral(self._wire), data)


def _may_matter(data: bytes) -> bool:
    # `in` makes, and drops, an exception before it looks for bytes: this is done for every piece.
    return data.find(b"message_") >= 0 or data.find(b"error") >= 0
