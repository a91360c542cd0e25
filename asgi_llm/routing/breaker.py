"""A worker's circuit breaker: enough failures within a window and it is passed over for a while, then probed.

The clock is the caller's: every method takes ``now`` in seconds of a monotonic clock.
"""

from collections import deque
from typing import Literal

__all__ = ["Breaker"]


class Breaker:
    """closed -> open (``failures`` within ``window`` seconds) -> half open after ``open_for`` seconds, when ``probes``
    requests at a time may try -> closed by a success, open again by a failure.

    Attributes:
        troubled: whether anything has failed since the last success. While nothing has, every request is admitted and
            none of the other methods changes anything.
    """

    __slots__ = ("_failed", "_failures", "_open_for", "_opened", "_probes", "_probing", "_window", "troubled")

    def __init__(self, *, failures: int, window: float, open_for: float, probes: int) -> None:
        self._failures = failures
        self._window = window
        self._open_for = open_for
        self._probes = probes
        self._failed: deque[float] = deque(maxlen=failures)
        self._opened: float | None = None
        self._probing = 0
        self.troubled = False

    def state(self, now: float) -> Literal["closed", "open", "half_open"]:
        if self._opened is None:
            return "closed"
        return "open" if now < self._opened + self._open_for else "half_open"

    def admits(self, now: float) -> bool:
        """Whether a request may be sent now; ``enter`` must follow if it is."""
        if self._opened is None:
            return True
        return now >= self._opened + self._open_for and self._probing < self._probes

    def opens(self, now: float) -> float:
        """When the next request may be sent; ``now`` if one may be, or as soon as a probe ends."""
        return now if self._opened is None else max(now, self._opened + self._open_for)

    def enter(self) -> bool:
        """A request is being sent; whether it is a probe, which must be told when it ends."""
        if self._opened is None:
            return False
        self._probing += 1
        return True

    def succeeded(self, *, probe: bool) -> None:
        """Only a probe closes an open breaker: what was sent before it opened says nothing about now."""
        if probe:
            self._probing -= 1
            self._opened = None
        if self._opened is None:
            self._failed.clear()
            self.troubled = False

    def failed(self, now: float, *, probe: bool) -> bool:
        """Whether it was closed and opens by this."""
        self._failed.append(now)
        self.troubled = True
        if probe:
            self._probing -= 1
            self._opened = now
        elif self._opened is None and len(self._failed) == self._failures and self._failed[0] >= now - self._window:
            self._opened = now
            return True
        return False

    def abandoned(self, *, probe: bool) -> None:
        """The request ended without saying anything about the worker."""
        if probe:
            self._probing -= 1
