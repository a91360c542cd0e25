"""The less loaded of two that are drawn at random: nearly as even as looking at all, and no herd runs to one worker
when many processes look at the same moment."""

from collections.abc import Sequence
from typing import TypeVar

from .interface import Candidate, Facts, Policy, Random

__all__ = ["PowerOfTwo"]

C = TypeVar("C", bound=Candidate)


class PowerOfTwo(Policy):
    __slots__ = ("_random",)

    def __init__(self, random: Random) -> None:
        self._random = random

    def pick(self, candidates: Sequence[C], facts: Facts) -> C:
        number = len(candidates)
        if number == 1:
            return candidates[0]
        first = int(self._random() * number)
        second = int(self._random() * (number - 1))
        one, other = candidates[first], candidates[second + (second >= first)]
        # Loads by weight, compared without dividing. A tie goes to the first, which is as random as the second.
        return one if one.load * other.weight <= other.load * one.weight else other
