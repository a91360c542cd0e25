"""Work that takes a while, beside the event loop."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

__all__ = ["aside"]

P = ParamSpec("P")
T = TypeVar("T")


async def aside(work: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """What ``work`` returns, from a thread. At the end of the process, which starts none any more, the loop does it
    itself: the last rows of a ledger are worked out then."""
    try:
        return await asyncio.to_thread(work, *arguments, **options)
    except RuntimeError as error:
        if "shutdown" not in str(error):
            raise
        return work(*arguments, **options)
