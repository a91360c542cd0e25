"""Puts the caller's model name back into a stream that passes through under an alias."""

import re

import msgspec

from .sse import SSEReader

__all__ = ["RenameModel"]

_END = re.compile(rb"\n\n|\r\n\r\n|\r\r")
_LIMIT = 1024 * 1024
"""Bytes of an unfinished event that are held; of a larger one, what comes later passes as it is."""


class RenameModel:
    """A ``StreamFilter``. An upstream writes its name the same way in every event, so the bytes it used first are what
    is replaced; inside a text they cannot occur, since quotes are escaped there."""

    __slots__ = ("_held", "_member", "_new", "_old", "_seam", "_size")

    def __init__(self, model: str, member: str = "model") -> None:
        self._member = member
        self._new = b'"%b":%b' % (member.encode(), msgspec.json.encode(model))
        self._old: bytes | None = None
        self._held: list[bytes] = []
        self._size = 0
        self._seam = b""
        """The last bytes held: a blank line may be cut anywhere."""

    def feed(self, data: bytes) -> bytes:
        if not self._held and data.endswith(b"\n\n"):
            return self._edit(data)
        near, end = self._seam + data, 0
        if near.endswith(b"\n\n"):
            end = len(data)
        else:
            for match in _END.finditer(near):
                end = match.end() - len(self._seam)
        if self._size + len(data) - max(end, 0) > _LIMIT:
            end = len(data)
        if end <= 0:
            self._hold(data)
            return b""
        whole = self._let_go() + data[:end]
        self._hold(data[end:])
        return self._edit(whole)

    def end(self) -> bytes:
        return self._edit(self._let_go())

    def _hold(self, data: bytes) -> None:
        if data:
            self._held.append(data)
            self._size += len(data)
            self._seam = (self._seam + data)[-3:]

    def _let_go(self) -> bytes:
        held = b"".join(self._held)
        self._held, self._size, self._seam = [], 0, b""
        return held

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
