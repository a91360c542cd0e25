"""The Responses API with state: requests build upon what was kept, answers are kept."""

import logging
import time
from collections.abc import Callable
from typing import NoReturn, Protocol

import msgspec
from msgspec import Raw, structs

from asgi_llm.dialects.interface import Answer
from asgi_llm.errors import ClientError, StoreError
from asgi_llm.exchange import Caller, CallerServed, Exchange
from asgi_llm.neutral.fold import unfold
from asgi_llm.neutral.response import Candidate, Finish, Response
from asgi_llm.pipeline.head import stream_head, whole_head
from asgi_llm.pipeline.prepare import decoded
from asgi_llm.runtime import Runtime
from asgi_llm.settings import ResponseSettings
from asgi_llm.stores.responses import FOREVER, ItemRow, ResponseRow, ResponseStore, Status
from asgi_llm.stores.scope import Scope

from .asked import CALLS, Asked, check_results, item_types, may_refer, new_items, read_asked
from .background import BackgroundCaller, Run, follow, make_room, recovered, start_run
from .compaction import plain
from .continuation import Continuation, truncation_of
from .edit import edited, listed
from .expansion import Earlier, Expansion, missing, output_of
from .ids import new_id
from .keeper import Keeper
from .keeping import Keeping
from .local import LOCAL_KEY, Local, Room
from .native import Compacting, Native, find_native
from .records import Kept, KeptItem
from .vault import Vault

__all__ = ["Historian", "History"]

logger = logging.getLogger("asgi_llm")

_PURGE_EVERY = 600.0
_ORPHANS = 1000
_ROOM = 256 * 1024 * 1024
"""Bytes that connections of one event loop may remember."""
_BEGUN = {"output": b"[]", "usage": b"null", "completed_at": b"null", "background": b"true"}
_OWN = (b"item_reference", b'"compaction"')
_REFERENCES = ("previous_response_id", "conversation")


class Historian(Protocol):
    """Looks at requests between the plan and the first attempt. ``history`` is what keeps responses, if it is done."""

    @property
    def history(self) -> "History | None": ...

    def screen(self, exchange: Exchange) -> None:
        """Looks at a body as soon as it is read, before anything else is made of it.

        Raises:
            ClientError: it asks for what is never to be had here.
        """
        ...

    async def open(self, runtime: Runtime, exchange: Exchange, caller: Caller, counting: bool) -> Caller:
        """The caller that the answer is given to: the same one, or one that keeps the answer.

        Raises:
            ClientError: the request refers to what is not there, or not kept here.
            StoreError: what it refers to cannot be looked up.
        """
        ...

    async def forget(self, scope: Scope) -> int:
        """Deletes all that is kept of the scope; how many responses and conversations."""
        ...


_encode = msgspec.json.Encoder().encode


