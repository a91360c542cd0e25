"""Takes usage out of a passing chat stream, for callers who did not ask for it while the gateway did.

With ``include_usage`` the origin adds ``"usage":null`` to every chunk and sends one more chunk with the counts. Both
are removed; every other byte stays as it is.
"""

import re
from typing import ClassVar, Final

import msgspec
from msgspec import Raw, Struct

from asgi_llm.dialects.sse import event_end

__all__ = ["UsageFilter"]

_LIMIT = 1024 * 1024
"""Bytes of one unfinished event that are held back; a larger one passes as it is."""
_LAST: Final = b',"usage":null}\n'
"""The member as the last one of a chunk. No text of the model can look like that: its quotes are escaped."""
_NULL = re.compile(rb',\s*"usage"\s*:\s*null(?=\s*[,}])')
_EVENT = re.compile(rb".*?(?:\r\n\r\n|\n\n|\r\r|\Z)", re.DOTALL)
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]]', re.DOTALL)
_COLON = re.compile(rb"\s*:\s*")
_COMMA = re.compile(rb"\s*,\s*")
_SCALAR = re.compile(rb"[^,}\]\s]+")


class _Chunk(Struct):
    choices: list[Raw] | None = None
    usage: Raw = Raw()


_chunk = msgspec.json.Decoder(_Chunk)


class UsageFilter:
    """Bytes of a stream in any chunking -> the same bytes without usage. An event is passed on when it is whole."""

    __slots__ = ("_held", "_open", "_seam", "_size")
    mark: ClassVar[bytes] = b'"usage"'

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._seam = b""
        """The last bytes held: a blank line may be cut anywhere."""
        self._size = 0
        self._open = False
        """Whether the beginning of the current event has been passed on already, because it is too large."""

    def feed(self, data: bytes) -> bytes:
        if not self._held and not self._open and data[-2:] == b"\n\n":
            return _without_usage(data) if data.find(b'"usage"') >= 0 else data
        return self._feed_cut(data)

    def end(self) -> bytes:
        """What was held back when the stream ended."""
        rest = b"".join(self._held)
        self._held, self._size, self._seam = [], 0, b""
        return rest if self._open else _without_usage(rest)

    def _feed_cut(self, data: bytes) -> bytes:
        end = event_end(self._seam + data) - len(self._seam)
        if end <= 0:
            return self._hold(data)
        whole = b"".join([*self._held, data[:end]])
        self._held, self._size, self._seam = [], 0, b""
        passed = b""
        if self._open:
            self._open = False
            first = _EVENT.match(whole)
            cut = first.end() if first is not None else 0
            passed, whole = whole[:cut], whole[cut:]
        return passed + _without_usage(whole) + (self._hold(data[end:]) if end < len(data) else b"")

    def _hold(self, data: bytes) -> bytes:
        self._held.append(data)
        self._size += len(data)
        self._seam = (self._seam + data)[-3:]
        if self._size > _LIMIT:
            self._open = True
        if not self._open:
            return b""
        # The last bytes stay: they may be the beginning of the blank line that ends the event.
        rest = b"".join(self._held)
        keep = len(self._seam)
        self._held, self._size = [self._seam], keep
        return rest[:-keep]


def _without_usage(data: bytes) -> bytes:
    if data.find(b'"usage"') < 0:
        return data
    data = data.replace(_LAST, b"}\n")
    if data.find(b'"usage"') < 0:
        return data
    if data.find(b"\r") < 0:
        # The last item is what follows the last blank line: an event that was left unfinished, or nothing.
        *events, rest = data.split(b"\n\n")
        return b"".join([*(_event(event + b"\n\n") for event in events), _event(rest)])
    return b"".join(_event(event) for event in _EVENT.findall(data))


def _event(event: bytes) -> bytes:
    if event.find(b'"usage"') < 0:
        return event
    null = _NULL.search(event)
    if null is not None and _depth(event, null.end()) == 1:
        return event[: null.start()] + event[null.end() :]
    return _parsed(event)


def _depth(event: bytes, position: int) -> int:
    """How many brackets are closed behind a position, which is how deep inside the chunk it is."""
    depth = 0
    for token in _TOKEN.finditer(event, position):
        if token[0] in b"}]":
            depth += 1
        elif token[0] in b"{[":
            depth -= 1
    return depth


def _parsed(event: bytes) -> bytes:
    start, end = event.find(b"{"), event.rfind(b"}") + 1
    body = event[start:end]
    try:
        chunk = _chunk.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return event
    if not chunk.usage:
        return event
    if bytes(chunk.usage) != b"null" and not chunk.choices:
        return b""
    return event[:start] + _cut_member(body) + event[end:]


def _cut_member(body: bytes) -> bytes:
    """The object without its own member ``usage``, wherever it is."""
    depth = 0
    for token in _TOKEN.finditer(body):
        char = token[0]
        if char in b"{[":
            depth += 1
        elif char in b"}]":
            depth -= 1
        elif depth == 1 and char == b'"usage"' and (colon := _COLON.match(body, token.end())) is not None:
            return _cut(body, token.start(), _value_end(body, colon.end()))
    return body


def _value_end(body: bytes, start: int) -> int:
    if body[start : start + 1] not in (b"{", b"["):
        scalar = _SCALAR.match(body, start)
        return scalar.end() if scalar is not None else start
    depth = 0
    for token in _TOKEN.finditer(body, start):
        if token[0] in b"{[":
            depth += 1
        elif token[0] in b"}]":
            depth -= 1
            if depth == 0:
                return token.end()
    return len(body)


def _cut(body: bytes, start: int, end: int) -> bytes:
    """Cut a member out together with the comma behind it, or before it where it is the last."""
    if (comma := _COMMA.match(body, end)) is not None:
        return body[:start] + body[comma.end() :]
    before = body[:start].rstrip()
    return before.removesuffix(b",") + body[end:]
