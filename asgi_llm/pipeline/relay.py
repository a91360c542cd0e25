"""Fourth step: the answer to the caller, as it is or translated, watched for usage in passing.

Four cases meet here: the caller asked for a stream or not, and the upstream gave one or not. Where they differ, the
answer is folded or unfolded, so that every caller gets what it asked for.
"""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from asgi_llm.dialects.costs import without_costs
from asgi_llm.dialects.splice import replace_member
from asgi_llm.errors import Cause, UpstreamError
from asgi_llm.exchange import Caller, Exchange
from asgi_llm.fleet.worker import Worker
from asgi_llm.metering.tally import Tally
from asgi_llm.neutral.fold import Folder, unfold
from asgi_llm.neutral.grammar import GrammarError
from asgi_llm.neutral.response import Response
from asgi_llm.neutral.usage import merge
from asgi_llm.runtime import Runtime

from .ask import learn
from .attempt import Reply
from .cancellation import forget_cancellation
from .forward import reads_as_text, sign_ids
from .head import passing_head, stream_head, whole_head
from .heartbeat import Heartbeat
from .inspection import Source, inspected, open_sieve
from .observe import begin_watch
from .origins import Watched, watch
from .passage import Passage, answer_for, cutter_for, open_passage
from .plan import Leg
from .recall import begin_keeping, copied
from .refuse import in_form
from .reserve import WRITING
from .rounds import open_rounds
from .tool_rounds import AnyRounds, ToolRounds

__all__ = ["relay"]


async def relay(
    runtime: Runtime, exchange: Exchange, caller: Caller, reply: Reply, heartbeat: Heartbeat | None
) -> None:
    """Sends the answer and fills in usage, finish, status and outcome. With a ``heartbeat`` a stream was asked for.

    Raises:
        UpstreamError: the answer broke off before anything of it was sent.
    """
    leg, worker = exchange.leg, exchange.worker
    assert leg is not None  # noqa: S101  # attempt() filled in both
    assert worker is not None  # noqa: S101
    exchange.status = reply.response.status
    exchange.told_usage = reply.usage  # whatever becomes of the answer, and whatever hooks make of it
    watched: Watched | None = None
    if leg.crew.remembers:
        caller, watched = watch(caller)
    attended = runtime.attends
    if attended:
        reply = _announce(runtime, exchange, leg, reply)
    try:
        # The last: a stream was asked for and none came, or the other way round.
        if not reply.plain or attended or reply.stream is (heartbeat is None):
            await _relay_any(runtime, exchange, caller, reply, heartbeat, leg)
        elif heartbeat is not None:
            await _send_stream(runtime, exchange, caller, reply, heartbeat, None)
        else:
            body = _whole_body(exchange, leg, reply, None)
            await caller.answer(exchange.status, whole_head(exchange, reply.response.headers, len(body)), body)
    except UpstreamError as error:
        _broke_off(runtime, exchange, worker, error)
        raise
    finally:
        reply.response.close()
    if reply.failure is not None:
        _broke_off(runtime, exchange, worker, reply.failure)
        exchange.outcome = "upstream_error"
    elif exchange.worker is worker:
        exchange.worker = None
        worker.succeeded(exchange.facts, exchange.probe)
        if watched is not None:
            watched.tell(exchange, worker)
        exchange.outcome = "disconnected" if caller.missed else "ok"
        if attended:
            _conclude(runtime, exchange, leg, reply)


def _announce(runtime: Runtime, exchange: Exchange, leg: Leg, reply: Reply) -> Reply:
    """Hooks and the cache are told that an answer comes. Returns it as they let it through."""
    if exchange.inspection is not None:
        exchange.inspection.begin(exchange, leg)
    if runtime.cache is not None and exchange.recall is not None:
        return copied(runtime.cache, exchange, leg, reply)
    return reply


def _conclude(runtime: Runtime, exchange: Exchange, leg: Leg, reply: Reply) -> None:
    """What hooks and the cache make of an answer that has come to its end."""
    if exchange.inspection is not None and (refusal := exchange.inspection.refusal) is not None:
        exchange.outcome, exchange.error_code = "denied", refusal.code
    if runtime.cache is not None and exchange.recall is not None:
        begin_keeping(runtime, exchange, leg, reply)


async def _relay_any(
    runtime: Runtime, exchange: Exchange, caller: Caller, reply: Reply, heartbeat: Heartbeat | None, leg: Leg
) -> None:
    """An answer of any form, shown to whatever wants to see it."""
    rounds: AnyRounds | None = None
    try:
        if exchange.hosted is not None:
            rounds = ToolRounds(runtime, exchange, reply, exchange.hosted)
        elif reply.outgoing.restore.pauses:
            rounds = open_rounds(runtime, exchange, caller, reply)
        if leg.forwarded is not None:
            await _relay_forwarded(runtime, exchange, caller, reply, heartbeat)
        elif heartbeat is None:
            await _send_whole(exchange, caller, reply, leg, rounds)
        elif reply.stream:
            await _send_stream(runtime, exchange, caller, reply, heartbeat, rounds)
        else:
            await _send_unfolded(exchange, caller, reply, heartbeat, leg, rounds)
    finally:
        if rounds is not None:
            rounds.close()


