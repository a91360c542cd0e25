"""Many candidates, kept count of, so that not all of them need be looked at for every request.

A policy asks with every pick whether the candidates are those it has count of; whoever is told what is sent and what
ends can keep the sums. What is worked out here is what looking at all of them would find.
"""

from collections.abc import Callable
from heapq import heapify, heappop, heappush, nsmallest
from math import ceil
from typing import Generic, TypeVar

from .interface import Candidate
from .roll import STALE, Roll

__all__ = ["Lineup"]

C = TypeVar("C", bound=Candidate)

_FIRST = 8
"""How many of a key's owners are remembered, the best ones: the others are asked for when all of these are busy."""
_KEYS = 4096
"""Keys whose owners are remembered."""


class Lineup(Roll[C], Generic[C]):
    """Belongs to one policy.

    Attributes:
        by_key: who they are.
    """

    __slots__ = ("_heap", "_load", "_owners", "_pushed", "_weight", "by_key")

    def __init__(self) -> None:
        super().__init__()
        self.by_key: dict[str, C] = {}
        self._heap: list[tuple[float, int, C]] = []
        self._owners: dict[int, list[C]] = {}
        self._load = self._pushed = 0
        self._weight = 0.0

    def met(self) -> None:
        self._owners.clear()

    def count(self) -> None:
        super().count()
        candidates = self.candidates
        self._pushed = len(candidates)
        self.by_key = {candidate.key: candidate for candidate in candidates}
        self._load = sum(candidate.load for candidate in candidates)
        self._weight = sum(candidate.weight for candidate in candidates)
        self._heap = [(one.load / one.weight, place, one) for place, one in enumerate(candidates)]
        heapify(self._heap)

    def forget(self) -> None:
        super().forget()
        self.by_key, self._heap = {}, []
        self._owners.clear()

    def changed(self, candidate: Candidate, by: int) -> None:
        """The load of one of them has just changed by so much. To be told as long as count is ``kept``."""
        known = self.by_key.get(candidate.key)
        if known is candidate and known is not None:
            self._load += by
            self._pushed += 1
            if self._pushed > STALE * len(self.candidates):
                self.forget()
                return
            heappush(self._heap, (known.load / known.weight, self._pushed, known))

    def least(self) -> float:
        """The least load by weight."""
        heap = self._heap
        while heap:
            load, _, candidate = heap[0]
            if load == candidate.load / candidate.weight:
                return load
            heappop(heap)
        self.count()
        return self._heap[0][0]

    def owners(self, key: int, draw: Callable[[C, int], float], factor: float, spare: int) -> list[C]:
        """Whose ``key`` is, the best first, as far as they are within the bound (see ``rendezvous.within_bound``): some
        of those that are, and none before these; or nobody, where that takes a look at all."""
        owners = self._owners.get(key)
        if owners is None:
            if len(self._owners) >= _KEYS:
                del self._owners[next(iter(self._owners))]
            owners = self._owners[key] = nsmallest(_FIRST, self.candidates, key=lambda one: draw(one, key))
        allowed = factor * (self._load + 1) / self._weight
        return [one for one in owners if one.load < spare or one.load < ceil(allowed * one.weight)]
