"""Puts the caller's model name back into a stream that passes through under an alias."""

import re

import msgspec
from msgspec import Struct

from .sse import SSEReader

__all__ = ["RenameModel"]

_MODEL = re.compile(rb'"model"\s*:\s*("(?:[^"\\]|\\.)*")')
_END = re.compile(rb"\n\n|\r\n\r\n|\r\r")
_LIMIT = 1024 * 1024
"""Bytes of an unfinished event that are held; of a larger one, what comes later passes as it is."""


class _Named(Struct):
    model: str | None = None


class _Event(Struct):
    """Where each dialect's events name the model."""

    model: str | None = None
    message: _Named | None = None
    response: _Named | None = None


_event = msgspec.json.Decoder(_Event)


class RenameModel:
    """A ``StreamFilter``. An upstream writes its name the same way in every event, so the bytes it used first are what
    is replaced; inside a text they cannot occur, since quotes are escaped there."""

    __slots__ = ("_held", "_new", "_old")

    def __init__(self, model: str) -> None:
        self._new = b'"model":' + msgspec.json.encode(model)
        self._old: bytes | None = None
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        data = self._held + data if self._held else data
        end = 0
        if data.endswith(b"\n\n"):
            end = len(data)
        else:
            for match in _END.finditer(data):
                end = match.end()
        if len(data) - end > _LIMIT:
            end = len(data)
        self._held = data[end:]
        return self._edit(data[:end])

    def end(self) -> bytes:
        held, self._held = self._held, b""
        return self._edit(held)

    def _edit(self, data: bytes) -> bytes:
        if self._old is None and data:
            self._old = _written(data)
        return data if self._old is None else data.replace(self._old, self._new)


def _written(data: bytes) -> bytes | None:
    """The member that names the model, as the upstream writes it; None while no event has named it."""
    reader = SSEReader()
    for frame in [*reader.feed(data), *reader.end()]:
        try:
            event = _event.decode(frame.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        places = (event, event.message, event.response)
        name = next((place.model for place in places if place is not None and place.model), None)
        for match in _MODEL.finditer(frame.data) if name else ():
            if msgspec.json.decode(match.group(1)) == name:
                return match.group()
    return None
