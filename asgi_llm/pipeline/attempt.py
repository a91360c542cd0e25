"""Third step: one worker after another, until one gives the first event of its answer.

Nothing has been forwarded yet, so a failure can still be mended: by another worker of the target, then by the next
leg. Never by the worker that just failed.
"""

import asyncio
import random
from collections.abc import Callable
from functools import partial

from msgspec import Struct

from asgi_llm.errors import Cause, Kind, UpstreamError
from asgi_llm.exchange import Attempt, Caller, Exchange
from asgi_llm.fleet.worker import Worker
from asgi_llm.neutral.response import Response
from asgi_llm.neutral.stops import cut
from asgi_llm.neutral.usage import Usage
from asgi_llm.routing.balance.affinity import read_keys
from asgi_llm.routing.balance.interface import Facts
from asgi_llm.routing.retry import Verdict, delay, judge
from asgi_llm.routing.text import NO_TEXT, RoutingText, routing_text
from asgi_llm.runtime import Runtime
from asgi_llm.types import Headers
from asgi_llm.upstream.interface import UpstreamResponse

from .forward import may_try_again, passes, read_whole
from .inspect import check_first, check_whole
from .plan import Leg
from .prepare import Outgoing, prepare

__all__ = ["Reply", "attempt"]


class Reply(Struct, frozen=True):
    """An answer that has begun. ``first`` is its first piece, or all of it when it is not a ``stream``.

    Of an answer that came whole, ``usage`` is what it used, ``whole`` is it decoded where it is to be translated, and
    ``told`` is it translated where that was done by a short cut. It ``passes`` piece by piece where it is no JSON.
    """

    response: UpstreamResponse
    outgoing: Outgoing
    stream: bool
    first: bytes
    whole: Response | None = None
    usage: Usage | None = None
    told: bytes | None = None
    passes: bool = False


async def attempt(runtime: Runtime, exchange: Exchange, caller: Caller) -> Reply:
    """Fills in leg, worker, attempts and warnings.

    Raises:
        UpstreamError: the failure of the last attempt, when nothing is left to try or nothing could help.
        ClientError: the request cannot be expressed in a leg's dialect.
    """
    plan = exchange.plan
    assert plan is not None  # noqa: S101  # make_plan() filled it in
    failure: UpstreamError | None = None
    for leg in plan.legs:
        outgoing = prepare(exchange, leg, caller)
        exchange.leg, exchange.warnings = leg, outgoing.warnings
        exchange.facts = _facts(exchange, leg, caller) if leg.crew.reads else None
        tried: list[Worker] = []
        while (worker := leg.crew.pick(tried, runtime.loop.time(), exchange.facts)) is not None:
            if tried:
                await asyncio.sleep(_pause(leg, len(tried)))
            tried.append(worker)
            try:
                return await _try_worker(runtime, exchange, leg, worker, outgoing)
            except UpstreamError as error:
                failure = error
                verdict = judge(error) if may_try_again(exchange, error) else Verdict.FINAL
            if verdict is Verdict.FINAL:
                raise failure
            if verdict is Verdict.NEXT_LEG or len(tried) == leg.crew.target.settings.retry.attempts:
                break
    raise failure or _unavailable()


def _facts(exchange: Exchange, leg: Leg, caller: Caller) -> Facts:
    """What the choice of a worker may go by, read when a policy asks for it."""
    identity, body = exchange.identity, exchange.body
    # Callers are told apart, so that none meets another's session by its name.
    scope = f"{identity.tenant}\n{identity.subject}"
    return Facts(
        leg.model,
        len(body),
        read_text=_text_reader(exchange, body),
        read_keys=partial(read_keys, scope, caller.headers, body),
    )


def _text_reader(exchange: Exchange, body: bytes) -> Callable[[], RoutingText]:
    forward = exchange.forward
    if forward is None:
        return partial(routing_text, exchange.dialect.name, body)
    text = forward.endpoint.text
    return partial(routing_text, text, body) if text is not None else lambda: NO_TEXT


def _pause(leg: Leg, failed: int) -> float:
    """Seconds before the attempt after ``failed`` failed ones."""
    retry = leg.crew.target.settings.retry
    return delay(
        failed + 1,
        base=retry.base,
        factor=retry.factor,
        cap=retry.cap,
        jitter=retry.jitter,
        spread=random.random(),  # noqa: S311  # spreads load, keeps no secret
    )


