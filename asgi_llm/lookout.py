"""Tells those who wait for long that they do: one timer for all of them, none for those who are gone by then."""

import asyncio
from typing import Protocol

__all__ = ["Lookout", "Waiting"]

_TICK = 0.025
"""Seconds. Whoever is added is told after one to two ticks: a JSON answer that is there by then costs no timer."""


class Waiting(Protocol):
    def is_taking_long(self) -> None:
        """Called once, from the event loop."""


class Lookout:
    """Belongs to one event loop. ``add`` and ``remove`` are two set operations; the timer runs only while somebody
    waits."""

    __slots__ = ("_loop", "_new", "_old", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._new: set[Waiting] = set()
        self._old: set[Waiting] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, waiting: Waiting) -> None:
        self._new.add(waiting)
        if self._timer is None:
            self._timer = self._loop.call_later(_TICK, self._turn)

    def remove(self, waiting: Waiting) -> None:
        """Not to be told, whether it was already or not."""
        self._new.discard(waiting)
        self._old.discard(waiting)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _turn(self) -> None:
        late, self._old, self._new = self._old, self._new, set()
        self._timer = self._loop.call_later(_TICK, self._turn) if self._old else None
        for waiting in late:
            waiting.is_taking_long()
