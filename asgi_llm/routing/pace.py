"""How long answers took to begin lately, and so after which time another attempt is worth making."""

from collections import deque

from asgi_llm.settings import HedgeSettings

__all__ = ["Pace"]

_REMEMBERED = 200
_ENOUGH = 20
_STALE = 10
"""Answers after which the percentile is worked out anew."""


class Pace:
    """The last answers' times of one target, in seconds."""

    __slots__ = ("_new", "_percentile", "_times", "_wait")

    def __init__(self, settings: HedgeSettings) -> None:
        self._percentile = settings.percentile
        self._times: deque[float] = deque(maxlen=_REMEMBERED)
        self._new = 0
        self._wait = settings.after

    def began(self, seconds: float) -> None:
        """An answer began so long after it was asked for."""
        if self._percentile is None:
            return
        self._times.append(seconds)
        self._new += 1
        if len(self._times) >= _ENOUGH and (self._new >= _STALE or len(self._times) == _ENOUGH):
            self._new = 0
            ordered = sorted(self._times)
            self._wait = ordered[min(len(ordered) - 1, int(len(ordered) * self._percentile / 100))]

    def patience(self) -> float | None:
        """Seconds after which a second attempt is made; None if that cannot be said yet."""
        return self._wait
