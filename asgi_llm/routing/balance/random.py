"""Any of them, each as likely as its weight says."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, TypeVar

from .interface import Candidate, Facts, Policy, Random
from .roll import Roll

__all__ = ["RandomPolicy"]

C = TypeVar("C", bound=Candidate)


class RandomPolicy(Policy):
    __slots__ = ("_random", "_shares")

    def __init__(self, random: Random) -> None:
        self._random = random
        self._shares = _Shares()

    def pick(self, candidates: Sequence[C], facts: Facts) -> C:
        shares = self._shares
        ends = shares.ends if shares.knows(candidates) else [*accumulate(one.weight for one in candidates)]
        at = bisect_right(ends, self._random() * ends[-1])
        return candidates[min(at, len(candidates) - 1)]  # where the product was rounded


class _Shares(Roll[Any]):
    """``ends``: of each candidate, the weights of all up to it."""

    __slots__ = ("ends",)

    def count(self) -> None:
        super().count()
        self.ends = [*accumulate(one.weight for one in self.candidates)]
