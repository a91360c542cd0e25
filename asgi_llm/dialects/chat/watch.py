"""Looks at a chat stream that passes through unchanged.

Most chunks are not parsed: three searches of the bytes tell that they hold no usage, no finish, no error and no end.
"""

import msgspec
from msgspec import Raw

from asgi_llm.dialects.sse import Frame, SSEReader
from asgi_llm.errors import UpstreamError
from asgi_llm.neutral.usage import Usage, merge

from .answer import Chunk
from .errors import in_band_error
from .finish import FAILED
from .usage import read_usage

__all__ = ["ChatWatcher", "event_end"]

_LIMIT = 1024 * 1024
"""Bytes of one unfinished event that are held; a larger one is let go unread."""
_chunk = msgspec.json.Decoder(Chunk)


def event_end(data: bytes) -> int:
    """Where the last whole event in ``data`` ends, or 0."""
    if b"\r" not in data:
        return data.rfind(b"\n\n") + 2 if b"\n\n" in data else 0
    ends = [data.rfind(blank) + len(blank) for blank in (b"\n\n", b"\r\n\r\n", b"\r\r") if blank in data]
    return max(ends, default=0)


class ChatWatcher:
    """See ``StreamWatcher``."""

    __slots__ = ("_held", "_seam", "_size", "_skipping", "ended", "failure", "finish", "usage")

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.ended = False
        self.failure: UpstreamError | None = None
        self.finish: str | None = None
        self._held: list[bytes] = []
        self._seam = b""
        """The last bytes held: a blank line may be cut anywhere."""
        self._size = 0
        self._skipping = False

    @property
    def at_boundary(self) -> bool:
        return not self._held and not self._skipping

    def feed(self, data: bytes) -> None:
        if not self._held and data[-2:] == b"\n\n" and not self._skipping:
            if _matters(data):
                self._look(data)
            return
        self._feed_cut(data)

    def end(self) -> None:
        rest = b"".join(self._held)
        self._held, self._size, self._seam, self._skipping = [], 0, b"", False
        if rest and _matters(rest):
            self._look(rest)

    def _feed_cut(self, data: bytes) -> None:
        if not data:
            return
        end = event_end(self._seam + data) - len(self._seam)
        if end <= 0:
            self._hold(data)
            return
        whole = b"".join([*self._held, data[:end]])
        skipped, self._skipping = self._skipping, False
        self._held, self._size, self._seam = [], 0, b""
        if skipped:
            whole = whole[_first_end(whole) :]
        if _matters(whole):
            self._look(whole)
        if end < len(data):
            self._hold(data[end:])

    def _hold(self, data: bytes) -> None:
        self._held.append(data)
        self._size += len(data)
        self._seam = (self._seam + data)[-3:]
        if self._size > _LIMIT:
            self._skipping = True
        if self._skipping:
            self._held, self._size = [self._seam], len(self._seam)

    def _look(self, data: bytes) -> None:
        reader = SSEReader()
        for frame in [*reader.feed(data), *reader.end()]:
            if frame.data[:6] == b"[DONE]":
                self.ended = True
            elif frame.event == b"error" or _matters(frame.data):
                self._read(frame)

    def _read(self, frame: Frame) -> None:
        try:
            chunk = _chunk.decode(frame.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if frame.event == b"error" or b'"error"' in frame.data:
                self.failure = in_band_error(frame.data)
            return
        if chunk.failed or (frame.event == b"error" and not chunk.choices):
            self.failure = in_band_error(frame.data)
            return
        if (reported := chunk.reported) is not None and (usage := read_usage(Raw(bytes(reported)))) is not None:
            self.usage = merge(self.usage, usage)
        for choice in chunk.choices or ():
            if choice.finish_reason:
                self.finish = choice.finish_reason
                self.ended = True
                if choice.finish_reason in FAILED:
                    self.failure = in_band_error(frame.data)


def _matters(data: bytes) -> bool:
    """Whether these bytes may say more than text."""
    # "find" searches faster than "in" does.
    if data.find(b'"error"') >= 0 or data.find(b"[DONE]") >= 0 or data.find(b"event:") >= 0:
        return True
    if data.count(b'"finish_reason"') != data.count(b'"finish_reason":null'):
        finish = data.count(b'"finish_reason":null') + data.count(b'"finish_reason": null')
        if data.count(b'"finish_reason"') != finish:
            return True
    if data.find(b'"usage"') < 0:
        return False
    silent = data.count(b'"usage":null') + data.count(b'"usage": null')
    return data.count(b'"usage"') != silent


def _first_end(data: bytes) -> int:
    ends = [data.find(blank) + len(blank) for blank in (b"\n\n", b"\r\n\r\n", b"\r\r") if blank in data]
    return min(ends, default=len(data))
