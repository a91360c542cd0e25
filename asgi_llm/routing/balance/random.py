"""Any of them, each as likely as its weight says."""

from collections.abc import Sequence
from typing import TypeVar

from .interface import Candidate, Facts, Policy, Random

__all__ = ["RandomPolicy"]

C = TypeVar("C", bound=Candidate)


class RandomPolicy(Policy):
    __slots__ = ("_random",)

    def __init__(self, random: Random) -> None:
        self._random = random

    def pick(self, candidates: Sequence[C], facts: Facts) -> C:
        left = self._random() * sum(candidate.weight for candidate in candidates)
        for candidate in candidates:
            left -= candidate.weight
            if left < 0:
                return candidate
        return candidates[-1]  # where the sum was rounded
