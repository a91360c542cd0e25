"""Between plan and attempt: an answer that was given before is given again; and after relay, one is kept.

What is kept is the upstream's answer in neutral form, so that it can be given to a caller of any dialect, streamed or
whole. Hooks look at it each time it is given.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Literal

import msgspec
from msgspec import Raw, Struct, structs

from asgi_llm.errors import AsgiLLMError, ClientError, StoreError
from asgi_llm.exchange import Caller, CallerServed, Exchange
from asgi_llm.neutral.fold import GrammarError, fold, unfold
from asgi_llm.neutral.packing import pack, unpack
from asgi_llm.neutral.request import Request
from asgi_llm.neutral.response import Response
from asgi_llm.neutral.stops import cut
from asgi_llm.routing.catalog import compile_glob
from asgi_llm.settings import CacheSettings
from asgi_llm.stores.answers import AnswerStore
from asgi_llm.stores.scope import Scope
from asgi_llm.types import Headers
from asgi_llm.upstream.interface import UpstreamResponse

from .ask import Reply
from .fingerprint import fingerprint, may_repeat
from .head import stream_head, whole_head
from .passage import answer_for
from .plan import Leg
from .prepare import decoded
from .refuse import in_form

__all__ = ["Cache", "Recall", "copied", "keep", "recall"]

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

    __slots__ = ("_models", "now", "settings", "store")

    def __init__(self, settings: CacheSettings, store: AnswerStore, now: Callable[[], float] = time.time) -> None:
        self.settings = settings
        self.store = store
        self.now = now
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
    """What the cache has to do with an exchange. ``copy`` is where its answer is copied to."""

    state: Literal["hit", "miss"]
    scope: Scope
    key: str
    copy: "Copy | None" = None


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


async def recall(cache: Cache, exchange: Exchange, caller: Caller) -> None:
    """Answers from the cache, if it can.

    Raises:
        CallerServed: it could.
        Refused: a hook failed on the answer.
    """
    wishes = _wishes(caller)
    if "no-store" in wishes or not cache.serves(exchange):
        return
    found = await _read(cache, exchange, caller)
    if found is None:
        return
    key, request = found
    exchange.recall = Recall("miss", cache.scope(exchange), key)
    if "no-cache" in wishes:
        return
    try:
        async with asyncio.timeout(cache.settings.timeout):
            value = await cache.store.get(exchange.recall.scope, key, cache.now())
    except (StoreError, TimeoutError) as error:
        logger.warning("the cache cannot be asked: %r", error.__cause__ or error)
        exchange.recall = None
        return
    found_entry = None if value is None else _opened(value)
    if found_entry is None or cache.now() - found_entry[0].at >= _max_age(wishes):
        return
    exchange.recall.state = "hit"
    exchange.request = request
    await _tell(exchange, caller, *found_entry)
    raise CallerServed


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


async def keep(cache: Cache, exchange: Exchange, leg: Leg, reply: Reply) -> None:
    """Keeps the answer that was relayed, if it is whole."""
    recalled = exchange.recall
    if recalled is None or recalled.copy is None or recalled.copy.pieces is None:
        return
    data = b"".join(recalled.copy.pieces)
    recalled.copy = None

    def encode() -> bytes | None:
        return _entry_of(cache, leg, reply, data)

    value = encode() if len(data) <= _INLINE else await asyncio.to_thread(encode)
    if value is None:
        return
    try:
        await cache.store.put(recalled.scope, recalled.key, value, cache.now(), cache.settings.ttl)
    except StoreError as error:
        logger.warning("an answer is not kept: %r", error.__cause__)


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
