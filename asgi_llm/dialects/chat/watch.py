"""Looks at a chat stream that passes through unchanged."""

from collections import deque

import msgspec
from msgspec import Raw

from asgi_llm.dialects.money import with_gateway
from asgi_llm.dialects.sse import Frame, SSEReader, event_end
from asgi_llm.errors import UpstreamError
from asgi_llm.neutral.usage import Usage, merge

from .answer import Chunk
from .errors import in_band_error
from .finish import FAILED
from .usage import read_usage

__all__ = ["ChatWatcher"]

_KEPT, _EVENTS = 2048, 4
"""So many bytes at the end of a stream are looked at, and so many whole events before them: the last one may be large,
and the reason why the answer ended stands before it."""
_ROOM = 4 * _KEPT
"""Bytes that gather before the older ones of them are let go: what that costs is shared by many pieces."""
_LAST = 8
"""Pieces of whole events that are kept: the reason why an answer ended, usage and the mark of the end are three."""
_COMMENT = 100
"""Pieces of so few bytes may be nothing but comments, of which there may be many at the end."""
_LIMIT = 1024 * 1024
"""Bytes of one event that are kept; a larger one is let go unread."""
_BLANKS = (b"\n\n", b"\r\n\r\n", b"\r\r")
_chunk = msgspec.json.Decoder(Chunk)


class ChatWatcher:
    """See ``StreamWatcher``. A chat stream tells how it ends, and what it used, in its last events: only those are
    kept, and looked at when somebody wants to know."""

    __slots__ = ("_ended", "_failure", "_finish", "_over", "_pieces", "_room", "_size", "_usage", "_whole")

    def __init__(self) -> None:
        self._usage: Usage | None = None
        self._ended = self._over = False
        self._failure: UpstreamError | None = None
        self._finish: str | None = None
        self._whole: deque[bytes] = deque(maxlen=_LAST)
        """The last pieces, as long as each is whole events; so little that their memory is soon used again."""
        self._pieces: list[bytes] = []
        """What came since one was not."""
        self._size = 0
        self._room = _ROOM

    @property
    def usage(self) -> Usage | None:
        self._catch_up()
        return self._usage

    @property
    def ended(self) -> bool:
        self._catch_up()
        return self._ended

    @property
    def over(self) -> bool:
        self._catch_up()
        return self._over

    @property
    def failure(self) -> UpstreamError | None:
        self._catch_up()
        return self._failure

    @property
    def finish(self) -> str | None:
        self._catch_up()
        return self._finish

    @property
    def at_boundary(self) -> bool:
        last = b"".join((self._pieces or [*self._whole])[-4:])
        return not last or last.endswith(_BLANKS)

    def feed(self, data: bytes) -> None:
        if not self._pieces and data[-2:] == b"\n\n" and _COMMENT < len(data) < _ROOM:
            self._whole.append(data)
        else:
            self._gather(data)

    def end(self) -> None:
        data = self._taken()
        self._hold(b"")
        self._look(data)

    def _catch_up(self) -> None:
        if self._pieces or self._whole:
            data = self._taken()
            end = event_end(data)
            self._hold(data[end:])
            self._look(data[:end])

    def _gather(self, data: bytes) -> None:
        self._pieces += (*self._whole, data)
        self._size += len(data) + sum(map(len, self._whole))
        self._whole.clear()
        if self._size > self._room:
            self._forget()

    def _taken(self) -> bytes:
        """All that is kept, and may be wanted."""
        if self._pieces:
            self._forget()
        data = b"".join((*self._whole, *self._pieces))
        self._whole.clear()
        return data

    def _forget(self) -> None:
        data = b"".join(self._pieces)
        old = len(data) - _KEPT + 1
        for _ in range(_EVENTS):
            old = event_end(data[: max(old - 1, 0)])
        if not old and len(data) > _LIMIT:
            old = len(data) - _KEPT
        data = data[old:]
        self._hold(b"" if data[-2:] == b"\n\n" else data)
        if not self._pieces:
            self._whole.append(data)
        self._room = max(_ROOM, 2 * self._size)

    def _hold(self, data: bytes) -> None:
        self._pieces = [data] if data else []
        self._size = len(data)

    def _look(self, data: bytes) -> None:
        reader = SSEReader()
        for frame in [*reader.feed(data), *reader.end()]:
            if frame.data[:6] == b"[DONE]":
                self._ended = self._over = True
            elif frame.event == b"error" or _matters(frame.data):
                self._read(frame)

    def _read(self, frame: Frame) -> None:
        try:
            chunk = _chunk.decode(frame.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if frame.event == b"error" or b'"error"' in frame.data:
                self._failure = in_band_error(frame.data)
            return
        if chunk.failed or (frame.event == b"error" and not chunk.choices):
            self._failure = in_band_error(frame.data)
            return
        if (reported := chunk.reported) is not None and (usage := read_usage(Raw(bytes(reported)))) is not None:
            self._usage = merge(self._usage, usage)
        self._usage = with_gateway(self._usage, frame.data)
        for choice in chunk.choices or ():
            if choice.finish_reason:
                self._finish = choice.finish_reason
                self._ended = True
                if choice.finish_reason in FAILED:
                    self._failure = in_band_error(frame.data)


def _matters(data: bytes) -> bool:
    """Whether a chunk may say more than text: most need not be parsed."""
    if b'"error"' in data or data.count(b'"finish_reason"') != data.count(b'"finish_reason":null'):
        return True
    return data.count(b'"usage"') != data.count(b'"usage":null') or b'"gateway"' in data
