"""Requests that begin with the same characters have the same worker, within a bound on its load.

For prompts with long common beginnings and nothing that follows: classification, extraction, questions about one
document. Conversations of one agent all begin alike; for them consistent_hash and cache_aware know more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from .consistent_hash import check_bound
from .interface import Candidate, Facts, Policy
from .lineup import Lineup
from .rendezvous import Rendezvous, stable_hash, within_bound

__all__ = ["PrefixHash", "PrefixHashOptions"]

C = TypeVar("C", bound=Candidate)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixHashOptions:
    """
    Attributes:
        characters: how much of the text decides.
        load_factor, spare: see consistent_hash.
    """

    characters: int = 1024
    load_factor: float = 1.25
    spare: int = 5

    def __post_init__(self) -> None:
        if self.characters < 1:
            raise ValueError("characters must be at least 1")
        check_bound(self.load_factor, self.spare)


class PrefixHash(Policy):
    __slots__ = ("_lineup", "_options", "_owners")

    def __init__(self, options: PrefixHashOptions | None = None) -> None:
        self._options = options or PrefixHashOptions()
        self._owners = Rendezvous()
        self._lineup: Lineup[Any] = Lineup()

    def pick(self, candidates: Sequence[C], facts: Facts) -> C:
        if len(candidates) == 1:
            return candidates[0]
        options = self._options
        start = facts.text().text[: options.characters]
        key = stable_hash(f"{facts.model}\n{start}")
        if self._lineup.knows(candidates):
            owners: list[C] = self._lineup.owners(key, self._owners.draw, options.load_factor, options.spare)
            if owners:
                return owners[0]
        return self._owners.pick(within_bound(candidates, options.load_factor, options.spare), key)

    def sent(self, candidate: Candidate, facts: Facts) -> None:
        if self._lineup.kept:
            self._lineup.changed(candidate, 1)

    def ended(self, candidate: Candidate, facts: Facts, *, served: bool = True) -> None:
        if self._lineup.kept:
            self._lineup.changed(candidate, -1)