async def _try_worker(runtime: Runtime, exchange: Exchange, leg: Leg, worker: Worker, outgoing: Outgoing) -> Reply:
    begun = runtime.loop.time()
    exchange.probe = worker.enter(exchange.facts)
    exchange.worker = worker
    response: UpstreamResponse | None = None
    try:
        request = outgoing.request if worker.variation is None else worker.variation.of(outgoing.request)
        response = await worker.client.send(request)
        reply = await _first(runtime, exchange, leg, response, outgoing)
    except UpstreamError as error:
        now = runtime.loop.time()
        exchange.worker = None
        worker.failed(error, now, exchange.facts, exchange.probe)
        _note(exchange, worker, error.cause.value, now - begun, error.upstream_status)
        if response is not None:
            response.close()
        raise
    except BaseException:
        exchange.worker = None
        worker.abandoned(exchange.facts, exchange.probe)
        if response is not None:
            response.close()
        raise
    exchange.first_byte = runtime.loop.time()
    _note(exchange, worker, "ok", exchange.first_byte - begun, response.status)
    return reply


async def _first(
    runtime: Runtime, exchange: Exchange, leg: Leg, response: UpstreamResponse, outgoing: Outgoing
) -> Reply:
    """The first piece of a good answer; a bad one is raised as what it is."""
    if not 200 <= response.status < 300:
        body = await _read_error(response)
        raise leg.dialect.decode_error(response.status, response.headers, body)
    if _is_stream(response.headers):
        first = await _first_event(response)
        check_first(leg.dialect, first)
        return Reply(response, outgoing, True, first)
    if leg.forwarded is not None and passes(leg, response.headers):
        first = await response.read()
        if not first and outgoing.request.method == b"POST":
            raise UpstreamError("the upstream's answer is empty", cause=Cause.TRUNCATED, code="upstream_truncated")
        return Reply(response, outgoing, False, first, passes=True)
    body = await response.read()
    if not response.ended:
        body = await _read_rest(response, body, runtime.blueprint.settings.limits.answer)
    if leg.forwarded is not None:
        usage, told = read_whole(exchange, leg, body)
        return Reply(response, outgoing, False, body, usage=usage, told=told)
    if not outgoing.translated:
        usage = check_whole(leg.dialect, response.headers, body)
        return Reply(response, outgoing, False, body, usage=usage)
    if outgoing.direct is not None and not exchange.stream:
        assert exchange.envelope is not None  # noqa: S101  # admit() filled it in
        found = outgoing.direct.answer(body, exchange.envelope.model)
        if found is not None:
            return Reply(response, outgoing, False, body, told=found[0], usage=found[1])
    whole = leg.dialect.decode_response(body, outgoing.restore)
    if outgoing.restore.stops:
        whole = cut(whole, outgoing.restore.stops)
    return Reply(response, outgoing, False, body, whole=whole, usage=whole.usage)


_PREFACE = 64 * 1024
"""Bytes of comments before the first event that are kept."""


async def _first_event(response: UpstreamResponse) -> bytes:
    """The first bytes of a stream up to at least one line of data; comments are not yet an answer, though a flood of
    them is let through rather than kept."""
    first = await response.read()
    while first and b"data:" not in first and len(first) < _PREFACE:
        more = await response.read()
        if not more:
            break
        first += more
    return first


async def _read_rest(response: UpstreamResponse, body: bytes, limit: int) -> bytes:
    """The whole body; ``body`` is what has arrived of it."""
    pieces, size = [body], len(body)
    while more := await response.read():
        pieces.append(more)
        size += len(more)
        if size > limit:
            raise UpstreamError(f"the upstream's answer is larger than {limit} bytes", cause=Cause.CONTENT)
    return b"".join(pieces)


_ERROR_LIMIT = 256 * 1024


async def _read_error(response: UpstreamResponse) -> bytes:
    """The body of an error answer, as far as it can be had: its status is what counts."""
    body = b""
    try:
        while len(body) < _ERROR_LIMIT and (more := await response.read()):
            body += more
    except UpstreamError:
        return body
    return body


def _is_stream(headers: Headers) -> bool:
    for name, value in headers:
        if name == b"content-type":
            return value[:17].lower() == b"text/event-stream"
    return False


def _note(exchange: Exchange, worker: Worker, result: str, seconds: float, status: int | None) -> None:
    exchange.attempts += (Attempt(worker.target, worker.name, result, seconds, status),)


def _unavailable() -> UpstreamError:
    return UpstreamError(
        "no worker is available for this model now; try again later",
        cause=Cause.UNAVAILABLE,
        kind=Kind.OVERLOADED,
        code="no_available_workers",
        retry_after=5,
    )
