"""Every conversation has its own worker, in every process the same one and without anything shared; a worker that has
more than its share to do passes conversations on to their next one.

Two things make it do so. A bound, which no worker exceeds; it has to leave room, or conversations would move whenever a
few requests come at once. And before that, a look at the next one: when that has clearly less to do, little is lost by
going there, since what moves from this worker to that one moves there every time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from .interface import Candidate, Facts, Policy
from .lineup import Lineup
from .rendezvous import Rendezvous, conversation_key, within_bound

__all__ = ["ConsistentHash", "ConsistentHashOptions", "check_bound"]

C = TypeVar("C", bound=Candidate)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsistentHashOptions:
    """
    Attributes:
        load_factor: how many times its share of all requests a worker may hold; 1 or more.
        spare: requests that a worker may hold in any case, so that few of them do not push each other around.
        relief: with so many requests, a worker passes conversations on to a next one that holds clearly fewer:
            ``load_factor`` times that one's are still fewer than its own without one.
    """

    load_factor: float = 1.25
    spare: int = 6
    relief: int = 4

    def __post_init__(self) -> None:
        check_bound(self.load_factor, self.spare)
        if self.relief < 1:
            raise ValueError("relief must be at least 1 request")


def check_bound(load_factor: float, spare: int) -> None:
    """
    Raises:
        ValueError: with such a bound there could be no worker left.
    """
    if not load_factor >= 1:
        raise ValueError("load_factor must be 1 or more")
    if spare < 0:
        raise ValueError("spare must not be negative")


class ConsistentHash(Policy):
    """Has no state that matters: any two of them agree."""

    __slots__ = ("_lineup", "_options", "_owners")

    def __init__(self, options: ConsistentHashOptions | None = None) -> None:
        self._options = options or ConsistentHashOptions()
        self._owners = Rendezvous()
        self._lineup: Lineup[Any] = Lineup()

    def pick(self, candidates: Sequence[C], facts: Facts) -> C:
        if len(candidates) == 1:
            return candidates[0]
        options, key = self._options, conversation_key(facts)
        owners: list[C] = []
        if self._lineup.knows(candidates):
            owners = self._lineup.owners(key, self._owners.draw, options.load_factor, options.spare)
        if len(owners) < 2:
            owners = self._owners.two(within_bound(candidates, options.load_factor, options.spare), key)
        return owners[0] if len(owners) == 1 or not self._gives_way(owners[0], owners[1]) else owners[1]

    def _gives_way(self, owner: Candidate, other: Candidate) -> bool:
        if owner.load < self._options.relief:
            return False
        return (owner.load - 1) / owner.weight > self._options.load_factor * other.load / other.weight

    def sent(self, candidate: Candidate, facts: Facts) -> None:
        if self._lineup.kept:
            self._lineup.changed(candidate, 1)

    def ended(self, candidate: Candidate, facts: Facts, *, served: bool = True) -> None:
        if self._lineup.kept:
            self._lineup.changed(candidate, -1)
