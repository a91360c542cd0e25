"""Between plan and attempt: an answer that was given before is given again; and after relay, one is kept.

What is kept is the upstream's answer in neutral form, so that it can be given to a caller of any dialect, streamed or
whole. Hooks look at it each time it is given. Of several that ask the same at a time, one asks the upstream
(``flights.py``).
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Literal

import msgspec
from msgspec import Raw, Struct, structs

from asgi_llm.errors import AsgiLLMError, ClientError, StoreError
from asgi_llm.exchange import Caller, CallerGone, CallerServed, Exchange
from asgi_llm.neutral.fold import GrammarError, fold, unfold
from asgi_llm.neutral.packing import pack, unpack
from asgi_llm.neutral.request import Request
from asgi_llm.neutral.response import Response
from asgi_llm.neutral.stops import cut
from asgi_llm.routing.catalog import compile_glob
from asgi_llm.runtime import Runtime
from asgi_llm.settings import CacheSettings
from asgi_llm.stores.answers import AnswerStore
from asgi_llm.stores.scope import Scope
from asgi_llm.types import Headers
from asgi_llm.upstream.interface import UpstreamResponse

from .ask import Reply
from .fingerprint import fingerprint, may_repeat
from .flights import Ending, Flight, Flights
from .head import stream_head, whole_head
from .heartbeat import Heartbeat
from .passage import answer_for
from .plan import Leg
from .prepare import decoded
from .refuse import in_form

__all__ = ["Cache", "Recall", "begin_keeping", "copied", "recall"]

logger = logging.getLogger("asgi_llm")

_INLINE = 64 * 1024
"""Bytes that are looked at on the event loop: about a millisecond."""
_COMPLETE = frozenset({"end", "stop_sequence", "tool_calls"})
_WIRE = 32
"""How much longer an answer is on the wire than it is in itself, at most, when it comes in tiny pieces."""


class Entry(Struct, frozen=True, gc=False):
    """``at`` is when the answer was given first, in seconds since the epoch; ``response`` is packed."""

    at: float
    target: str
    model: str
    response: Raw


_entry = msgspec.json.Decoder(Entry)


class Cache:
    """The cache of one event loop. ``now`` tells seconds since the epoch."""

    __slots__ = ("_models", "flights", "now", "settings", "store")

    def __init__(self, settings: CacheSettings, store: AnswerStore, now: Callable[[], float] = time.time) -> None:
        self.settings = settings
        self.store = store
        self.now = now
        self.flights = Flights()
        self._models = [compile_glob(glob) for glob in settings.models]

    def serves(self, exchange: Exchange) -> bool:
        """Whether this request has anything to do with it, as far as can be said without looking into it."""
        kept_elsewhere = exchange.continuation is not None or exchange.hosted is not None
        if exchange.forward is not None or kept_elsewhere or exchange.envelope is None:
            return False
        return not self._models or any(match(exchange.envelope.model) for match in self._models)

    def scope(self, exchange: Exchange) -> Scope:
        identity = exchange.identity
        return Scope(identity.tenant, identity.subject if self.settings.scope == "subject" else "")


class Recall(Struct, eq=False):
    """What the cache has to do with an exchange. ``copy`` is where its answer is copied to; ``flight`` is what others
    wait for that ask the same, until ``keeping`` is over or the exchange is settled without it."""

    state: Literal["hit", "miss"]
    scope: Scope
    key: str
    copy: "Copy | None" = None
    flight: Flight | None = None
    keeping: bool = False

    def land(self, ending: Ending) -> None:
        """Nobody need wait for this exchange any more."""
        if self.flight is not None:
            self.flight.land(ending)

    def settled(self) -> None:
        """The exchange is over: unless its answer is being kept, there is none."""
        if not self.keeping:
            self.land("lost")


class Copy:
    """An ``UpstreamResponse`` that remembers what was read, up to ``most`` bytes."""

    __slots__ = ("_left", "_response", "pieces")

    def __init__(self, response: UpstreamResponse, first: bytes, most: int) -> None:
        self._response = response
        self._left = most
        self.pieces: list[bytes] | None = []
        self._take(first)

    @property
    def status(self) -> int:
        return self._response.status

    @property
    def headers(self) -> Headers:
        return self._response.headers

    @property
    def ended(self) -> bool:
        return self._response.ended

    async def read(self) -> bytes:
        data = await self._response.read()
        self._take(data)
        return data

    def close(self) -> None:
        self._response.close()

    def _take(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            self.pieces = None
        elif self.pieces is not None:
            self.pieces.append(data)


async def recall(runtime: Runtime, exchange: Exchange, caller: Caller) -> None:
    """Answers from the cache, if it can. Where somebody asks the same now, it waits for that answer first.

    Raises:
        CallerServed: it could.
        CallerGone: it left meanwhile.
        Refused: a hook failed on the answer.
    """
    cache = runtime.cache
    assert cache is not None  # noqa: S101  # asked by the caller
    wishes = _wishes(caller)
    if "no-store" in wishes or not cache.serves(exchange):
        return
    found = await _read(cache, exchange, caller)
    if found is None:
        return
    key, request = found
    exchange.recall = known = Recall("miss", cache.scope(exchange), key)
    if "no-cache" in wishes:
        return
    if cache.settings.wait and not await _take_off(runtime, cache, exchange, caller):
        return
    entry = await _find(cache, exchange, wishes)
    if entry is None:
        return
    known.land("kept")
    known.state = "hit"
    exchange.request = request
    await _tell(exchange, caller, *entry)
    raise CallerServed


async def _take_off(runtime: Runtime, cache: Cache, exchange: Exchange, caller: Caller) -> bool:
    """Waits for the answer to the same request, where one is under way; else this one leads those that come. False
    where it has to be asked for in any case."""
    known = exchange.recall
    assert known is not None  # noqa: S101  # recall() filled it in
    until = runtime.loop.time() + cache.settings.wait
    while (flight := cache.flights.find(known.scope, known.key)) is not None:
        ending = await _follow(runtime, exchange, caller, flight, until)
        if ending != "lost":
            return ending == "kept"
    known.flight = cache.flights.lead(known.scope, known.key)
    return True


async def _follow(runtime: Runtime, exchange: Exchange, caller: Caller, flight: Flight, until: float) -> Ending | None:
    heartbeat = Heartbeat(runtime, exchange, caller) if exchange.stream else None
    caller.queued = True
    try:
        ending = await flight.landed(until)
        if heartbeat is not None:
            await heartbeat.pause()
    finally:
        caller.queued = False
        if heartbeat is not None:
            heartbeat.stop()
    if caller.gone:
        raise CallerGone
    return ending


async def _find(cache: Cache, exchange: Exchange, wishes: frozenset[str]) -> "tuple[Entry, Response] | None":
    """What is kept, if it is not too old."""
    known = exchange.recall
    assert known is not None  # noqa: S101  # recall() filled it in
    try:
        async with asyncio.timeout(cache.settings.timeout):
            value = await cache.store.get(known.scope, known.key, cache.now())
    except (StoreError, TimeoutError) as error:
        logger.warning("the cache cannot be asked: %r", error.__cause__ or error)
        known.land("unkept")
        exchange.recall = None
        return None
    entry = None if value is None else _opened(value)
    return None if entry is None or cache.now() - entry[0].at >= _max_age(wishes) else entry


async def _read(cache: Cache, exchange: Exchange, caller: Caller) -> tuple[str, Request] | None:
    """The request and its key; None where its answer is not kept."""

    def read() -> tuple[str, Request] | None:
        request = decoded(exchange)
        return (fingerprint(exchange, caller, request), request) if may_repeat(request, cache.settings) else None

    try:
        return read() if len(exchange.body) <= _INLINE else await asyncio.to_thread(read)
    except ClientError:
        return None  # which is the upstream's to say, where the bytes pass as they are


async def _tell(exchange: Exchange, caller: Caller, entry: Entry, response: Response) -> None:
    if exchange.dialect.name != "responses":
        response = structs.replace(response, id="")  # each answer has an id of its own; there, the upstream knows it
    if exchange.inspection is not None:
        exchange.inspection.ask = structs.replace(exchange.inspection.ask, target=entry.target, served=entry.model)
        response = await exchange.inspection.whole(response)
        if (refusal := exchange.inspection.refusal) is not None:
            exchange.outcome, exchange.error_code = "denied", refusal.code
    exchange.status = 200
    exchange.finish = response.candidates[0].finish.reason if response.candidates else None
    if exchange.stream:
        encoder = exchange.dialect.stream_encoder(answer_for(exchange))
        if not caller.started:
            await caller.start(200, stream_head(exchange, []))
        await caller.finish(in_form(exchange.dialect, encoder.feed(unfold(response))))
    else:
        body = exchange.dialect.encode_response(response, answer_for(exchange))
        await caller.answer(200, whole_head(exchange, [], len(body)), body)


def copied(cache: Cache, exchange: Exchange, leg: Leg, reply: Reply) -> Reply:
    """The reply, remembered while it is read; the same where its answer is not kept."""
    plan, recalled = exchange.plan, exchange.recall
    assert plan is not None  # noqa: S101  # the steps before filled in both
    assert recalled is not None  # noqa: S101
    if leg.number != plan.legs[0].number:
        return reply  # what helps out now should not answer for hours
    recalled.copy = Copy(reply.response, reply.first, _WIRE * cache.settings.max_entry)
    return structs.replace(reply, response=recalled.copy)


def begin_keeping(runtime: Runtime, exchange: Exchange, leg: Leg, reply: Reply) -> None:
    """Keeps the answer that was relayed, if it is whole. Its caller does not wait for that."""
    if exchange.recall is not None:
        exchange.recall.keeping = True
        runtime.spawn(_keep(runtime, exchange.recall, leg, reply), "keeping of an answer")


async def _keep(runtime: Runtime, recalled: Recall, leg: Leg, reply: Reply) -> None:
    kept = False
    try:
        if runtime.cache is not None and recalled.copy is not None and recalled.copy.pieces is not None:
            kept = await _put(runtime.cache, recalled, leg, reply, b"".join(recalled.copy.pieces))
    finally:
        recalled.copy = None
        recalled.land("kept" if kept else "unkept")


async def _put(cache: Cache, recalled: Recall, leg: Leg, reply: Reply, data: bytes) -> bool:
    """Whether it is kept."""

    def encode() -> bytes | None:
        return _entry_of(cache, leg, reply, data)

    value = encode() if len(data) <= _INLINE else await asyncio.to_thread(encode)
    if value is None:
        return False
    try:
        await cache.store.put(recalled.scope, recalled.key, value, cache.now(), cache.settings.ttl)
    except StoreError as error:
        logger.warning("an answer is not kept: %r", error.__cause__)
        return False
    return True


def _entry_of(cache: Cache, leg: Leg, reply: Reply, data: bytes) -> bytes | None:
    try:
        response = _response(leg, reply, data)
    except (AsgiLLMError, GrammarError):
        return None  # it is none, or it broke off
    if not response.candidates or any(each.finish.reason not in _COMPLETE for each in response.candidates):
        return None
    value = msgspec.json.encode(Entry(cache.now(), leg.crew.target.name, leg.model, Raw(pack(response))))
    return value if len(value) <= cache.settings.max_entry else None


def _response(leg: Leg, reply: Reply, data: bytes) -> Response:
    restore = reply.outgoing.restore
    if not reply.stream:
        return reply.whole or leg.dialect.decode_response(data, restore)
    decoder = leg.dialect.stream_decoder(restore)
    response = fold([*decoder.feed(data), *decoder.end()])
    return cut(response, restore.stops) if restore.stops else response


def _opened(value: bytes) -> tuple[Entry, Response] | None:
    try:
        entry = _entry.decode(value)
        response = unpack(bytes(entry.response))
    except ValueError:
        return None  # of an earlier version
    return (entry, response) if isinstance(response, Response) else None


def _wishes(caller: Caller) -> frozenset[str]:
    """What the caller's ``cache-control`` says."""
    said = caller.fields.get(b"cache-control", b"")
    return frozenset(wish.strip().lower() for wish in said.decode("latin-1").split(",")) if said else frozenset()


def _max_age(wishes: frozenset[str]) -> float:
    for wish in wishes:
        name, _, value = wish.partition("=")
        if name == "max-age" and value.isdigit() and len(value) < 12:
            return float(value)
    return float("inf")
