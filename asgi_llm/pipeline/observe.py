"""From an exchange to what telemetry is told of it: the trace that begins when its plan is known, and the record and
the end of the trace when it is settled."""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from msgspec import structs

from asgi_llm.dialects.knobs import read_knobs
from asgi_llm.dialects.onset import Onset
from asgi_llm.exchange import Caller, Exchange
from asgi_llm.fleet.worker import Worker
from asgi_llm.runtime import Runtime
from asgi_llm.telemetry.access_log import as_json, as_text, fields
from asgi_llm.telemetry.record import AttemptRecord, ExchangeRecord, operation_of, provider_of
from asgi_llm.upstream.interface import UpstreamRequest

from .lost import told_in_all
from .plan import Leg
from .transcript import transcript

if TYPE_CHECKING:
    from asgi_llm.telemetry.tracing import Trace, Tracing

__all__ = ["access", "begin_trace", "begin_watch", "note_answer", "observe", "record_of", "traced"]

logger = logging.getLogger("asgi_llm")
access = logging.getLogger("asgi_llm.access")

_LONGEST = 200
"""Characters of a model's name that are told."""

Attributes = dict[str, str | int | float | bool | list[str]]


def begin_trace(runtime: Runtime, exchange: Exchange, caller: Caller) -> None:
    """Opens the span of ``exchange``, whose plan is known, if traces are wanted."""
    tracing = runtime.telemetry.tracing if runtime.telemetry is not None else None
    if tracing is not None and exchange.trace is None:
        elapsed = runtime.loop.time() - exchange.started
        exchange.trace = tracing.begin(_span_name(exchange), _asked(exchange), caller.fields, elapsed)


def traced(trace: "Trace", worker: Worker, request: UpstreamRequest) -> UpstreamRequest:
    """``request`` to ``worker``, which begins now, with the trace going on in it."""
    return structs.replace(request, headers=trace.attempt(worker.name, request.method, worker.key, request.headers))


def begin_watch(
    runtime: Runtime, exchange: Exchange, leg: Leg, first: bytes, read: Callable[[], Awaitable[bytes]]
) -> Callable[[], Awaitable[bytes]]:
    """A stream begins, with ``first``: looks out for its first token, and keeps what is said where traces are to hold
    it. Returns what reads the rest."""
    exchange.onset = Onset(leg.dialect.name, runtime.loop.time)
    trace = exchange.trace
    if trace is None or trace.said is None:
        return read
    trace.keep(first)

    async def keeping() -> bytes:
        data = await read()
        trace.keep(data)
        return data

    return keeping


def observe(runtime: Runtime, exchange: Exchange) -> None:
    """Tells of ``exchange``, which is over. Synchronous, never waits, never raises: libraries of others are called."""
    telemetry = runtime.telemetry
    try:
        record = record_of(exchange)
        if telemetry is not None:
            telemetry.meters.settled(record)
            if telemetry.tracing is not None:
                _end_trace(telemetry.tracing, exchange, record)
        if access.isEnabledFor(logging.INFO):
            _log(record, as_object=runtime.blueprint.settings.telemetry.log == "json")
    except Exception:
        logger.exception("telemetry failed for request %s", exchange.id)


def note_answer(runtime: Runtime, endpoint: str, status: int) -> None:
    """Counts an answer that took no exchange through the pipeline; ``status`` 0 if the caller did not stay for it."""
    if runtime.telemetry is not None and status:
        runtime.telemetry.meters.answered(endpoint, status)


def _log(record: ExchangeRecord, *, as_object: bool) -> None:
    known = fields(record)
    access.info("%s", as_json(known) if as_object else as_text(known), extra={"exchange": known})


def record_of(exchange: Exchange) -> ExchangeRecord:
    leg, onset, ended = exchange.leg, exchange.onset, exchange.ended
    cache = exchange.recall.state if exchange.recall is not None else ""
    # What is given again was used before.
    usage = None if cache == "hit" else told_in_all(exchange)
    assert ended is not None  # noqa: S101  # settle() filled it in
    began = onset.at if onset is not None else None
    identity, served = exchange.identity, exchange.served
    return ExchangeRecord(
        id=exchange.id,
        at=time.time(),
        endpoint=exchange.endpoint,
        dialect=exchange.dialect.name,
        model=_model(exchange),
        outcome=exchange.outcome or "internal_error",
        status=exchange.status,
        seconds=ended - exchange.started,
        stream=exchange.stream,
        tenant=identity.tenant,
        subject=identity.subject,
        key_id=identity.key_id,
        target=leg.crew.target.name if leg is not None else "",
        provider=leg.crew.target.provider.name if leg is not None else "",
        served=leg.model[:_LONGEST] if leg is not None else "",
        worker=served.worker if served is not None else "",
        mode=leg.mode if leg is not None else "",
        rung=exchange.plan.resolution.rung if exchange.plan is not None else "",
        why=exchange.why,
        cache=cache,
        warnings=tuple(f"{one.field};{one.action}" for one in exchange.warnings) if exchange.warnings else (),
        error=exchange.error_code,
        first_token=began - exchange.started if began is not None else None,
        input=usage.input if usage is not None else None,
        output=usage.output if usage is not None else None,
        cache_read=(usage.cache_read or 0) if usage is not None else 0,
        cache_write=usage.written if usage is not None else 0,
        reasoning=(usage.reasoning or 0) if usage is not None else 0,
        attempts=_attempts(exchange),
        trace_id=exchange.trace.id if exchange.trace is not None else None,
    )


