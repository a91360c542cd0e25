"""Server-sent events, framed. Any chunking, LF, CRLF or CR, comments, several ``data`` lines, a byte order mark.

Spec: WHATWG HTML, section 9.2.6 "Interpreting an event stream". Two deliberate differences: data stays bytes (JSON
parsers want bytes; U+2028 and friends are no line ends here), and ``end`` hands out an event that lacks its final
blank line, because some servers close without it.
"""

import re
from typing import NamedTuple

__all__ = ["Frame", "FrameTooLargeError", "SSEReader", "event_end", "frame"]

_CR = 13
_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"
_LF, _CR = 10, 13  # as numbers: looking for one byte is far cheaper so than for a string of one byte


class FrameTooLargeError(ValueError):
    """One event is larger than the reader's limit in bytes."""


class Frame(NamedTuple):
    """One event. ``event`` is b"" when the stream named none; ``data`` joins its data lines by LF."""

    event: bytes
    data: bytes


def frame(data: bytes, event: bytes = b"") -> bytes:
    """One event on the wire; ``data`` must not contain line ends (JSON without indentation never does)."""
    return b"event: %b\ndata: %b\n\n" % (event, data) if event else b"data: %b\n\n" % data


class SSEReader:
    """Push bytes in, take whole events out. Its memory is one unfinished event, at most ``limit`` bytes."""

    __slots__ = ("_first", "_limit", "_parts", "_size")

    def __init__(self, limit: int = 64 * 1024 * 1024) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._limit = limit
        self._first = True

    @property
    def pending(self) -> bool:
        """Whether an unfinished event is held."""
        return bool(self._parts)

    def feed(self, data: bytes) -> list[Frame]:
        """The events that became whole.

        Raises:
            FrameTooLargeError: an unfinished event outgrew the limit.
        """
        if self._first and data:
            data = self._strip_bom(data)
        if not self._parts and data.endswith(b"\n\n") and _CR not in data:
            return _parse(data.split(b"\n\n"))
        return self._feed_slow(data)

    def end(self) -> list[Frame]:
        """The event that was left unfinished when the stream ended, if it has data."""
        rest = b"".join(self._parts)
        self._parts, self._size = [], 0
        return _parse([_LINE_END.sub(b"\n", rest)]) if rest else []

    def _strip_bom(self, data: bytes) -> bytes:
        joined = b"".join(self._parts) + data
        if len(joined) < len(_BOM) and _BOM.startswith(joined):
            return data
        self._first = False
        if joined.startswith(_BOM):
            self._parts, self._size = [], 0
            return joined[len(_BOM) :]
        return data

    def _feed_slow(self, data: bytes) -> list[Frame]:
        # What is held is unified already and holds no blank line; only what is new is looked at.
        if self._parts and self._parts[-1].endswith(b"\r"):
            data = self._let_go() + data
        last = self._parts[-1][-1:] if self._parts else b""
        if _CR in data:
            data = self._unify(data, last)
        done, found, rest = data.rpartition(b"\n\n")
        if not found:
            if last != b"\n" or data[:1] != b"\n":
                self._hold(data)
                return []
            rest = data[1:]  # the blank line was cut in two
        text = b"".join([*self._parts, done])
        self._parts, self._size = [], 0
        self._hold(rest)
        return _parse(text.split(b"\n\n"))

    def _let_go(self) -> bytes:
        """Takes back the final "\\r" that is held."""
        held = self._parts.pop()[:-1]
        self._size -= 1
        if held:
            self._parts.append(held)
        return b"\r"

    @staticmethod
    def _unify(text: bytes, last: bytes) -> bytes:
        # A final "\r" may be half of "\r\n": it is held back as it is.
        tail = b"\r" if text.endswith(b"\r") else b""
        body = _LINE_END.sub(b"\n", text[:-1] if tail else text)
        if tail and (body[-1:] or last) == b"\n":
            # "...\n\r": a blank line either way; a following "\n" then is an empty line, which means nothing.
            return body + b"\n"
        return body + tail

    def _hold(self, data: bytes) -> None:
        if not data:
            return
        self._parts.append(data)
        self._size += len(data)
        if self._size > self._limit:
            raise FrameTooLargeError(f"an event of the stream is larger than {self._limit} bytes")


def _parse(blocks: list[bytes]) -> list[Frame]:
    frames = []
    for block in blocks:
        if not block:
            continue
        # The two shapes that nearly all events have are cut without a loop over their lines.
        head, _, rest = block.partition(b"\n")
        if not rest and head.startswith(b"data: "):
            frames.append(Frame(b"", head[6:]))
        elif rest.startswith(b"data: ") and head.startswith(b"event: ") and _LF not in rest:
            frames.append(Frame(head[7:], rest[6:]))
        elif (parsed := _parse_lines(block)) is not None:
            frames.append(parsed)
    return frames


def _parse_lines(block: bytes) -> Frame | None:
    event = b""
    data: list[bytes] = []
    for line in block.split(b"\n"):
        name, _, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if name == b"data":
            data.append(value)
        elif name == b"event":
            event = value
    return Frame(event, b"\n".join(data)) if data else None


def event_end(data: bytes) -> int:
    """Where the last whole event in ``data`` ends, or 0."""
    if _CR not in data:
        end = data.rfind(b"\n\n")
        return end + 2 if end >= 0 else 0
    ends = [data.rfind(blank) + len(blank) for blank in (b"\n\n", b"\r\n\r\n", b"\r\r") if blank in data]
    return max(ends, default=0)
