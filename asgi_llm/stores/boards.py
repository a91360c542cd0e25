"""Boards: small sets of named entries that all processes of a gateway see, with a version that tells of every change.

Who reads one has all of it, so that nothing depends on having heard of each change. What is on a board belongs to the
gateway itself, never to a caller.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

__all__ = ["Board", "Boards"]


class Board(NamedTuple):
    """``version`` grows with every change and is 0 while there was none."""

    version: int
    entries: Mapping[str, bytes]


class Boards(Protocol):
    """
    Attributes:
        shared: whether other processes see them and write on them, too.
    """

    shared: bool

    async def read(self, board: str) -> Board:
        """All of a board, as it was at one moment.

        Raises:
            StoreError: it cannot be had.
        """
        ...

    async def version(self, board: str) -> int:
        """
        Raises:
            StoreError: it cannot be had.
        """
        ...

    async def write(self, board: str, entries: Mapping[str, bytes | None]) -> int:
        """Puts up entries, replaces them, or (None) takes them down, all at once; the new version.

        Raises:
            StoreError: it is not known whether this was done.
        """
        ...

    async def aclose(self) -> None: ...
