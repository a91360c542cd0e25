"""Slow start: a worker that is new or has come back gets less than its share at first, whatever the policy.

Its cache is empty, and whatever made it fail may still be going on.
"""

from collections.abc import Sequence

from asgi_llm.routing.balance.interface import Random

from .worker import Worker

__all__ = ["Warmth"]

_LEAST = 0.1
"""The share of its share that a worker begins with."""


class Warmth:
    """The workers of a crew that are warming up. Of every pick that could be one's, it lets through the part that is
    due. By chance, since what came in turns would go in step with the turns of a policy."""

    __slots__ = ("_random", "_seconds", "_since")

    def __init__(self, seconds: float, random: Random) -> None:
        self._seconds = seconds
        self._random = random
        self._since: dict[Worker, float] = {}

    def __bool__(self) -> bool:
        return bool(self._since)

    def begin(self, worker: Worker, now: float) -> None:
        if self._seconds > 0:
            self._since[worker] = now

    def forget(self, worker: Worker) -> None:
        self._since.pop(worker, None)

    def share(self, worker: Worker, now: float) -> float:
        """From 0.1 to 1."""
        since = self._since.get(worker)
        return 1.0 if since is None else min(max((now - since) / self._seconds, _LEAST), 1.0)

    def let_through(self, fit: Sequence[Worker], now: float) -> list[Worker]:
        """Those of ``fit`` that may be picked now; all of them where nobody else could be."""
        chosen = [worker for worker in fit if worker not in self._since or self._due(worker, now)]
        return chosen or list(fit)

    def _due(self, worker: Worker, now: float) -> bool:
        share = self.share(worker, now)
        if share >= 1:
            self.forget(worker)
            return True
        return self._random() < share
