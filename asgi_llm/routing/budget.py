"""How many retries a target may get: a share of its requests, so that a storm of failures is not multiplied.

The clock is the caller's: seconds of a monotonic clock.
"""

__all__ = ["Budget"]

_BURST = 100.0
_PER_SECOND = 10.0
"""Retries that are there at first and at most, and those that come back every second however little is asked: a worker
that dies takes all that it worked on with it at once."""


class Budget:
    """A bucket of retries. Every request puts ``share`` of one in, every retry takes one out.

    Attributes:
        requests: those that were not counted yet; whoever sends one adds it. Nothing else is to be done for a request.
    """

    __slots__ = ("_at", "_left", "_share", "requests")

    def __init__(self, share: float, now: float) -> None:
        """With a ``share`` of 0 there are no retries at all."""
        self._share = share
        self._left = _BURST if share else 0.0
        self._at = now
        self.requests = 0

    def spend(self, now: float) -> bool:
        """Takes one retry out; whether there was one."""
        left = self.left(now)
        self._at, self.requests = now, 0
        self._left = left - 1 if left >= 1 else left
        return left >= 1

    def left(self, now: float) -> float:
        """How many retries there are."""
        if not self._share:
            return 0.0
        return min(_BURST, self._left + self.requests * self._share + (now - self._at) * _PER_SECOND)
