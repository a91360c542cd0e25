"""Waiting with an end: a test that hangs fails, and says what it waited for."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

__all__ = ["PATIENCE", "News", "within"]

T = TypeVar("T")

PATIENCE = 30.0
"""Seconds that anything in a test may take unless it says otherwise: many, for a busy machine is no failure."""


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


class News:
    """Wakes whoever waits for a condition over plain state; rung by whoever changes that state."""

    __slots__ = ("_rung",)

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def until(self, ready: Callable[[], bool]) -> None:
        while not ready():
            self._rung.clear()
            await self._rung.wait()
