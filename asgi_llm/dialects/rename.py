"""Puts the caller's model name back into a stream that passes through under an alias."""

import re

import msgspec

__all__ = ["RenameModel"]

_MODEL = re.compile(rb'"model"\s*:\s*"(?:[^"\\]|\\.)*"')
_END = re.compile(rb"\n\n|\r\n\r\n|\r\r")


class RenameModel:
    """A ``StreamFilter``. The upstream writes its name the same way in every event, so the bytes of the first
    occurrence are what is replaced; inside a text they cannot occur, since quotes are escaped there."""

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
        self._held = data[end:]
        return self._edit(data[:end])

    def end(self) -> bytes:
        held, self._held = self._held, b""
        return self._edit(held)

    def _edit(self, data: bytes) -> bytes:
        if self._old is None:
            match = _MODEL.search(data)
            if match is None:
                return data
            self._old = match.group()
        return data.replace(self._old, self._new)
