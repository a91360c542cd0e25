"""The worker that will be free first.

What a worker has to do is known from two sides. It reports now and then what waits in its queue and how full its cache
is; what was sent to it since is credited to it, because the report cannot know of it. A worker that does not report
is judged by the requests it works on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from .interface import Candidate, Facts, Policy
from .ranking import Ranking

__all__ = ["LeastLoad", "LeastLoadOptions", "Report"]

C = TypeVar("C", bound=Candidate)

BYTES_PER_TOKEN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class LeastLoadOptions:
    """
    Attributes:
        throughput: of a worker whose report names none, in tokens a second.
        request_tokens: what a request counts whose length is not known, in tokens.
        fullness: what a cache that is half full costs, in seconds; it costs more the fuller it is.
    """

    throughput: float = 2000.0
    request_tokens: int = 1024
    fullness: float = 0.15

    def __post_init__(self) -> None:
        if not self.throughput > 0:
            raise ValueError("throughput must be more than 0 tokens a second")
        if self.request_tokens < 1:
            raise ValueError("request_tokens must be at least 1 token")
        if not self.fullness >= 0:
            raise ValueError("fullness must not be negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a worker says of itself.

    Attributes:
        queued: tokens that wait and are in no cache.
        used: the share of its cache that is in use, from 0 to 1.
        throughput: tokens a second, or None.
    """

    queued: int
    used: float = 0.0
    throughput: float | None = None


class _State:
    """What is known of a worker."""

    __slots__ = ("credit", "report", "running", "speed", "turn")

    def __init__(self) -> None:
        self.running = 0  # tokens of the requests it works on
        self.credit = 0  # tokens sent since its last report
        self.turn = 0  # when it was sent to last, counted in requests
        self.speed = 0.0  # tokens a second, where it reports
        self.report: Report | None = None


_NEW = _State()
"""Of a worker that nothing was sent to."""
_OTHER = (float("inf"),)
"""The rank of a worker that is ranked elsewhere."""


class LeastLoad(Policy):
    """Of many workers it does not look at each: those that report and those that do not are ranked apart, since what
    is to be expected of the latter changes with every report of the former, but not their order."""

    __slots__ = ("_counted", "_expected", "_options", "_reporting", "_speeds", "_states", "_turn")

    def __init__(self, options: LeastLoadOptions | None = None) -> None:
        self._options = options or LeastLoadOptions()
        self._states: dict[str, _State] = {}
        self._reporting = 0
        self._speeds = 0.0  # the sum
        self._turn = 0
        self._counted: Ranking[Any] = Ranking(lambda one: _OTHER if self._reports(one) else self._count(one))
        self._expected: Ranking[Any] = Ranking(lambda one: self._expect(one) if self._reports(one) else _OTHER)

    def pick(self, candidates: Sequence[C], facts: Facts) -> C:
        known = self._counted.knows(candidates)
        if not self._reporting:
            return self._counted.first() if known else min(candidates, key=self._count)
        if not self._expected.knows(candidates) or not known:
            return min(candidates, key=self._expect)
        place = self._counted.place
        firsts: list[C] = [self._counted.first(), self._expected.first()]
        return min(firsts, key=lambda one: (*self._expect(one), place(one)))

    def _count(self, candidate: Candidate) -> tuple[float, float, int]:
        """Requests; of two workers with one each, the tokens; of two that are idle, who has been idle for longer."""
        state = self._states.get(candidate.key, _NEW)
        return candidate.load / candidate.weight, state.running / candidate.weight, state.turn

    def _expect(self, candidate: Candidate) -> tuple[float, float, int]:
        """Seconds until a request that is sent now would be worked on, about."""
        options = self._options
        state = self._states.get(candidate.key, _NEW)
        report = state.report
        if report is None:
            mean = self._speeds / self._reporting
            load, tokens, turn = self._count(candidate)
            return load * (options.request_tokens / mean), tokens, turn
        used = min(max(report.used, 0.0), 0.999)
        waiting = (max(report.queued, 0) + state.credit) / state.speed
        return waiting + options.fullness * used / (1 - used), 0.0, state.turn

    def _reports(self, candidate: Candidate) -> bool:
        state = self._states.get(candidate.key)
        return state is not None and state.report is not None

    def _changed(self, candidate: Candidate) -> None:
        if self._counted.kept:
            self._counted.changed(candidate)
        if self._expected.kept:
            self._expected.changed(candidate)

    def _tokens(self, facts: Facts) -> int:
        return facts.length // BYTES_PER_TOKEN or self._options.request_tokens

    def sent(self, candidate: Candidate, facts: Facts) -> None:
        state = self._state(candidate)
        tokens = self._tokens(facts)
        state.running += tokens
        state.credit += tokens
        self._turn += 1
        state.turn = self._turn
        self._changed(candidate)

    def ended(self, candidate: Candidate, facts: Facts, *, served: bool = True) -> None:
        # The worker may have left in between.
        if (state := self._states.get(candidate.key)) is not None:
            tokens = self._tokens(facts)
            state.running = max(state.running - tokens, 0)
            if not served:
                state.credit = max(state.credit - tokens, 0)
        self._changed(candidate)

    def reported(self, candidate: Candidate, report: Report | None) -> None:
        """What a worker has just said of itself; None when it did not answer."""
        state = self._state(candidate)
        self._takes_back(state)
        if report is not None:
            state.report = report
            state.speed = report.throughput or self._options.throughput * candidate.weight
            self._reporting += 1
            self._speeds += state.speed
        state.credit = 0
        self._changed(candidate)

    def left(self, candidate: Candidate) -> None:
        state = self._states.pop(candidate.key, None)
        if state is not None:
            self._takes_back(state)

    def _takes_back(self, state: _State) -> None:
        if state.report is not None:
            state.report = None
            self._reporting -= 1
            self._speeds = self._speeds - state.speed if self._reporting else 0.0  # so that what was rounded is gone

    def _state(self, candidate: Candidate) -> _State:
        state = self._states.get(candidate.key)
        if state is None:
            state = self._states[candidate.key] = _State()
        return state