async def _send_whole(exchange: Exchange, caller: Caller, reply: Reply, leg: Leg, rounds: AnyRounds | None) -> None:
    whole = await _fold(reply, leg, exchange, rounds) if reply.stream else reply.whole
    if rounds is not None and reply.whole is not None:
        whole = await rounds.complete(reply.whole)
    if exchange.inspection is not None:
        whole = await inspected(exchange, leg, reply, whole)
    body = _whole_body(exchange, leg, reply, whole)
    await caller.answer(exchange.status, whole_head(exchange, reply.response.headers, len(body)), body)


async def _relay_forwarded(
    runtime: Runtime, exchange: Exchange, caller: Caller, reply: Reply, heartbeat: Heartbeat | None
) -> None:
    """The answer decides what it is: some endpoints stream although nobody could tell from the request."""
    if exchange.inspection is not None and (reply.stream or (reply.passes and reads_as_text(reply.response.headers))):
        exchange.inspection.refuse_unseen()
    if reply.stream:
        beating = heartbeat or Heartbeat(runtime, exchange, caller)
        try:
            await _send_stream(runtime, exchange, caller, reply, beating, None)
        finally:
            beating.stop()
        return
    if heartbeat is not None:
        await heartbeat.pause()
        heartbeat.stop()
        if caller.started:
            raise UpstreamError("the upstream did not answer with a stream", cause=Cause.CONTENT)
    if reply.passes:
        await _pass(runtime, exchange, caller, reply)
        return
    body = _forwarded_body(runtime, exchange, reply)
    if exchange.inspection is not None:
        body = await exchange.inspection.document(body)
    await caller.answer(exchange.status, whole_head(exchange, reply.response.headers, len(body)), body)


async def _pass(runtime: Runtime, exchange: Exchange, caller: Caller, reply: Reply) -> None:
    """Piece by piece, as fast as the caller reads. What breaks off cannot be told inside it: servers break the
    connection where an answer was begun and not ended."""
    await caller.start(exchange.status, passing_head(exchange, reply.response.headers))
    data = reply.first
    while data:
        await caller.send(data)
        try:
            data = await reply.response.read()
        except UpstreamError as error:
            assert exchange.worker is not None  # noqa: S101  # attempt() filled it in
            _broke_off(runtime, exchange, exchange.worker, error)
            return
    await caller.finish()


def _forwarded_body(runtime: Runtime, exchange: Exchange, reply: Reply) -> bytes:
    forward, leg = exchange.forward, exchange.leg
    assert forward is not None  # noqa: S101  # the steps before filled in all of them
    assert leg is not None  # noqa: S101
    assert exchange.envelope is not None  # noqa: S101
    if reply.usage is None and exchange.endpoint in WRITING:
        exchange.answered = reply.first
    body = reply.first if reply.told is None else reply.told
    if leg.hides_cost:
        body = without_costs(body)
    if forward.endpoint.pin not in (None, "row"):
        return sign_ids(runtime.blueprint.pins, body, leg.crew.target.name, exchange.identity.tenant)
    if leg.adapter is None and leg.model != exchange.envelope.model:
        return _renamed(body, leg.dialect.answer_model, exchange.envelope.model)
    return body


def _broke_off(runtime: Runtime, exchange: Exchange, worker: Worker, error: UpstreamError) -> None:
    exchange.outcome = "interrupted"
    exchange.error_code = error.code
    exchange.worker = None
    now = runtime.loop.time()
    worker.failed(error, now, exchange.facts, exchange.probe)
    assert exchange.leg is not None  # noqa: S101  # attempt() filled it in
    key = next((told.key for told in reversed(exchange.attempts) if told.result == "ok"), None)
    learn(exchange.leg, worker, key, error, now)


def _whole_body(exchange: Exchange, leg: Leg, reply: Reply, whole: Response | None) -> bytes:
    """What is sent to a caller that asked for no stream: the answer translated, or the upstream's own bytes."""
    exchange.answered = None if reply.stream else reply.first
    if whole is not None:
        exchange.finish = _finish(whole)
        return exchange.dialect.encode_response(whole, answer_for(exchange))
    if reply.told is not None:
        return reply.told
    body = without_costs(reply.first) if leg.hides_cost else reply.first
    assert exchange.envelope is not None  # noqa: S101  # admit() filled it in
    if leg.model == exchange.envelope.model:
        return body
    return _renamed(body, leg.dialect.answer_model, exchange.envelope.model)


