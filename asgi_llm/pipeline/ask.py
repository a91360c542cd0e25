"""One attempt: one request to one worker, until the first event of its answer, or all of one that is no stream."""

from dataclasses import replace
from email.utils import formatdate

from msgspec import Struct, structs

from asgi_llm.errors import Cause, UpstreamError
from asgi_llm.exchange import Attempt, Exchange, Lost, Told
from asgi_llm.fleet.worker import Worker
from asgi_llm.neutral.response import Response
from asgi_llm.neutral.stops import cut
from asgi_llm.routing.retry import rule_of
from asgi_llm.runtime import Runtime
from asgi_llm.types import Headers
from asgi_llm.upstream.interface import Timeouts, UpstreamRequest, UpstreamResponse

from .enforce import with_credentials
from .forward import passes, read_whole
from .inspect import check_first, check_whole, told_usage
from .observe import traced
from .plan import Leg
from .prepare import Outgoing

__all__ = ["Reply", "ask", "learn"]


class Reply(Struct, frozen=True):
    """An answer that has begun. ``first`` is its first piece, or all of it when it is not a ``stream``.

    Of an answer that came whole, ``usage`` is what it used or what reads that, ``whole`` is it decoded where it is to
    be translated, and ``told`` is it translated where that was done by a short cut. ``failure`` is what it tells of
    itself, where it passes all the same. It ``passes`` piece by piece where it is no JSON. ``plain`` when all there is
    to do is to send it: what came, or its translation.
    """

    response: UpstreamResponse
    outgoing: Outgoing
    stream: bool
    first: bytes
    whole: Response | None = None
    usage: Told = None
    told: bytes | None = None
    passes: bool = False
    failure: UpstreamError | None = None
    plain: bool = False


async def ask(
    runtime: Runtime, exchange: Exchange, leg: Leg, worker: Worker, outgoing: Outgoing, left: float | None = None
) -> Reply:
    """Fills in worker, attempts and first byte. ``left`` is how many seconds the attempt has, where those before it
    have used up some of the time that there is for all.

    Raises:
        UpstreamError: the attempt failed; the worker, and whatever chooses among workers, has been told.
    """
    begun = runtime.loop.time()
    exchange.probe = worker.enter(exchange.facts)
    exchange.worker = worker
    key: int | None = None
    if leg.credentials or leg.crew.pooled or worker.variation is not None or left is not None:
        request, key = _dressed(leg, worker, outgoing.request, begun, left)
        outgoing = structs.replace(outgoing, request=request)
    if exchange.trace is not None:
        outgoing = structs.replace(outgoing, request=traced(exchange.trace, worker, outgoing.request))
    response: UpstreamResponse | None = None
    try:
        response = await worker.client.send(outgoing.request)
        reply = _at_once(exchange, leg, response, outgoing)
        if reply is None:
            reply = await _first(runtime, exchange, leg, response, outgoing)
    except UpstreamError as error:
        exchange.worker = None
        if response is not None:
            error.resent = response.resent
            response.close()
        _failed(exchange, leg, worker, key, error, begun, runtime.loop.time())
        raise
    except BaseException:
        exchange.worker = None
        worker.abandoned(exchange.facts, exchange.probe)
        _note(exchange, worker, "abandoned", runtime.loop.time() - begun, None, key)
        if response is not None:
            response.close()
        raise
    exchange.first_byte = now = runtime.loop.time()
    _note(exchange, worker, "ok", now - begun, response.status, key, response.resent)
    return reply


def _dressed(
    leg: Leg, worker: Worker, request: UpstreamRequest, now: float, left: float | None
) -> tuple[UpstreamRequest, int | None]:
    """The request as this worker is to get it, by this key of the target's, in what time is left."""
    key: int | None = None
    keys = leg.crew.restraint.keys
    if not leg.credentials and keys is not None and worker.station.member.settings.api_key is None:
        key = leg.key
        if key is None:
            # What an upstream keeps belongs to the account of one key: always the first.
            kept = leg.forwarded is not None and leg.forwarded.pin in ("answer", "path", "body")
            key = 0 if kept else keys.pick(now, leg.model)
        request = structs.replace(request, fixed=keys.dress(request.fixed, key))
    if worker.variation is not None:
        request = worker.variation.of(request)
    if leg.credentials:
        request = structs.replace(request, fixed=with_credentials(request.fixed, leg.credentials))
    if left is not None:
        request = structs.replace(request, timeouts=replace(request.timeouts or Timeouts(), total=left))
    return request, key


def _failed(
    exchange: Exchange, leg: Leg, worker: Worker, key: int | None, error: UpstreamError, begun: float, now: float
) -> None:
    if error.cause is Cause.TOTAL_TIMEOUT and exchange.attempts:
        # It got what others had left of the time, which says nothing about it.
        worker.abandoned(exchange.facts, exchange.probe)
    else:
        worker.failed(error, now, exchange.facts, exchange.probe)
    learn(leg, worker, key, error, now)
    lost = None if error.usage is None else Lost(leg, error.usage)
    _note(exchange, worker, error.cause.value, now - begun, error.upstream_status, key, error.resent, lost)


