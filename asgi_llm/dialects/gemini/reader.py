"""The pieces of a stream, as JSON objects: from server-sent events, or from the elements of one JSON array.

Without ``alt=sse`` the API streams an array whose elements arrive one by one; an error may come as a bare object. The
first byte tells which it is. Spec: Gemini API, "streamGenerateContent".
"""

import re

from asgi_llm.dialects.sse import FrameTooLargeError, SSEReader

__all__ = ["PieceReader"]

_OUTSIDE = re.compile(rb'["{}\[\]]')
_INSIDE = re.compile(rb'["\\]')
_QUOTE, _OPEN, _CLOSE, _OPEN_LIST = b'"{}['
_BOM = b"\xef\xbb\xbf"


def _ending(data: bytes) -> int:
    """The length of the blank line's bytes, where the data ends with the only one and has no other line end."""
    if data[-4:] == b"\r\n\r\n":
        return 4 if data.count(b"\r") == 2 and data.count(b"\n") == 2 else 0
    return 2 if data[-2:] == b"\n\n" and data.count(b"\n") == 2 and b"\r" not in data else 0


class PieceReader:
    """Push bytes in, take whole pieces out. Its memory is one unfinished piece, at most ``limit`` bytes."""

    __slots__ = ("_elements", "_first", "_limit", "_sse")

    def __init__(self, limit: int = 64 * 1024 * 1024) -> None:
        self._limit = limit
        self._sse: SSEReader | None = None
        self._elements: _Elements | None = None
        self._first = b""

    @property
    def is_array(self) -> bool:
        """Whether the stream is no event stream but JSON."""
        return self._elements is not None

    @property
    def closed(self) -> bool:
        """Whether the array has come to its end."""
        return self._elements is not None and self._elements.closed

    @property
    def pending(self) -> bool:
        """Whether an unfinished piece is held."""
        if self._elements is not None:
            return self._elements.pending
        return bool(self._first) or (self._sse is not None and self._sse.pending)

    def feed(self, data: bytes) -> list[bytes]:
        """The pieces that became whole.

        Raises:
            FrameTooLargeError: an unfinished piece outgrew the limit.
        """
        if self._sse is not None:
            if data[:6] == b"data: " and not self._sse.pending and (end := _ending(data)):
                return [data[6:-end]]
            return [data for _, data in self._sse.feed(data)]
        if self._elements is not None:
            return self._elements.feed(data)
        return self._begin(data)

    def _begin(self, data: bytes) -> list[bytes]:
        data = self._first + data
        start = data.removeprefix(_BOM).lstrip()
        if not start or (len(start) < len(_BOM) and _BOM.startswith(start)):
            self._first = start  # white space says nothing, however much of it comes
            return []
        self._first = b""
        if start[:1] in (b"[", b"{"):
            self._elements = _Elements(self._limit)
            return self._elements.feed(start)
        self._sse = SSEReader(self._limit)
        return self.feed(data)

    def end(self) -> list[bytes]:
        """The piece that was left unfinished when the stream ended."""
        if self._elements is not None:
            return self._elements.end()
        return [data for _, data in self._sse.end()] if self._sse is not None else []


class _Elements:
    """The objects of an array, cut out by their braces. Each byte is looked at once."""

    __slots__ = ("_depth", "_escaped", "_held", "_limit", "_lists", "_size", "_string", "closed")

    def __init__(self, limit: int) -> None:
        self._held: list[bytes] = []
        self._size = 0
        self._limit = limit
        self._depth = 0
        self._lists = 0
        self._string = False
        self._escaped = False
        self.closed = False

    @property
    def pending(self) -> bool:
        return self._depth > 0

    def feed(self, data: bytes) -> list[bytes]:
        whole: list[bytes] = []
        start, at = 0, 0
        if self._escaped and data:
            self._escaped, at = False, 1
        while (found := (_INSIDE if self._string else _OUTSIDE).search(data, at)) is not None:
            at = found.end()
            mark = data[at - 1]
            if self._string:
                if mark == _QUOTE:
                    self._string = False
                elif at == len(data):
                    self._escaped = True
                else:
                    at += 1
            elif mark == _QUOTE:
                self._string = True
            elif mark == _OPEN:
                if self._depth == 0:
                    start = at - 1
                self._depth += 1
            elif mark == _CLOSE:
                self._depth -= 1
                if self._depth == 0:
                    whole.append(b"".join([*self._held, data[start:at]]))
                    self._held, self._size = [], 0
                elif self._depth < 0:
                    self._depth = 0
            elif self._depth == 0:
                self._lists += 1 if mark == _OPEN_LIST else -1
                self.closed = self._lists <= 0
        if self._depth > 0:
            self._hold(data[start:])
        return whole

    def _hold(self, data: bytes) -> None:
        self._held.append(data)
        self._size += len(data)
        if self._size > self._limit:
            raise FrameTooLargeError(f"an element of the stream is larger than {self._limit} bytes")

    def end(self) -> list[bytes]:
        rest, self._held, self._size = b"".join(self._held), [], 0
        return [rest] if rest else []
