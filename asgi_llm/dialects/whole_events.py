"""Holds the bytes of a passing stream until its events are whole, for whoever edits them."""

import re
from abc import ABC, abstractmethod
from typing import ClassVar

__all__ = ["WholeEvents"]

_END = re.compile(rb"\n\n|\r\n\r\n|\r\r")


class WholeEvents(ABC):
    """A ``StreamFilter`` whose ``_edit`` is given one event or several, each to its end."""

    __slots__ = ("_held", "_seam", "_size")
    mark: ClassVar[bytes | None] = None
    longest: ClassVar[int] = 1024 * 1024
    """Bytes of an unfinished event that are held; of a larger one, what comes later passes as it is."""

    def __init__(self) -> None:
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
        if self._size + len(data) - max(end, 0) > self.longest:
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

    @abstractmethod
    def _edit(self, data: bytes) -> bytes: ...
