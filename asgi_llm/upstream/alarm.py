"""One connection's sense of time: a deadline that moves often, a timer of the loop that is set seldom.

Waiting for something only notes by when it must have come. The timer, when it fires before that, is set again to
what is then the deadline, so that a busy connection touches the loop's timers once in many requests.
"""

import asyncio
from collections.abc import Callable
from contextvars import Context
from math import inf

from asgi_llm.errors import Cause

__all__ = ["Alarm"]

_EMPTY_CONTEXT = Context()
"""Timers outlive requests, and must not keep alive what some request put into its context variables."""


class Alarm:
    """Calls ``ring`` with the cause when a deadline has passed. It may ring although nobody waits any more.

    Attributes:
        total_at: loop time at which the exchange must be over, whatever is awaited; inf: never.
    """

    __slots__ = ("_cause", "_deadline", "_loop", "_ring", "_timer", "_timer_at", "total_at")

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[Cause], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = self._deadline = self.total_at = inf
        self._cause = Cause.TOTAL_TIMEOUT

    def expect(self, limit: float, cause: Cause) -> None:
        """Something must happen within ``limit`` seconds (0: any time), and before the total is over."""
        deadline = self._loop.time() + limit if limit else inf
        if deadline >= self.total_at:
            deadline, cause = self.total_at, Cause.TOTAL_TIMEOUT
        self._cause = cause
        self._deadline = deadline
        if deadline < self._timer_at:
            self.stop()
            self._start()

    def total_is_over(self) -> bool:
        """For those who never have to wait and are held to the total time as well."""
        return self.total_at != inf and self._loop.time() >= self.total_at

    def stop(self) -> None:
        """No more calls."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._timer_at = inf

    def _start(self) -> None:
        self._timer_at = self._deadline
        self._timer = self._loop.call_at(self._deadline, self._fire, context=_EMPTY_CONTEXT)

    def _fire(self) -> None:
        self._timer = None
        self._timer_at = inf
        if self._loop.time() >= self._deadline:
            self._ring(self._cause)
        elif self._deadline != inf:
            self._start()
