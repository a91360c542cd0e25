"""The same figures as OpenTelemetry metrics, for the ``MeterProvider`` that the application has set, now or later.

Names, units and attributes are those of the semantic conventions for generative AI; what they have no word for begins
with ``asgi_llm.``. Imports opentelemetry, which is an extra.
"""

from opentelemetry.metrics import get_meter

from .histogram import DURATION, FIRST_TOKEN, PER_TOKEN, TOKENS
from .record import ExchangeRecord
from .version import SCOPE, scope_version

__all__ = ["Instruments"]

_NAMES = (
    "gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "asgi_llm.endpoint", "asgi_llm.target",
)  # fmt: skip


class Instruments:
    """Told of every exchange; ``labels`` are its bounded ones."""

    def __init__(self) -> None:
        meter = get_meter(SCOPE, scope_version())
        self._duration = meter.create_histogram(
            "gen_ai.client.operation.duration",
            unit="s",
            description="GenAI operation duration.",
            explicit_bucket_boundaries_advisory=DURATION,
        )
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=TOKENS,
        )
        self._first = meter.create_histogram(
            "gen_ai.server.time_to_first_token",
            unit="s",
            description="Time to the first token of a stream.",
            explicit_bucket_boundaries_advisory=FIRST_TOKEN,
        )
        self._each = meter.create_histogram(
            "gen_ai.server.time_per_output_token",
            unit="s",
            description="Time per output token behind the first.",
            explicit_bucket_boundaries_advisory=PER_TOKEN,
        )
        self._requests = meter.create_counter(
            "asgi_llm.requests", unit="{request}", description="Requests that were settled."
        )
        self._attempts = meter.create_counter(
            "asgi_llm.attempts", unit="{attempt}", description="Requests to workers, by result."
        )

    def record(self, record: ExchangeRecord, labels: tuple[str, ...]) -> None:
        *call, error = labels
        common = {name: value for name, value in zip(_NAMES, call, strict=True) if value}
        ended = {**common, "error.type": error} if error else common
        self._duration.record(record.seconds, ended)
        self._requests.add(1, {**ended, "asgi_llm.outcome": record.outcome, "http.response.status_code": record.status})
        for kind, amount in record.tokens():
            self._tokens.record(amount, {**common, "gen_ai.token.type": kind})
        if record.first_token is not None:
            self._first.record(record.first_token, common)
        if (each := record.per_token) is not None:
            self._each.record(each, common)
        for attempt in record.attempts:
            self._attempts.add(1, {"asgi_llm.target": attempt.target, "asgi_llm.result": attempt.result})
