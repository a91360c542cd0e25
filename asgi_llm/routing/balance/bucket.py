"""Long prompts to some workers, short ones to others, so that no short one waits behind a long one.

Each worker has a stretch of lengths, and the stretches are cut so that every worker gets its share of the characters
by its weight. They follow the traffic of the last seconds.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, TypeVar

from .interface import Candidate, Clock, Facts, Policy
from .ranking import Ranking
from .roll import Roll

__all__ = ["Bucket", "BucketOptions"]

C = TypeVar("C", bound=Candidate)


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketOptions:
    """
    Attributes:
        window: seconds of traffic that the stretches follow.
        period: seconds between two looks at it.
        max_samples: lengths to remember at most.
        longest: the length up to which the stretches are equal as long as there is no traffic to follow.
        imbalance_length, imbalance_ratio: a worker with so much more to do than the one with the least, and so many
            times as much, is passed over for that one. In the unit of lengths: bytes of bodies.
    """

    window: float = 5.0
    period: float = 5.0
    max_samples: int = 4096
    longest: int = 4096
    imbalance_length: int = 65536
    imbalance_ratio: float = 1.5

    def __post_init__(self) -> None:
        if not (self.window > 0 and self.period > 0):
            raise ValueError("window and period must be more than 0 seconds")
        if self.max_samples < 1 or self.longest < 1:
            raise ValueError("max_samples and longest must be at least 1")
        if self.imbalance_length < 0:
            raise ValueError("imbalance_length must not be negative")
        if not self.imbalance_ratio >= 1:
            raise ValueError("imbalance_ratio must be 1 or more")


class Bucket(Policy):
    __slots__ = ("_clock", "_due", "_idlest", "_lengths", "_options", "_pending", "_samples", "_stretches", "_sums")

    def __init__(self, options: BucketOptions | None = None, *, clock: Clock) -> None:
        self._options = options = options or BucketOptions()
        self._clock = clock
        self._due = clock() + options.period
        self._samples: deque[tuple[float, int]] = deque(maxlen=options.max_samples)
        self._lengths: list[int] = []  # of the window, sorted
        self._sums: list[int] = [0]  # of the lengths before each, and of all
        self._pending: dict[str, int] = {}  # length of what each worker works on
        self._stretches = _Stretches()
        self._idlest: Ranking[Any] = Ranking(self._rank)

    def pick(self, candidates: Sequence[C], facts: Facts) -> C:
        stretches = self._stretches
        if not stretches.knows(candidates):
            stretches = _Stretches.of(candidates)
        least: C = self._idlest.first() if self._idlest.knows(candidates) else min(candidates, key=self._rank)
        fit = stretches.slice(*self._position(facts.length))
        chosen: C = least if stretches.places[least.key] in fit else min(stretches.at(fit), key=self._rank)
        has, at_least = self._rank(chosen)[0], self._rank(least)[0]
        options = self._options
        if has - at_least > options.imbalance_length and has > options.imbalance_ratio * at_least:
            return least
        return chosen

    def _rank(self, candidate: Candidate) -> tuple[float, str]:
        return self._pending.get(candidate.key, 0) / candidate.weight, candidate.key

    def _position(self, length: int) -> tuple[float, float]:
        """Where all characters of the window stand that come in requests of ``length``: the first and the last, as
        shares of all."""
        total = self._sums[-1]
        if not total:
            at = min(length / self._options.longest, 1 - 2**-20)
            return at, at + 2**-20
        low = self._sums[bisect_left(self._lengths, length)] / total
        high = self._sums[bisect_right(self._lengths, length)] / total
        # A length that is not in the window stands between two that are, as a point.
        return min(low, 1 - 2**-20), max(high, low + 2**-20)

    def sent(self, candidate: Candidate, facts: Facts) -> None:
        self._pending[candidate.key] = self._pending.get(candidate.key, 0) + facts.length
        self._changed(candidate)
        now = self._clock()
        self._samples.append((now, facts.length))
        if now >= self._due:
            self._cut(now)

    def _cut(self, now: float) -> None:
        self._due = now + self._options.period
        while self._samples and self._samples[0][0] < now - self._options.window:
            self._samples.popleft()
        self._lengths = sorted(length for _, length in self._samples)
        self._sums = list(accumulate(self._lengths, initial=0))

    def ended(self, candidate: Candidate, facts: Facts, *, served: bool = True) -> None:
        if (pending := self._pending.get(candidate.key)) is not None:
            self._pending[candidate.key] = max(pending - facts.length, 0)
            self._changed(candidate)

    def left(self, candidate: Candidate) -> None:
        self._pending.pop(candidate.key, None)

    def _changed(self, candidate: Candidate) -> None:
        if self._idlest.kept:
            self._idlest.changed(candidate)


class _Stretches(Roll[Any]):
    """Whose stretch of all characters is where, as shares of them. ``places`` has where each worker stands in that
    order: by name, so that a worker keeps its stretch in whatever order candidates come."""

    __slots__ = ("_ends", "_ordered", "places")

    @classmethod
    def of(cls, candidates: Sequence[Any]) -> "_Stretches":
        made = cls()
        made.candidates = candidates
        made.count()
        return made

    def count(self) -> None:
        super().count()
        self._ordered = sorted(self.candidates, key=lambda one: one.key)
        total = sum(one.weight for one in self._ordered)
        self._ends = [*accumulate(one.weight / total for one in self._ordered)]
        self.places = {one.key: place for place, one in enumerate(self._ordered)}

    def slice(self, low: float, high: float) -> range:
        """Those whose stretches are between ``low`` and ``high``: one, or several if very many requests are of one
        length."""
        last = len(self._ordered) - 1
        first = min(bisect_right(self._ends, low), last)  # where the sum was rounded
        return range(first, max(min(bisect_left(self._ends, high), last), first) + 1)

    def at(self, places: range) -> list[Any]:
        return self._ordered[places.start : places.stop]
