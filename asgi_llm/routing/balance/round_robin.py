"""Each in turn."""

from collections.abc import Sequence
from typing import TypeVar

from .interface import Facts, Policy

__all__ = ["RoundRobin"]

T = TypeVar("T")


class RoundRobin(Policy):
    """Takes the candidates in turn, also while their number changes."""

    __slots__ = ("_turn",)

    def __init__(self) -> None:
        self._turn = -1

    def pick(self, candidates: Sequence[T], facts: Facts | None = None) -> T:
        """One of ``candidates``, which must not be empty."""
        self._turn += 1
        return candidates[self._turn % len(candidates)]
