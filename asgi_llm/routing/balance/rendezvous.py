"""Which worker a key belongs to, without any table: rendezvous hashing by weight, with a bound on the load.

Every worker draws a number from the key and its own name, and the best number wins. All processes agree, since nothing
enters but names and weights. When a worker joins or leaves, only the keys it wins or had won move. Python's ``hash``
would differ from process to process and is not used.
"""

from collections.abc import Sequence
from hashlib import blake2b
from heapq import nsmallest
from math import ceil, log
from typing import TypeVar

from .interface import Candidate, Facts

__all__ = ["Rendezvous", "conversation_key", "opening_key", "stable_hash", "within_bound"]

C = TypeVar("C", bound=Candidate)

_BITS = (1 << 64) - 1
_SEEDS = 4096
_ENDS = 1024


def stable_hash(text: str) -> int:
    """64 bits that are the same in every process."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def conversation_key(facts: Facts) -> int:
    """Which conversation this is: by the session that the caller names, else by how it opened."""
    if sessions := facts.keys().sessions:
        return stable_hash(f"{facts.model}\n{sessions[0]}")
    return opening_key(facts)


def opening_key(facts: Facts) -> int:
    """Which conversation this is, by all that was said before the first answer.

    Of a long opening, its first and last characters and its length stand for the whole.
    """
    text, opening = facts.text()
    if opening <= 2 * _ENDS:
        return stable_hash(f"{facts.model}\n{text[:opening]}")
    return stable_hash(f"{facts.model}\n{opening}\n{text[:_ENDS]}{text[opening - _ENDS : opening]}")


def within_bound(candidates: Sequence[C], factor: float, spare: int) -> list[C]:
    """The workers that may take one request more; never none.

    A worker may hold ``factor`` times its share of all requests, this one included, and in any case ``spare`` requests.
    ``factor`` is 1 or more, so that at least the worker with the least load for its weight passes.
    """
    total = 1
    weights = 0.0
    for candidate in candidates:
        total += candidate.load
        weights += candidate.weight
    allowed = factor * total / weights
    return [
        candidate
        for candidate in candidates
        if (load := candidate.load) < spare or load < ceil(allowed * candidate.weight)
    ]


class Rendezvous:
    """Remembers the seeds of workers, nothing else."""

    __slots__ = ("_seeds",)

    def __init__(self) -> None:
        self._seeds: dict[str, int] = {}

    def pick(self, candidates: Sequence[C], key: int) -> C:
        """The owner of ``key`` among ``candidates``."""
        if len(candidates) == 1:
            return candidates[0]
        best = candidates[0]
        least = float("inf")
        for candidate in candidates:
            drawn = self.draw(candidate, key)
            if drawn < least:
                best, least = candidate, drawn
        return best

    def two(self, candidates: Sequence[C], key: int) -> list[C]:
        """The owner of ``key``, and who would be if that one were not there."""
        return nsmallest(2, candidates, key=lambda candidate: self.draw(candidate, key))

    def draw(self, candidate: Candidate, key: int) -> float:
        """The worker's number for ``key``: exponentially distributed with its weight as the rate, so that the least
        number of all is a worker's with the probability of its share of the weights."""
        name = candidate.key
        seed = self._seeds.get(name)
        if seed is None:
            seed = self._remember(name)
        mixed = ((key ^ seed) * 0xBF58476D1CE4E5B9) & _BITS
        mixed = ((mixed ^ (mixed >> 32)) * 0x94D049BB133111EB) & _BITS
        return -log(((mixed >> 11) + 0.5) * 2.0**-53) / candidate.weight

    def _remember(self, name: str) -> int:
        if len(self._seeds) >= _SEEDS:
            self._seeds.clear()
        seed = self._seeds[name] = stable_hash(name)
        return seed
