"""One connection's timer: set seldom, however often what it waits for changes.

Waiting for something only notes since when. The timer, when it fires, asks when to look again, so that a busy
connection touches the loop's timers once in many requests.
"""

import asyncio
from collections.abc import Callable
from contextvars import Context
from math import inf

__all__ = ["Alarm"]

_EMPTY_CONTEXT = Context()
"""Timers outlive requests, and must not keep alive what some request put into its context variables."""


class Alarm:
    """Calls ``look`` with the loop's time; what that returns is when to look again (inf: not before ``set``)."""

    __slots__ = ("_at", "_look", "_loop", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, look: Callable[[float], float]) -> None:
        self._loop = loop
        self._look = look
        self._timer: asyncio.TimerHandle | None = None
        self._at = inf

    def set(self, at: float) -> None:
        """Look at this time of the loop at the latest."""
        if at < self._at:
            self.stop()
            self._at = at
            self._timer = self._loop.call_at(at, self._fire, context=_EMPTY_CONTEXT)

    def stop(self) -> None:
        """Look no more, until ``set``."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._at = inf

    def _fire(self) -> None:
        self._timer = None
        self._at = inf
        self.set(self._look(self._loop.time()))