async def _send_unfolded(
    exchange: Exchange, caller: Caller, reply: Reply, heartbeat: Heartbeat, leg: Leg, rounds: AnyRounds | None
) -> None:
    """The caller asked for a stream and the upstream gave the whole answer at once."""
    response = reply.whole or leg.dialect.decode_response(reply.first, reply.outgoing.restore)
    if rounds is not None:
        response = await rounds.complete(response)
    if exchange.inspection is not None:
        response = await exchange.inspection.whole(response)
    exchange.finish, exchange.answered = _finish(response), reply.first
    await _begin(exchange, caller, reply, heartbeat)
    stream = exchange.dialect.stream_encoder(answer_for(exchange)).feed(unfold(response))
    await caller.finish(in_form(exchange.dialect, stream))


async def _send_stream(
    runtime: Runtime, exchange: Exchange, caller: Caller, reply: Reply, heartbeat: Heartbeat, rounds: AnyRounds | None
) -> None:
    leg, worker = exchange.leg, exchange.worker
    assert leg is not None  # noqa: S101  # relay() checked both
    assert worker is not None  # noqa: S101
    source: Source | None = rounds
    if exchange.inspection is not None and leg.forwarded is None:
        source = await open_sieve(exchange, reply, leg, rounds, runtime.blueprint.settings.limits.answer)
    passage = open_passage(exchange, reply, leg, source)
    read: Callable[[], Awaitable[bytes]] = reply.response.read if source is None else source.read
    if runtime.ledger is not None or runtime.quotas is not None:
        exchange.answered = Tally()
    if runtime.telemetry is not None:
        read = begin_watch(runtime, exchange, leg, reply.first, read)
    try:
        last = await _pump(exchange, caller, reply, heartbeat, passage, read)
        if passage.failure is not None:
            _broke_off(runtime, exchange, worker, passage.failure)
        await caller.finish(last)
    except asyncio.CancelledError:
        # Some clients hang up at the last event, before the end of the body: they have all they wanted.
        if not (caller.gone and passage.complete):
            raise
        forget_cancellation()
    finally:
        exchange.usage, exchange.finish = passage.usage, passage.finish


async def _pump(
    exchange: Exchange,
    caller: Caller,
    reply: Reply,
    heartbeat: Heartbeat,
    passage: Passage,
    read: Callable[[], Awaitable[bytes]],
) -> bytes:
    """Sends all but the last bytes of the stream, which it returns."""
    send = caller.send
    tally = exchange.answered if isinstance(exchange.answered, Tally) else None
    if tally is not None:
        tally.feed(reply.first)
    onset = exchange.onset
    if onset is not None and onset.feed(reply.first):
        onset = None
    listens = tally is not None or onset is not None
    data = passage.feed(reply.first)
    if passage.failure is not None and not caller.started:
        raise passage.failure
    await _begin(exchange, caller, reply, heartbeat)
    heartbeat.words, heartbeat.boundary = passage.keepalive, passage.at_boundary
    while not passage.over:
        if data:
            if heartbeat.beating:
                await heartbeat.pause()
            await send(data)
            heartbeat.silent = 0
        try:
            data = await read()
        except UpstreamError as error:
            await heartbeat.pause()
            return passage.break_off(error)
        if not data:
            data = passage.end()
            break
        if listens:
            if tally is not None:
                tally.feed(data)
            if onset is not None and onset.feed(data):
                onset = None
        data = passage.feed(data)
    await heartbeat.pause()
    return data


async def _begin(exchange: Exchange, caller: Caller, reply: Reply, heartbeat: Heartbeat) -> None:
    """Sends the head, unless a keep-alive had to send it already."""
    await heartbeat.pause()
    if not caller.started:
        await caller.start(exchange.status, stream_head(exchange, reply.response.headers))


async def _fold(reply: Reply, leg: Leg, exchange: Exchange, rounds: AnyRounds | None) -> Response:
    """The whole answer out of a stream that the caller did not ask for."""
    decoder, folder = rounds or leg.dialect.stream_decoder(reply.outgoing.restore), Folder()
    read = reply.response.read if rounds is None else rounds.read
    cutter = cutter_for(exchange, reply)
    data = reply.first
    try:
        while data:
            events = decoder.feed(data)
            for event in events if cutter is None else cutter.feed(events):
                folder.feed(event)
            if cutter is not None and cutter.over:
                return folder.response()
            data = await read()
        events = decoder.end()
        for event in events if cutter is None else cutter.feed(events):
            folder.feed(event)
        return folder.response()
    except GrammarError as error:
        raise UpstreamError("the upstream's stream makes no whole answer", cause=Cause.CONTENT) from error
    finally:
        exchange.usage = merge(folder.usage, decoder.told)


def _finish(response: Response) -> str | None:
    return response.candidates[0].finish.reason if response.candidates else None


def _renamed(body: bytes, member: str, model: str) -> bytes:
    """``body`` with the caller's name of the model."""
    try:
        return replace_member(body, member, msgspec.json.encode(model))
    except KeyError:
        return body
