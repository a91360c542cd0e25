"""In turn, each as often as its weight says, and the turns of one spread evenly among those of the others.

The smooth weighted round robin that nginx made known: with each pick everyone earns its weight, the richest is picked
and pays what all have earned.
"""

from collections.abc import Sequence
from typing import TypeVar

from .interface import Candidate, Facts, Policy

__all__ = ["Weighted"]

C = TypeVar("C", bound=Candidate)


class Weighted(Policy):
    __slots__ = ("_earned",)

    def __init__(self) -> None:
        self._earned: dict[str, float] = {}

    def pick(self, candidates: Sequence[C], facts: Facts) -> C:
        earned = self._earned
        total = 0.0
        best = candidates[0]
        most = float("-inf")
        for candidate in candidates:
            total += candidate.weight
            has = earned[candidate.key] = earned.get(candidate.key, 0.0) + candidate.weight
            if has > most:
                best, most = candidate, has
        earned[best.key] = most - total
        return best

    def left(self, candidate: Candidate) -> None:
        self._earned.pop(candidate.key, None)
