"""A caller's session stays with its worker.

First comes what only one worker can read: a stored response, encrypted reasoning. Then the session that the caller
names. A session that is new goes where rendezvous hashing says, so that processes agree; from then on it follows the
worker that served it last, also when that was another one because the first had failed. What names no session is left
to another policy.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from .consistent_hash import check_bound
from .interface import Candidate, Clock, Facts, Policy
from .rendezvous import Rendezvous, conversation_key, within_bound

__all__ = ["Sticky", "StickyOptions"]

C = TypeVar("C", bound=Candidate)


@dataclass(frozen=True, slots=True, kw_only=True)
class StickyOptions:
    """
    Attributes:
        otherwise: name of the policy for requests without a session.
        idle: seconds after which a key that is not used is forgotten.
        max_keys: keys to remember; beyond it the one that was not used for the longest time is forgotten.
        load_factor, spare: the bound on the load where new sessions go; see consistent_hash.
    """

    otherwise: str = "cache_aware"
    idle: float = 14400.0
    max_keys: int = 100_000
    load_factor: float = 1.25
    spare: int = 5

    def __post_init__(self) -> None:
        check_bound(self.load_factor, self.spare)
        if self.otherwise == "sticky":
            raise ValueError("otherwise must name another policy than sticky")
        if not self.idle > 0:
            raise ValueError("idle must be more than 0 seconds")
        if self.max_keys < 1:
            raise ValueError("max_keys must be at least 1")


class Sticky(Policy):
    __slots__ = ("_clock", "_options", "_otherwise", "_owners", "_table")

    def __init__(self, options: StickyOptions | None = None, *, otherwise: Policy, clock: Clock) -> None:
        self._options = options or StickyOptions()
        self._otherwise = otherwise
        self._clock = clock
        self._owners = Rendezvous()
        self._table: OrderedDict[str, tuple[str, float]] = OrderedDict()  # key -> worker, when; oldest first

    def __len__(self) -> int:
        """The number of keys that are remembered."""
        return len(self._table)

    def pick(self, candidates: Sequence[C], facts: Facts) -> C:
        keys = facts.keys()
        for key in (*keys.origins, *keys.sessions):
            if (worker := self._find(key)) is not None:
                for candidate in candidates:
                    if candidate.key == worker:
                        return candidate
        if not keys.sessions:
            return self._otherwise.pick(candidates, facts)
        fit = within_bound(candidates, self._options.load_factor, self._options.spare)
        return self._owners.pick(fit, conversation_key(facts))

    def _find(self, key: str) -> str | None:
        found = self._table.get(key)
        if found is None or found[1] < self._clock() - self._options.idle:
            return None
        return found[0]

    def _bind(self, key: str, worker: str) -> None:
        table = self._table
        table[key] = worker, self._clock()
        table.move_to_end(key)
        if len(table) > self._options.max_keys:
            table.popitem(last=False)

    def sent(self, candidate: Candidate, facts: Facts) -> None:
        for key in facts.keys().sessions:
            self._bind(key, candidate.key)
        self._otherwise.sent(candidate, facts)

    def ended(self, candidate: Candidate, facts: Facts, *, served: bool = True) -> None:
        if not served:
            for key in facts.keys().sessions:
                if self._table.get(key, ("", 0.0))[0] == candidate.key:
                    del self._table[key]
        self._otherwise.ended(candidate, facts, served=served)

    def produced(self, candidate: Candidate, origins: Sequence[str]) -> None:
        for key in origins:
            self._bind(key, candidate.key)
        self._otherwise.produced(candidate, origins)

    def joined(self, candidate: Candidate) -> None:
        self._otherwise.joined(candidate)

    def left(self, candidate: Candidate) -> None:
        # Its keys stay in the table: nobody is picked who is not a candidate, and they age like all others.
        self._otherwise.left(candidate)
