"""Boards in memory: for one process, and any number of event loops and threads of it."""

import threading
from collections.abc import Mapping

from asgi_llm.stores.boards import Board

__all__ = ["MemoryBoards"]


class MemoryBoards:
    shared = False

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._boards: dict[str, Board] = {}

    def board(self, board: str) -> Board:
        """What ``read`` gives, without waiting."""
        return self._boards.get(board, Board(0, {}))

    async def read(self, board: str) -> Board:
        return self.board(board)

    async def version(self, board: str) -> int:
        return (await self.read(board)).version

    async def write(self, board: str, entries: Mapping[str, bytes | None]) -> int:
        with self._lock:
            version, before = self._boards.get(board, Board(0, {}))
            after = {name: value for name, value in {**before, **entries}.items() if value is not None}
            self._boards[board] = Board(version + 1, after)
            return version + 1

    async def aclose(self) -> None:
        pass
