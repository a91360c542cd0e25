"""To the worker that most likely has the beginning of the prompt in its cache, unless it has too much to do.

Three questions, in this order:

1. Who has seen how much of this text? A tree over the texts that were sent knows. Its answer counts when it covers
   the opening of the conversation, or nearly all of the text: who has the instructions of an agent need not have the
   conversation.
2. Is that worth a longer queue? What a worker has seen of the text is set off against the requests it works on beyond
   those of the least loaded. So a beginning that everybody uses spreads over as many workers as it needs, and each of
   them becomes another that has it.
3. If nobody is known to have it: whose is it? The workers' numbers for the conversation decide, within a bound on the
   load. Other processes of the gateway, which see other turns of the same conversation, come to the same answer.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from .consistent_hash import check_bound
from .fingerprints import PRINT, characters, fingerprints, opening_prints
from .interface import Candidate, Clock, Facts, Policy
from .lineup import Lineup
from .radix import Radix
from .rendezvous import Rendezvous, opening_key, within_bound

__all__ = ["CacheAware", "CacheAwareOptions"]

C = TypeVar("C", bound=Candidate)

NEARLY_ALL = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheAwareOptions:
    """
    Attributes:
        threshold: the share of a text that a worker must have seen, more than this, for it to count.
        patience: how many requests beyond the least loaded worker's a text is worth that was seen as a whole.
        imbalance_requests, imbalance_ratio: a worker with so many requests more than the least loaded one, and so many
            times its requests, is not sent anything because of its cache, whatever ``patience`` is.
        load_factor, spare: the bound on the load where the tree has no answer; see consistent_hash.
        max_prints: fingerprints to keep; 8 bytes each, one for every 1024 characters (128 at the beginning of a text).
        max_nodes: branches of the tree; about 500 bytes each.
        max_holders: workers to remember for each of them.
        idle: seconds after which a worker is taken to have forgotten what it was not sent again.
    """

    threshold: float = 0.3
    patience: float = 24.0
    imbalance_requests: int = 64
    imbalance_ratio: float = 1.5
    load_factor: float = 1.25
    spare: int = 8
    max_prints: int = 1 << 20
    max_nodes: int = 1 << 16
    max_holders: int = 16
    idle: float = 3600.0

    def __post_init__(self) -> None:
        check_bound(self.load_factor, self.spare)
        if not 0 <= self.threshold <= 1:
            raise ValueError("threshold must be a share, from 0 to 1")
        if not self.patience > 0:
            raise ValueError("patience must be more than 0")
        if self.imbalance_requests < 0:
            raise ValueError("imbalance_requests must not be negative")
        if not self.imbalance_ratio >= 1:
            raise ValueError("imbalance_ratio must be 1 or more")
        if min(self.max_prints, self.max_nodes, self.max_holders) < 1:
            raise ValueError("max_prints, max_nodes and max_holders must be at least 1")
        if not self.idle > 0:
            raise ValueError("idle must be more than 0 seconds")


class CacheAware(Policy):
    """The policy, and how it went.

    Attributes:
        followed: how many choices went by what a worker has seen, and how many did not.
        shares: the sum of the largest shares that any worker had seen, over all choices.
    """

    __slots__ = ("_clock", "_joined", "_lineup", "_options", "_owners", "_share", "followed", "shares", "tree")

    def __init__(self, options: CacheAwareOptions | None = None, *, clock: Clock) -> None:
        self._options = options = options or CacheAwareOptions()
        self._clock = clock
        self.followed = [0, 0]
        self.shares = self._share = 0.0
        self._owners = Rendezvous()
        self._lineup: Lineup[Any] = Lineup()
        self._joined: dict[str, float] = {}
        self.tree = Radix(max_prints=options.max_prints, max_nodes=options.max_nodes, max_holders=options.max_holders)

    def pick(self, candidates: Sequence[C], facts: Facts) -> C:
        if len(candidates) == 1:
            return candidates[0]
        row = self._row(facts)
        matched = self.tree.match(row, self._clock() - self._options.idle, self._joined)
        length = max(characters(len(row) // PRINT, facts.text().opening), 1)
        if self._lineup.knows(candidates):
            known: dict[str, C] = self._lineup.by_key
            seen = {known[key]: prints for key, prints in matched.items() if key in known}
            if not self._counts(seen.values(), length, facts):
                return self._owner(candidates, facts, counted=True)
            best = self._best(list(seen), self._shares(seen.values(), length, facts), self._lineup.least(), facts)
            if best is not None:
                return self._told(best, 0)
        all_seen = [matched.get(candidate.key, 0) for candidate in candidates]
        if not self._counts(all_seen, length, facts):
            return self._owner(candidates, facts)
        least = min(candidate.load / candidate.weight for candidate in candidates)
        best = self._best(candidates, self._shares(all_seen, length, facts), least, facts, worthless=True)
        assert best is not None  # noqa: S101  # among all of them one is the best, whatever it is worth
        return self._told(best, 0)

    def _told(self, chosen: C, way: int) -> C:
        """Counts the choice."""
        self.followed[way] += 1
        self.shares += self._share
        return chosen

    def _owner(self, candidates: Sequence[C], facts: Facts, *, counted: bool = False) -> C:
        """Whose the conversation is, within the bound."""
        options, key = self._options, opening_key(facts)
        if counted:
            owners: list[C] = self._lineup.owners(key, self._owners.draw, options.load_factor, options.spare)
            if owners:
                return self._told(owners[0], 1)
        return self._told(self._owners.pick(within_bound(candidates, options.load_factor, options.spare), key), 1)

    def _counts(self, seen: Collection[int], length: int, facts: Facts) -> bool:
        """Whether anybody has seen so much that it matters; ``seen`` in fingerprints, ``length`` in characters."""
        opening, most = facts.text().opening, max(seen, default=0)
        self._share = share = characters(most, opening) / length
        return share > self._options.threshold and (share >= NEARLY_ALL or most >= opening_prints(opening))

    def _shares(self, seen: Collection[int], length: int, facts: Facts) -> list[float]:
        opening = facts.text().opening
        return [characters(prints, opening) / length for prints in seen]

    def _row(self, facts: Facts) -> bytes:
        if not facts.prints:
            facts.prints = fingerprints(facts.model, facts.text())
        return facts.prints

    def _best(
        self, candidates: Sequence[C], shares: Sequence[float], least: float, facts: Facts, *, worthless: bool = False
    ) -> C | None:
        """Who of ``candidates`` is worth most, with ``least`` being the least load of all that there are. None, unless
        ``worthless`` will do, where that is no more than those are worth that have seen nothing."""
        options = self._options
        loads = [candidate.load / candidate.weight for candidate in candidates]
        limit = max(least + options.imbalance_requests, least * options.imbalance_ratio)
        worths = [
            (0.0 if load > limit else share) - (load - least) / options.patience
            for share, load in zip(shares, loads, strict=True)
        ]
        most = max(worths)
        if most <= 0 and not worthless:
            return None
        equals = [candidate for candidate, worth in zip(candidates, worths, strict=True) if worth == most]
        return equals[0] if len(equals) == 1 else self._owners.pick(equals, opening_key(facts))

    def sent(self, candidate: Candidate, facts: Facts) -> None:
        facts.had = self.tree.insert(self._row(facts), candidate.key, self._clock())
        if self._lineup.kept:
            self._lineup.changed(candidate, 1)

    def ended(self, candidate: Candidate, facts: Facts, *, served: bool = True) -> None:
        if self._lineup.kept:
            self._lineup.changed(candidate, -1)
        if not served:
            self.tree.release(self._row(facts), candidate.key, facts.had)

    def joined(self, candidate: Candidate) -> None:
        self._joined[candidate.key] = self._clock()

    def left(self, candidate: Candidate) -> None:
        self._joined.pop(candidate.key, None)
