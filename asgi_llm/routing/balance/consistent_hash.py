"""Every conversation has its own worker, in every process the same one and without anything shared; a worker that has
more than its share to do passes conversations on to their next one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from .interface import Candidate, Facts, Policy
from .rendezvous import Rendezvous, conversation_key, within_bound

__all__ = ["ConsistentHash", "ConsistentHashOptions", "check_bound"]

C = TypeVar("C", bound=Candidate)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsistentHashOptions:
    """
    Attributes:
        load_factor: how many times its share of all requests a worker may hold; 1 or more.
        spare: requests that a worker may hold in any case, so that few of them do not push each other around.
    """

    load_factor: float = 1.25
    spare: int = 5

    def __post_init__(self) -> None:
        check_bound(self.load_factor, self.spare)


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

    __slots__ = ("_options", "_owners")

    def __init__(self, options: ConsistentHashOptions | None = None) -> None:
        self._options = options or ConsistentHashOptions()
        self._owners = Rendezvous()

    def pick(self, candidates: Sequence[C], facts: Facts) -> C:
        if len(candidates) == 1:
            return candidates[0]
        fit = within_bound(candidates, self._options.load_factor, self._options.spare)
        return self._owners.pick(fit, conversation_key(facts))
