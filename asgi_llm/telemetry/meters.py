"""The counts of a process: how many exchanges of which kind, how long they took, what they used.

Exchanges are told once, when they are settled. Labels come from the settings (endpoints, targets), from fixed words
(outcomes), or through ``Names``, so that there is an end to them whatever callers send.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable

from .family import Family
from .histogram import DURATION, FIRST_TOKEN, PER_TOKEN, TOKENS
from .names import OTHER, Names
from .record import ExchangeRecord, operation_of, provider_of
from .series import Counts, Histograms, Labels, Line

__all__ = ["Meters", "Sink"]

_CODES = 100
"""Error codes that are told apart: some are an upstream's own. As many fields that callers are warned about."""
_WARNED = ("reasoning;warn", "store;warn", "truncation;cut")
"""What of it has a label in any case: callers can invent fields."""
_LINES = 5000
"""Kinds of exchanges that are found at once."""
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
        totals: exchanges, those of them that did not end well, tokens of input, tokens of output.
    """

    def __init__(self, models: int = 100, users: int = 0, known: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        self._codes = Names(_CODES)
        self._models = Names(models)
        self._users = Names(users)
        self._fields = Names(_CODES, _WARNED)
        self._by_users = False
        self._lines: dict[tuple[str | bool | int | None, ...], Line] = {}
        self._requests = Counts()
        self._errors = Counts()
        self._attempts = Counts()
        self._rungs = Counts()
        self._cache = Counts()
        self._warnings = Counts()
        self._whys = Counts()
        self._user_requests = Counts()
        self._user_tokens = Counts()
        self._costs = Counts()
        self._unpriced = Counts()
        self._parts = Counts()
        self._tokens = Histograms(TOKENS)
        self._durations = Histograms(DURATION)
        self._first = Histograms(FIRST_TOKEN)
        self._each = Histograms(PER_TOKEN)
        self._begins = Histograms(FIRST_TOKEN)
        self._sinks: tuple[Sink, ...] = ()
        self.recent: deque[ExchangeRecord] = deque(maxlen=_RECENT)
        self.totals = [0, 0, 0, 0]
        self.limit(models, users, known)

    def limit(self, models: int, users: int, known: Iterable[str]) -> None:
        """Goes by other settings from now on. What was counted stays."""
        self._models.limit(models, known)
        self._users.limit(users)
        self._by_users = users > 0

    def pass_on(self, *sinks: Sink) -> None:
        """Who else is told of every exchange, with its labels; in place of those before."""
        self._sinks = sinks

    def settled(self, record: ExchangeRecord) -> None:
        """One exchange is over."""
        with self._lock:
            line = self._count(record)
        if self._sinks:
            labels = (*line.call, line.error)
            for sink in self._sinks:
                sink(record, labels)

    def answered(self, endpoint: str, status: int) -> None:
        """An answer that took no exchange: the list of models, a path that is not there."""
        outcome = "ok" if status < 400 else "client_error" if status < 500 else "internal_error"
        with self._lock:
            self._requests.at(endpoint, "", "", "", "false", outcome, str(status)).value += 1

    def billed(self, target: str, model: str, cost: int | None) -> None:
        """What a request cost, in micro-dollars; None where nobody knows. Told when the ledger has worked it out."""
        with self._lock:
            label = self._models.label(model, proven=False)
            if cost is None:
                self._unpriced.at(target, label).value += 1
            else:
                self._costs.at(target, label).value += cost / 1e6

    def _count(self, record: ExchangeRecord) -> Line:
        ok = record.outcome == "ok"
        model = self._models.label(record.model, proven=ok)
        error = "" if record.error is None else self._codes.label(record.error, proven=True)
        key = (
            record.endpoint, record.target, model, record.mode, record.stream, record.outcome, record.status, error,
            record.rung, record.why if record.attempts else "", record.cache,
        )  # fmt: skip
        line = self._lines.get(key)
        if line is None:
            if len(self._lines) >= _LINES:
                self._lines.clear()
            line = self._lines[key] = self._line(record, model, error or ("" if ok else record.outcome))
        for count in line.counts:
            count.value += 1
        line.durations.observe(record.seconds)
        for attempt in record.attempts:
            self._attempts.at(attempt.target, attempt.result).value += 1
            if attempt.result == "ok":
                self._begins.at(attempt.target).observe(attempt.seconds)
        for warning in record.warnings:
            self._warnings.at(record.target, *self._fields.label(warning, proven=ok).partition(";")[::2]).value += 1
        self._count_tokens(record, line)
        if self._by_users:
            self._count_user(record, model)
        self._total(record)
        if not ok and record.outcome != "disconnected":
            self.recent.append(record)
        return line

    def _line(self, record: ExchangeRecord, model: str, error: str) -> Line:
        call = (operation_of(record.endpoint), provider_of(record.provider), model, record.endpoint, record.target)
        stream, status = "true" if record.stream else "false", str(record.status)
        counts = [self._requests.at(record.endpoint, record.target, model, record.mode, stream, record.outcome, status)]
        if error:
            counts.append(self._errors.at(record.endpoint, record.target, error))
        if record.cache:
            counts.append(self._cache.at(record.endpoint, record.cache))
        if record.rung:
            counts.append(self._rungs.at(record.rung))
        if record.attempts:
            counts.append(self._whys.at(record.target, record.why))
        return Line(call, error, tuple(counts), self._durations.at(*call, error))

    def _count_tokens(self, record: ExchangeRecord, line: Line) -> None:
        if record.input is not None:
            if line.input is None:
                line.input = self._tokens.at(*line.call, "input")
            line.input.observe(record.input)
        if record.output is not None:
            if line.output is None:
                line.output = self._tokens.at(*line.call, "output")
            line.output.observe(record.output)
        if record.first_token is not None:
            if line.first is None:
                line.first = self._first.at(*line.call)
            line.first.observe(record.first_token)
            if (each := record.per_token) is not None:
                if line.each is None:
                    line.each = self._each.at(*line.call)
                line.each.observe(each)
        if record.cache_read:
            self._parts.at(*line.call, "cache_read").value += record.cache_read
        if record.cache_write:
            self._parts.at(*line.call, "cache_write").value += record.cache_write
        if record.reasoning:
            self._parts.at(*line.call, "reasoning").value += record.reasoning

    def _count_user(self, record: ExchangeRecord, model: str) -> None:
        name = self._users.label(f"{record.tenant}\n{record.subject}", proven=record.outcome == "ok")
        tenant, _, user = (OTHER, "", OTHER) if name == OTHER else name.partition("\n")
        self._user_requests.at(tenant, user, record.outcome).value += 1
        for kind, amount in record.tokens():
            self._user_tokens.at(tenant, user, model, kind).value += amount

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
                Family.counter(
                    "asgi_llm_cache",
                    "Requests that the cache of answers was asked about.",
                    ("endpoint", "result"),
                    self._cache,
                ),
                Family.counter(
                    "asgi_llm_warnings",
                    "Fields of requests that did not pass as they were.",
                    ("target", "field", "action"),
                    self._warnings,
                ),
                Family.counter("asgi_llm_resolutions", "What led to the target.", ("rung",), self._rungs),
                Family.counter(
                    "asgi_llm_choices", "Why the worker was asked that served.", ("target", "why"), self._whys
                ),
                Family.counter(
                    "asgi_llm_cost_dollars", "What requests cost, by the ledger.", ("target", "model"), self._costs
                ),
                Family.counter(
                    "asgi_llm_unpriced_requests",
                    "Requests whose price it does not know.",
                    ("target", "model"),
                    self._unpriced,
                ),
                *self._conventional(),
            ]
            if self._by_users:
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
            Family.counter(
                "asgi_llm_user_requests", "Requests by user.", ("tenant", "user", "outcome"), self._user_requests
            ),
            Family.counter(
                "asgi_llm_user_tokens",
                "Tokens by user.",
                ("tenant", "user", "model", "gen_ai_token_type"),
                self._user_tokens,
            ),
        ]
