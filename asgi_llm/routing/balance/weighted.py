"""In turn, each as often as its weight says, and the turns of one spread evenly among those of the others.

The smooth weighted round robin that nginx made known: with each pick everyone earns its weight, the richest is picked
and pays what all have earned. Of many, whoever is due first is picked, and is due again after the longer the less it
weighs: the same shares, without a look at each.
"""

from collections.abc import Sequence
from heapq import heapify, heapreplace
from typing import Any, TypeVar

from .interface import Candidate, Facts, Policy
from .roll import Roll

__all__ = ["Weighted"]

C = TypeVar("C", bound=Candidate)


class Weighted(Policy):
    __slots__ = ("_earned", "_turns")

    def __init__(self) -> None:
        self._earned: dict[str, float] = {}
        self._turns = _Turns()

    def pick(self, candidates: Sequence[C], facts: Facts) -> C:
        if self._turns.knows(candidates):
            return self._turns.take()  # type: ignore[no-any-return]  # one of them
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


class _Turns(Roll[Any]):
    """When each candidate is due, in turns of one that weighs 1."""

    __slots__ = ("_due",)

    def met(self) -> None:
        # Who weighs little waits for its first turn, too: else all would be due at once.
        self._due = [(1 / one.weight, place) for place, one in enumerate(self.candidates)]
        heapify(self._due)

    def take(self) -> Any:
        due, place = self._due[0]
        one = self.candidates[place]
        heapreplace(self._due, (due + 1 / one.weight, place))
        return one