class History:
    """See ``Historian``. ``now`` tells seconds since the epoch."""

    def __init__(
        self,
        store: ResponseStore,
        settings: ResponseSettings,
        vault: Vault,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self.settings = settings
        self.vault = vault
        self.now = now
        self.runs: dict[tuple[Scope, str], Run] = {}
        """What runs in the background in this event loop."""
        self.room = Room(_ROOM)
        self._purged = 0.0

    @property
    def history(self) -> "History":
        return self

    def expires(self, now: float) -> float:
        return now + self.settings.retention if self.settings.retention else FOREVER

    def expansion(self, scope: Scope, now: float, *, late: bool = False) -> Expansion:
        return Expansion(self.store, self.vault, self.settings, scope, now, late=late)

    def screen(self, exchange: Exchange) -> None:
        """Nothing is refused before it is known what it builds upon."""

    async def open(self, runtime: Runtime, exchange: Exchange, caller: Caller, counting: bool) -> Caller:
        if exchange.endpoint not in CALLS:
            if isinstance(caller, Compacting):
                await caller.open(self)
            return caller
        body = exchange.body
        asked = read_asked(body)
        run = caller.run if isinstance(caller, BackgroundCaller) else None
        there: Native | None = None
        if self.settings.native == "verbatim" and run is None:
            there = await find_native(self, exchange, caller, asked, counting=counting)
            if there is not None and (counting or not there.may_be_here):
                self._tidy(runtime, self.now())
                return caller if counting else there.begin(self, exchange, caller)
        if asked.background:
            _check_background(asked, counting=counting)
        local: Local | None = caller.scope.get(LOCAL_KEY)
        store = asked.store is not False and not counting
        if not store and local is None and not asked.refers and not _holds_own(asked, body):
            return caller
        scope, now = Scope.of(exchange.identity), self.now()
        earlier, new = await self.read(scope, asked, now, local)
        if counting:
            items = listed(plain(bytes(item.item)) for item in (*earlier.items, *new))
            exchange.body = edited(body, {"input": items}, _REFERENCES)
            return caller
        exchange.continuation = continuation = Continuation(
            asked=asked,
            scope=scope,
            id=new_id("resp_", now) if run is None else run.id,
            created=now,
            body=body,
            store=store,
            earlier=earlier.items,
            new=new,
            parents=earlier.parents,
            native=self.settings.native == "reference" and store,
            upstream=earlier.upstream,
            local=local,
            begins_late=earlier.late,
        )
        if asked.truncates:
            continuation.truncation = truncation = truncation_of(continuation)
            if exchange.plan is not None:
                exchange.plan = truncation.extended(exchange.plan)
        if exchange.plan is not None and there is None:
            continuation.fit(exchange, exchange.plan.legs[0])  # what is reserved goes by the whole of it
        self._tidy(runtime, now)
        if asked.background and run is None:
            await self._detach(runtime, exchange, caller, continuation)
        ending = Keeping(self, exchange, continuation)
        keeper = Keeper(exchange, caller, ending, runtime.blueprint.settings.limits.answer)
        if local is not None and local.warming:
            await self._warm(exchange, keeper)
        return keeper if there is None else there.begin(self, exchange, caller, continuation, keeper)

    async def forget(self, scope: Scope) -> int:
        return await self.store.forget(scope)

    async def read(
        self, scope: Scope, asked: Asked, now: float, local: Local | None = None
    ) -> tuple[Earlier, list[KeptItem]]:
        """What the request builds upon, and its own items. What only ``local`` remembers of a conversation counts among
        the latter: whatever is kept of this request must hold all of it.

        Raises:
            ClientError: it is not what the API takes, or refers to what is not there.
        """
        expansion = self.expansion(scope, now, late=asked.truncates)
        earlier, said = Earlier([]), new_items(asked.input, "input", now)
        remembered: tuple[KeptItem, ...] | None = None
        if (name := asked.previous_response_id) is not None:
            remembered = None if local is None else local.find(scope, name)
            if remembered is None:
                earlier = await expansion.response(name)
        elif (name := asked.conversation_id) is not None:
            earlier = await expansion.conversation(name)
        before = [*earlier.items, *(remembered or ())]
        new = await expansion.references(said, before)
        if asked.refers:
            check_results(new, before)
        return earlier, [*(remembered or ()), *new]

    def row(self, continuation: Continuation, kept: Kept, status: Status) -> ResponseRow:
        asked = continuation.asked
        return ResponseRow(
            id=continuation.id,
            created=continuation.created,
            expires=self.expires(continuation.created),
            status=status,
            data=self.vault.seal(_encode(kept)),
            parent=continuation.parents[-1] if continuation.parents else None,
            conversation=asked.conversation_id,
            items=tuple(item.id for item in (*kept.input, *output_of(kept))),
        )

    def items(self, items: list[KeptItem]) -> list[ItemRow]:
        return [ItemRow(item.id, self.vault.seal(_encode(item))) for item in items]

    async def _detach(
        self, runtime: Runtime, exchange: Exchange, caller: Caller, continuation: Continuation
    ) -> NoReturn:
        """Answers that it has begun, or with the stream of it, while it runs in a task of its own.

        Raises:
            CallerServed: always.
        """
        make_room(self)
        request = decoded(exchange)
        empty = Response(id=continuation.id, model=request.model, candidates=(Candidate((), Finish("end")),))
        encoded = exchange.dialect.encode_response(empty, Answer(model=request.model, request=request))
        values = {**Keeping(self, exchange, continuation).members(encoded), **_BEGUN}
        begun = edited(encoded, {**values, "status": b'"in_progress"'})
        kept = Kept(Raw(begun), tuple(continuation.new), logged=bool(continuation.asked.stream))
        lease = self.now() + self.settings.background_lease
        row = structs.replace(self.row(continuation, kept, "in_progress"), lease=lease)
        if not await self.store.put(continuation.scope, row, kept=continuation.parents):
            raise missing("Conversation", row.conversation or "", "conversation_not_found", "conversation")
        exchange.body = continuation.body
        run = start_run(runtime, self, exchange, caller, row.id)
        exchange.status, exchange.outcome = 200, "ok"
        if continuation.asked.stream:
            await caller.start(200, stream_head(exchange, []))
            async for frame in follow(self, run.scope, run.id, -1):
                await caller.send(frame)
            await caller.finish()
        else:
            body = edited(begun, {"status": b'"queued"'})
            await caller.answer(200, whole_head(exchange, [], len(body)), body)
        raise CallerServed

    async def _warm(self, exchange: Exchange, caller: Caller) -> NoReturn:
        """Answers with nothing, so that it can be built upon.

        Raises:
            CallerServed: always.
        """
        request = decoded(exchange)
        empty = Response(id="", model=request.model, candidates=(Candidate((), Finish("end")),))
        answer = Answer(model=request.model, request=request)
        exchange.status, exchange.outcome = 200, "ok"
        await caller.start(200, stream_head(exchange, []))
        await caller.finish(exchange.dialect.stream_encoder(answer).feed(unfold(empty)))
        raise CallerServed

    def _tidy(self, runtime: Runtime, now: float) -> None:
        if now - self._purged > _PURGE_EVERY:
            self._purged = now
            runtime.spawn(self._purge(now), "purge of responses")

    async def _purge(self, now: float) -> None:
        try:
            for scope, row in await self.store.orphans(now, _ORPHANS):
                await recovered(self, scope, row)
            await self.store.purge(now)
        except StoreError as error:
            logger.warning("expired responses could not be deleted: %r", error.__cause__)


def _holds_own(asked: Asked, body: bytes) -> bool:
    """Whether it holds items which only the gateway understands."""
    return any(mark in body for mark in _OWN) or (may_refer(body) and "item_reference" in item_types(asked.input))


def _check_background(asked: Asked, *, counting: bool) -> None:
    """
    Raises:
        ClientError: there would be nowhere to find the response.
    """
    if asked.store is False and not counting:
        raise ClientError(
            "background: a response that runs in the background must be stored",
            code="invalid_value",
            param="background",
        )
