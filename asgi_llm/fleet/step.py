"""Keeps a roster in step with the board that all processes share."""

import asyncio
import logging

from asgi_llm.errors import StoreError
from asgi_llm.stores.boards import Boards

from .roster import BOARD, Roster

__all__ = ["keep_in_step", "sync"]

logger = logging.getLogger("asgi_llm")

_LONGEST = 15.0
"""Seconds between two looks at a board that cannot be reached."""


async def sync(roster: Roster, boards: Boards) -> None:
    """Looks at the board. One that has lost everything is given back what is known here.

    Raises:
        StoreError: it cannot be reached.
    """
    board = await boards.read(BOARD)
    if board.version < roster.version and not board.entries and roster.entries:
        logger.warning("the shared state was lost; it gets back what was known of it here")
        await boards.write(BOARD, roster.entries)
        board = await boards.read(BOARD)
    if board.version != roster.version:
        await asyncio.to_thread(roster.follow, board, back=boards.shared)


async def keep_in_step(roster: Roster, boards: Boards, interval: float) -> None:
    """Looks every ``interval`` seconds whether another process has changed something, until cancelled. While the board
    cannot be reached the fleet stays as it is."""
    lost = False
    pause = interval
    while True:
        try:
            if await boards.version(BOARD) != roster.version:
                await sync(roster, boards)
            if lost:
                logger.warning("the shared state is back")
            lost, pause = False, interval
        except StoreError:
            if not lost:
                logger.warning("the shared state cannot be reached: changes of other processes are not seen")
            lost, pause = True, max(interval, min(pause * 2, _LONGEST))
        await asyncio.sleep(pause)
