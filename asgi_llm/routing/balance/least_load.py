"""The worker that will be free first.

What a worker has to do is known from two sides. It reports now and then what waits in its queue and how full its cache
is; what was sent to it since is credited to it, because the report cannot know of it. A worker that does not report
is judged by the requests it works on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from .interface import Candidate, Facts, Policy

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

    __slots__ = ("credit", "report", "running", "turn")

    def __init__(self) -> None:
        self.running = 0  # tokens of the requests it works on
        self.credit = 0  # tokens sent since its last report
        self.turn = 0  # when it was sent to last, counted in requests
        self.report: Report | None = None


class LeastLoad(Policy):
    __slots__ = ("_options", "_reporting", "_states", "_turn")

    def __init__(self, options: LeastLoadOptions | None = None) -> None:
        self._options = options or LeastLoadOptions()
        self._states: dict[str, _State] = {}
        self._reporting = 0
        self._turn = 0

    def pick(self, candidates: Sequence[C], facts: Facts) -> C:
        if self._reporting:
            mean = self._mean_throughput(candidates)
            return min(candidates, key=lambda candidate: self._expected(candidate, mean))
        return min(candidates, key=self._counted)

    def _counted(self, candidate: Candidate) -> tuple[float, float, int]:
        """Requests; of two workers with one each, the tokens; of two that are idle, who has been idle for longer."""
        state = self._states.get(candidate.key)
        if state is None:
            return candidate.load / candidate.weight, 0.0, 0
        return candidate.load / candidate.weight, state.running / candidate.weight, state.turn

    def _expected(self, candidate: Candidate, mean: float) -> tuple[float, int]:
        """Seconds until a request that is sent now would be worked on, about."""
        options = self._options
        state = self._states.get(candidate.key)
        if state is None or state.report is None:
            seconds = candidate.load * options.request_tokens / (mean * candidate.weight)
            return seconds, 0 if state is None else state.turn
        report = state.report
        used = min(max(report.used, 0.0), 0.999)
        waiting = (max(report.queued, 0) + state.credit) / self._throughput(candidate, report)
        return waiting + options.fullness * used / (1 - used), state.turn

    def _throughput(self, candidate: Candidate, report: Report) -> float:
        return report.throughput or self._options.throughput * candidate.weight

    def _mean_throughput(self, candidates: Sequence[Candidate]) -> float:
        known = [
            self._throughput(candidate, state.report)
            for candidate in candidates
            if (state := self._states.get(candidate.key)) is not None and state.report is not None
        ]
        return sum(known) / len(known) if known else self._options.throughput

    def _tokens(self, facts: Facts) -> int:
        return facts.length // BYTES_PER_TOKEN or self._options.request_tokens

    def sent(self, candidate: Candidate, facts: Facts) -> None:
        state = self._state(candidate)
        tokens = self._tokens(facts)
        state.running += tokens
        state.credit += tokens
        self._turn += 1
        state.turn = self._turn

    def ended(self, candidate: Candidate, facts: Facts, *, served: bool = True) -> None:
        # The worker may have left in between.
        if (state := self._states.get(candidate.key)) is not None:
            tokens = self._tokens(facts)
            state.running = max(state.running - tokens, 0)
            if not served:
                state.credit = max(state.credit - tokens, 0)

    def reported(self, candidate: Candidate, report: Report | None) -> None:
        """What a worker has just said of itself; None when it did not answer."""
        state = self._state(candidate)
        self._reporting += (report is not None) - (state.report is not None)
        state.report = report
        state.credit = 0

    def left(self, candidate: Candidate) -> None:
        state = self._states.pop(candidate.key, None)
        if state is not None and state.report is not None:
            self._reporting -= 1

    def _state(self, candidate: Candidate) -> _State:
        state = self._states.get(candidate.key)
        if state is None:
            state = self._states[candidate.key] = _State()
        return state
