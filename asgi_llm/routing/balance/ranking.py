"""Who of many is first, where one at a time changes its place."""

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Any, Generic, TypeVar

from .interface import Candidate
from .roll import STALE, Roll

__all__ = ["Rank", "Ranking"]

C = TypeVar("C", bound=Candidate)

Rank = tuple[Any, ...]


class Ranking(Roll[C], Generic[C]):
    """Belongs to one policy. ``rank`` says whose turn it is: of the lowest, and of equals of who stands first."""

    __slots__ = ("_heap", "_places", "_pushed", "_rank")

    def __init__(self, rank: Callable[[C], Rank]) -> None:
        super().__init__()
        self._rank = rank
        self._heap: list[tuple[Rank, int, int, C]] = []
        self._places: dict[str, int] = {}
        self._pushed = 0

    def count(self) -> None:
        super().count()
        rank = self._rank
        self._places = {one.key: place for place, one in enumerate(self.candidates)}
        self._heap = [(rank(one), place, 0, one) for place, one in enumerate(self.candidates)]
        self._pushed = 0
        heapify(self._heap)

    def changed(self, candidate: Candidate) -> None:
        """The rank of one of them may be another now. To be told as long as anything is ``kept``."""
        place = self._places.get(candidate.key)
        if place is None:
            return
        self._pushed += 1
        if self._pushed > STALE * len(self.candidates):
            self.forget()
            return
        one = self.candidates[place]
        heappush(self._heap, (self._rank(one), place, self._pushed, one))  # candidates themselves are never compared

    def forget(self) -> None:
        super().forget()
        self._heap, self._places = [], {}

    def place(self, candidate: Candidate) -> int:
        """Where it stands among the candidates as they were given."""
        return self._places[candidate.key]

    def first(self) -> C:
        heap = self._heap
        while heap:
            rank, _, _, one = heap[0]
            if rank == self._rank(one):
                return one
            heappop(heap)  # there is a newer one of the same candidate
        self.count()
        return self._heap[0][3]
