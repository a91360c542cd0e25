"""Puts the caller's model name back into a stream that passes through under an alias."""

import re

import msgspec

from .sse import SSEReader
from .whole_events import WholeEvents

__all__ = ["RenameModel"]


class RenameModel(WholeEvents):
    """A ``StreamFilter``. An upstream writes its name the same way in every event, so the bytes it used first are what
    is replaced; inside a text they cannot occur, since quotes are escaped there."""

    __slots__ = ("_member", "_new", "_old")

    def __init__(self, model: str, member: str = "model") -> None:
        super().__init__()
        self._member = member
        self._new = b'"%b":%b' % (member.encode(), msgspec.json.encode(model))
        self._old: bytes | None = None

    def _edit(self, data: bytes) -> bytes:
        if self._old is None and data:
            self._old = _written(data, self._member)
        return data if self._old is None else data.replace(self._old, self._new)


def _written(data: bytes, member: str) -> bytes | None:
    """The member that names the model, as the upstream writes it; None while no event has named it."""
    pattern = re.compile(rb'"%b"\s*:\s*("(?:[^"\\]|\\.)*")' % member.encode())
    reader = SSEReader()
    for frame in [*reader.feed(data), *reader.end()]:
        name = _named(frame.data, member)
        for match in pattern.finditer(frame.data) if name else ():
            if msgspec.json.decode(match.group(1)) == name:
                return match.group()
    return None


def _named(event: bytes, member: str) -> str | None:
    """The model that an event names, at its top or in the ``message`` or ``response`` that it holds."""
    try:
        said = msgspec.json.decode(event)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    for place in (said, said.get("message"), said.get("response")):
        if isinstance(place, dict) and isinstance(name := place.get(member), str) and name:
            return name
    return None