def learn(leg: Leg, worker: Worker, key: int | None, error: UpstreamError, now: float) -> None:
    """What a failure, before the answer or in the middle of it, says about later requests."""
    # The limits of a caller's own key are nobody else's.
    if not (leg.credentials and rule_of(error).key):
        leg.crew.restraint.learn(worker, key, error, leg.model, now, alone=len(leg.crew.workers) == 1)


def _at_once(exchange: Exchange, leg: Leg, response: UpstreamResponse, outgoing: Outgoing) -> Reply | None:
    """What ``_first`` finds, for a good answer of the usual kind that came in one piece; else None."""
    if leg.forwarded is not None or not 200 <= response.status < 300 or _is_stream(response.headers):
        return None
    body = response.whole()
    return None if body is None else _whole(exchange, leg, response, outgoing, body)


async def _first(
    runtime: Runtime, exchange: Exchange, leg: Leg, response: UpstreamResponse, outgoing: Outgoing
) -> Reply:
    """The first piece of a good answer; a bad one is raised as what it is."""
    if not 200 <= response.status < 300:
        body = await _read_error(response)
        error = leg.dialect.decode_error(response.status, _dated(response.headers), body)
        error.should_retry = _should_retry(response.headers)
        error.headers = leg.returned.passing(response.headers)
        raise error
    if _is_stream(response.headers):
        first = await _first_event(response)
        check_first(leg.dialect, first)
        plain = leg.forwarded is None and not outgoing.restore.pauses
        return Reply(response, outgoing, True, first, plain=plain)
    if leg.forwarded is not None and passes(leg, response.headers):
        first = await response.read()
        if not first and outgoing.request.method == b"POST":
            raise UpstreamError("the upstream's answer is empty", cause=Cause.TRUNCATED, code="upstream_truncated")
        return Reply(response, outgoing, False, first, passes=True)
    body = await response.read()
    if not response.ended:
        body = await _read_rest(response, body, runtime.blueprint.settings.limits.answer)
    return _whole(exchange, leg, response, outgoing, body)


def _whole(exchange: Exchange, leg: Leg, response: UpstreamResponse, outgoing: Outgoing, body: bytes) -> Reply:
    try:
        return _judged(exchange, leg, response, outgoing, body)
    except UpstreamError as error:
        error.usage = told_usage(leg.dialect, body)
        raise


def _judged(exchange: Exchange, leg: Leg, response: UpstreamResponse, outgoing: Outgoing, body: bytes) -> Reply:
    if leg.forwarded is not None:
        usage, told = read_whole(exchange, leg, body)
        return Reply(response, outgoing, False, body, usage=usage, told=told)
    if not outgoing.translated:
        used, failure = check_whole(leg.dialect, response.headers, body)
        return Reply(response, outgoing, False, body, usage=used, failure=failure, plain=True)
    if outgoing.direct is not None and not exchange.stream:
        assert exchange.envelope is not None  # noqa: S101  # admit() filled it in
        found = outgoing.direct.answer(body, exchange.envelope.model)
        if found is not None:
            return Reply(response, outgoing, False, body, usage=found[1], told=found[0], plain=True)
    whole = leg.dialect.decode_response(body, outgoing.restore)
    if outgoing.restore.stops:
        whole = cut(whole, outgoing.restore.stops)
    return Reply(response, outgoing, False, body, whole=whole, usage=whole.usage)


def _dated(headers: Headers) -> Headers:
    """With a ``date``, against which one in ``retry-after`` is measured; not all upstreams have a clock."""
    if any(name == b"date" for name, _ in headers):
        return headers
    return [*headers, (b"date", formatdate(usegmt=True).encode("ascii"))]


_PREFACE = 64 * 1024
"""Bytes of comments before the first event that are kept."""


async def _first_event(response: UpstreamResponse) -> bytes:
    """The first bytes of a stream up to at least one line of data; comments are not yet an answer, though a flood of
    them is let through rather than kept."""
    first = await response.read()
    while first and first.find(b"data:") < 0 and len(first) < _PREFACE:
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


def _should_retry(headers: Headers) -> bool | None:
    """The upstream's own word, as the official SDKs read it."""
    for name, value in headers:
        if name == b"x-should-retry":
            return {b"true": True, b"false": False}.get(value.strip().lower())
    return None


def _is_stream(headers: Headers) -> bool:
    for name, value in headers:
        if name == b"content-type":
            return value[:17].lower() == b"text/event-stream"
    return False


def _note(
    exchange: Exchange,
    worker: Worker,
    result: str,
    seconds: float,
    status: int | None,
    key: int | None,
    resent: bool = False,
    lost: Lost | None = None,
) -> None:
    noted = Attempt(worker.target, worker.name, result, seconds, status, key, resent, lost)
    exchange.attempts = (*exchange.attempts, noted) if exchange.attempts else (noted,)
    if exchange.trace is not None:
        exchange.trace.attempt_ended(worker.name, result, status)
