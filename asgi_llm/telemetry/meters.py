"""The counts of a process: how many exchanges of which kind, how long they took, what they used.

Exchanges are told once, when they are settled. Labels come from the settings (endpoints, targets), from fixed words
(outcomes), or through ``Names``, so that there is an end to them whatever callers send.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable

from .family import Family
from .histogram import DURATION, FIRST_TOKEN, PER_TOKEN, TOKENS, Bounds, Histogram
from .names import Names
from .record import ExchangeRecord, operation_of, provider_of

__all__ = ["Meters"]

Labels = tuple[str, ...]
_CODES = 100
"""Error codes that are told apart: some are an upstream's own."""
_SERIES = 5000
"""Combinations of labels in one family; what comes later is counted under ``other``."""
_RECENT = 50
"""Failed exchanges that are remembered."""

CALL: Labels = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "endpoint", "target")
"""Labels of what the conventions name."""
_REQUEST: Labels = ("endpoint", "target", "model", "mode", "stream", "outcome", "status")

Sink = Callable[[ExchangeRecord, Labels], None]


class Meters:
    """Safe to be told and read from several threads, as some hosts have an event loop in each.

    Args:
        models: most models with a label of their own.
        users: most users with one; 0 counts nothing by user.
        known: models that are known from the settings.

    Attributes:
        recent: the last failed exchanges, the latest at the end.
        counts: whether time series are kept, not only what is recent.
    """

    def __init__(self, models: int = 100, users: int = 0, known: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        self._codes = Names(_CODES)
        self._requests: dict[Labels, float] = {}
        self._errors: dict[Labels, float] = {}
        self._attempts: dict[Labels, float] = {}
        self._rungs: dict[Labels, float] = {}
        self._whys: dict[Labels, float] = {}
        self._user_requests: dict[Labels, float] = {}
        self._user_tokens: dict[Labels, float] = {}
        self._parts: dict[Labels, float] = {}
        self._tokens: dict[Labels, Histogram] = {}
        self._durations: dict[Labels, Histogram] = {}
        self._first: dict[Labels, Histogram] = {}
        self._each: dict[Labels, Histogram] = {}
        self._begins: dict[Labels, Histogram] = {}
        self._sinks: tuple[Sink, ...] = ()
        self.recent: deque[ExchangeRecord] = deque(maxlen=_RECENT)
        self.totals = [0, 0, 0, 0]
        self.limit(models, users, known)

    def limit(self, models: int, users: int, known: Iterable[str]) -> None:
        """Goes by other settings from now on. What was counted stays."""
        self._models = Names(models, known)
        self._users = Names(users) if users else None

    def pass_on(self, *sinks: Sink) -> None:
        """Who else is told of every exchange, with its labels; in place of those before."""
        self._sinks = sinks

    def settled(self, record: ExchangeRecord) -> None:
        """One exchange is over."""
        with self._lock:
            labels = self._count(record)
        for sink in self._sinks:
            sink(record, labels)

    def answered(self, endpoint: str, status: int) -> None:
        """An answer that took no exchange: the list of models, a path that is not there."""
        outcome = "ok" if status < 400 else "client_error" if status < 500 else "internal_error"
        with self._lock:
            _add(self._requests, (endpoint, "", "", "", "false", outcome, str(status)))

    def _count(self, record: ExchangeRecord) -> Labels:
        ok = record.outcome == "ok"
        model = self._models.label(record.model, proven=ok)
        call = (operation_of(record.endpoint), provider_of(record.provider), model, record.endpoint, record.target)
        stream = "true" if record.stream else "false"
        error = "" if record.error is None else self._codes.label(record.error, proven=True)
        if error == "" and not ok:
            error = record.outcome
        key = (record.endpoint, record.target, model, record.mode, stream, record.outcome, str(record.status))
        _add(self._requests, key)
        _observe(self._durations, (*call, error), DURATION, record.seconds)
        if error:
            _add(self._errors, (record.endpoint, record.target, error))
        if record.target:
            self._count_way(record)
        self._count_tokens(record, call, model)
        self._total(record)
        if not ok and record.outcome != "disconnected":
            self.recent.append(record)
        return (*call, error)

    def _count_way(self, record: ExchangeRecord) -> None:
        if record.rung:
            _add(self._rungs, (record.rung,))
        for attempt in record.attempts:
            _add(self._attempts, (attempt.target, attempt.result))
            if attempt.result == "ok":
                _observe(self._begins, (attempt.target,), FIRST_TOKEN, attempt.seconds)
        if record.attempts and record.why:
            _add(self._whys, (record.target, record.why))

    def _count_tokens(self, record: ExchangeRecord, call: Labels, model: str) -> None:
        for kind, amount in record.tokens():
            _observe(self._tokens, (*call, kind), TOKENS, amount)
        for part, amount in (
            ("cache_read", record.cache_read),
            ("cache_write", record.cache_write),
            ("reasoning", record.reasoning),
        ):
            if amount:
                _add(self._parts, (*call, part), amount)
        if record.first_token is not None:
            _observe(self._first, call, FIRST_TOKEN, record.first_token)
        if (each := record.per_token) is not None:
            _observe(self._each, call, PER_TOKEN, each)
        if self._users is not None:
            user = self._users.label(f"{record.tenant}/{record.subject}", proven=record.outcome == "ok")
            _add(self._user_requests, (user, record.outcome))
            for kind, amount in record.tokens():
                _add(self._user_tokens, (user, model, kind), amount)

    def _total(self, record: ExchangeRecord) -> None:
        totals = self.totals
        totals[0] += 1
        totals[1] += record.outcome != "ok"
        totals[2] += record.input or 0
        totals[3] += record.output or 0

    def families(self) -> list[Family]:
        """All that was counted."""
        with self._lock:
            found = [
                Family.counter("asgi_llm_requests", "Requests that were settled.", _REQUEST, self._requests),
                Family.counter(
                    "asgi_llm_errors", "Requests that failed, by code.", ("endpoint", "target", "code"), self._errors
                ),
                Family.counter(
                    "asgi_llm_attempts", "Requests to workers, by result.", ("target", "result"), self._attempts
                ),
                Family.histogram(
                    "asgi_llm_attempt_duration_seconds",
                    "From a request to a worker to the beginning of its answer.",
                    ("target",),
                    self._begins,
                ),
                Family.counter("asgi_llm_resolutions", "What led to the target.", ("rung",), self._rungs),
                Family.counter(
                    "asgi_llm_choices", "Why the worker was asked that served.", ("target", "why"), self._whys
                ),
                *self._conventional(),
            ]
            if self._users is not None:
                found += self._by_user()
        return found

    def _conventional(self) -> list[Family]:
        return [
            Family.histogram(
                "gen_ai_client_operation_duration_seconds",
                "From a request's arrival to the end of its answer.",
                (*CALL, "error_type"),
                self._durations,
            ),
            Family.histogram(
                "gen_ai_client_token_usage", "Tokens that were used.", (*CALL, "gen_ai_token_type"), self._tokens
            ),
            Family.histogram(
                "gen_ai_server_time_to_first_token_seconds",
                "From a request's arrival to the first token of its stream.",
                CALL,
                self._first,
            ),
            Family.histogram(
                "gen_ai_server_time_per_output_token_seconds",
                "Time for each token behind the first, of streams that ended well.",
                CALL,
                self._each,
            ),
            Family.counter(
                "asgi_llm_token_parts", "Of those tokens: cached and thought ones.", (*CALL, "part"), self._parts
            ),
        ]

    def _by_user(self) -> list[Family]:
        return [
            Family.counter("asgi_llm_user_requests", "Requests by user.", ("user", "outcome"), self._user_requests),
            Family.counter(
                "asgi_llm_user_tokens",
                "Tokens by user.",
                ("user", "model", "gen_ai_token_type"),
                self._user_tokens,
            ),
        ]


def _add(counts: dict[Labels, float], key: Labels, amount: float = 1) -> None:
    if key in counts:
        counts[key] += amount
        return
    if len(counts) >= _SERIES:
        key = ("other",) * len(key)
    counts[key] = counts.get(key, 0) + amount


def _observe(histograms: dict[Labels, Histogram], key: Labels, bounds: Bounds, value: float) -> None:
    histogram = histograms.get(key)
    if histogram is None:
        if len(histograms) >= _SERIES:
            key = ("other",) * len(key)
        histogram = histograms.setdefault(key, Histogram(bounds))
    histogram.observe(value)
