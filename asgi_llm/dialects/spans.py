"""Where the members of an object and the items of a list stand in JSON bytes, and edits of them.

For bodies that are changed in a few places and stay as they are in all others. The lengths of values come from a
decoder that leaves them raw, so that a long conversation is read at its speed, not token by token.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

import msgspec
from msgspec import Raw

__all__ = ["AmbiguousError", "Edits", "Member", "Span", "items", "members"]

_objects = msgspec.json.Decoder(dict[str, Raw])
_lists = msgspec.json.Decoder(list[Raw])
_OPEN_OBJECT = re.compile(rb"\s*\{\s*")
_OPEN_LIST = re.compile(rb"\s*\[\s*")
_KEY = re.compile(rb'("(?:[^"\\]|\\.)*")\s*:\s*', re.DOTALL)
_COMMA = re.compile(rb"\s*,\s*")
_CLOSE_OBJECT = re.compile(rb"\s*\}")


class AmbiguousError(Exception):
    """An object names a member twice, or by what is no UTF-8; what is meant, servers see differently."""


class Span(NamedTuple):
    start: int
    end: int


class Member(NamedTuple):
    """``start`` and ``colon`` are around the key with its quotes, ``value`` and ``end`` around the value."""

    start: int
    key_end: int
    value: int
    end: int


def members(body: bytes, start: int = 0, end: int | None = None) -> dict[str, Member]:
    """The members of the object between ``start`` and ``end``, in their order. It must be valid JSON.

    Raises:
        AmbiguousError: a name occurs twice, or is no UTF-8.
    """
    try:
        raws = _objects.decode(memoryview(body)[start:end])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise AmbiguousError from None
    found: dict[str, Member] = {}
    at = _after(_OPEN_OBJECT, body, start)
    for name, raw in raws.items():
        if found:
            at = _after(_COMMA, body, at)
        key = _KEY.match(body, at)
        if key is None:
            raise AmbiguousError
        at = key.end() + len(memoryview(raw))
        found[name] = Member(key.start(), key.end(1), key.end(), at)
    if _CLOSE_OBJECT.match(body, at) is None:
        raise AmbiguousError
    return found


def items(body: bytes, start: int, end: int) -> list[Span]:
    """The items of the list between ``start`` and ``end``. It must be valid JSON."""
    found: list[Span] = []
    at = _after(_OPEN_LIST, body, start)
    for raw in _lists.decode(memoryview(body)[start:end]):
        if found:
            at = _after(_COMMA, body, at)
        found.append(Span(at, at + len(memoryview(raw))))
        at = found[-1].end
    return found


def _after(pattern: re.Pattern[bytes], body: bytes, at: int) -> int:
    match = pattern.match(body, at)
    if match is None:
        raise AmbiguousError
    return match.end()


class Edits:
    """Changes of ``body``, collected and made at once. No two of them may overlap."""

    __slots__ = ("_body", "_made")

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._made: list[tuple[int, int, bytes]] = []

    def replace(self, start: int, end: int, value: bytes) -> None:
        self._made.append((start, end, value))

    def remove(self, spans: Iterable[tuple[int, int]], unwanted: Iterable[int]) -> None:
        """Takes out the ``unwanted`` (by position) of all the members or items of one object or list, each with one
        comma: the one behind it, or before it where nothing that stays is behind it."""
        places, out = list(spans), set(unwanted)
        last = max((place for place in range(len(places)) if place not in out), default=-1)
        for place in sorted(out):
            if place < last:
                self._made.append((places[place][0], places[place + 1][0], b""))
        if out and last < len(places) - 1:
            self._made.append((places[last][1] if last >= 0 else places[0][0], places[-1][1], b""))

    def apply(self) -> bytes:
        pieces: list[bytes] = []
        at = 0
        for start, end, value in sorted(self._made):
            pieces += (self._body[at:start], value)
            at = end
        pieces.append(self._body[at:])
        return b"".join(pieces)
