"""Waiting with an end: a test that hangs fails, and says what it waited for."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

__all__ = ["PATIENCE", "within"]

T = TypeVar("T")

PATIENCE = 5.0
"""Seconds that anything in a test may take unless it says otherwise."""


async def within(awaitable: Awaitable[T], seconds: float, what: str) -> T:
    """The awaitable's result.

    Raises:
        AssertionError: it took longer than so many seconds.
    """
    clock = asyncio.timeout(seconds)
    try:
        async with clock:
            return await awaitable
    except TimeoutError:
        if clock.expired():
            raise AssertionError(f"{what}: nothing happened within {seconds:g} s") from None
        raise