def _attempts(exchange: Exchange) -> tuple[AttemptRecord, ...]:
    """What came of each in the end: one that began well and broke off was none that was."""
    told = [AttemptRecord(one.target, one.result, one.seconds) for one in exchange.attempts]
    if exchange.outcome == "interrupted":
        place = next((place for place in reversed(range(len(told))) if told[place].result == "ok"), None)
        if place is not None:
            told[place] = structs.replace(told[place], result="interrupted")
    return tuple(told)


def _end_trace(tracing: "Tracing", exchange: Exchange, record: ExchangeRecord) -> None:
    trace = exchange.trace
    if trace is None:
        # It was refused before its plan was known. The trace that its caller may have named is not known here.
        trace = tracing.begin(_span_name(exchange), _asked(exchange), {}, record.seconds)
    attributes = _came_of_it(exchange, record, trace)
    if tracing.content and trace.recorded:
        attributes |= transcript(exchange, trace.said)
    error = record.error if record.outcome != "ok" else None
    trace.end(_span_name(exchange), attributes, error or (None if record.outcome == "ok" else record.outcome))
    exchange.trace = None  # others may keep the exchange for a while


def _span_name(exchange: Exchange) -> str:
    operation = operation_of(exchange.endpoint)
    model = _model(exchange)
    return f"{operation} {model}" if model else operation


def _model(exchange: Exchange) -> str:
    """As the caller named it, who may have done so at any length."""
    return (exchange.envelope.model if exchange.envelope is not None else exchange.named)[:_LONGEST]


def _asked(exchange: Exchange) -> Attributes:
    """What is known when it begins, so that samplers can go by it."""
    plan, model = exchange.plan, _model(exchange)
    found: Attributes = {
        "gen_ai.operation.name": operation_of(exchange.endpoint),
        "asgi_llm.request.id": exchange.id,
        "asgi_llm.endpoint": exchange.endpoint,
    }
    if model:
        found["gen_ai.request.model"] = model
    if plan is not None and plan.legs:
        found["gen_ai.provider.name"] = provider_of(plan.legs[0].crew.target.provider.name)
    return found


def _came_of_it(exchange: Exchange, record: ExchangeRecord, trace: "Trace") -> Attributes:
    if not trace.recorded:
        return {}
    known: dict[str, str | int | float | None] = {
        "gen_ai.provider.name": provider_of(record.provider),
        "gen_ai.response.model": record.served if record.outcome == "ok" else "",
        "gen_ai.usage.input_tokens": record.input,
        "gen_ai.usage.output_tokens": record.output,
        "gen_ai.usage.cache_read.input_tokens": record.cache_read or None,
        "gen_ai.usage.cache_creation.input_tokens": record.cache_write or None,
        "gen_ai.usage.reasoning.output_tokens": record.reasoning or None,
        "gen_ai.response.time_to_first_chunk": record.first_token,
        "asgi_llm.target": record.target,
        "asgi_llm.mode": record.mode,
        "asgi_llm.rung": record.rung,
        "asgi_llm.tenant": record.tenant,
        "enduser.id": record.subject,
    }
    found: Attributes = {name: value for name, value in known.items() if value not in (None, "")}
    found["asgi_llm.outcome"] = record.outcome
    found["http.response.status_code"] = record.status
    found["gen_ai.request.stream"] = record.stream
    if exchange.finish:
        found["gen_ai.response.finish_reasons"] = [exchange.finish]
    return found | _manner(exchange)


def _manner(exchange: Exchange) -> Attributes:
    """What the request asks of the model's manner."""
    if exchange.forward is not None or not exchange.body:
        return {}
    knobs = read_knobs(exchange.body)
    asked = {
        "temperature": knobs.temperature,
        "top_p": knobs.top_p,
        "top_k": knobs.top_k,
        "max_tokens": knobs.max_tokens,
        "presence_penalty": knobs.presence_penalty,
        "frequency_penalty": knobs.frequency_penalty,
        "seed": knobs.seed,
        "choice.count": knobs.choices if knobs.choices != 1 else None,
    }
    return {f"gen_ai.request.{name}": value for name, value in asked.items() if value is not None}
