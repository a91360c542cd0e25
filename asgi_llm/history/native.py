"""Responses that an upstream makes and keeps itself, where the settings let it (``native = "verbatim"``).

Such a request and its answer pass as they are, under the upstream's own ids. What is kept here is whose they are, and
where: the target, and the credential that they were made by. What was begun at an upstream goes on there, and nowhere
else; what was begun here goes on here.
"""

import logging
from typing import TYPE_CHECKING

from msgspec import Raw, Struct, json, structs

from asgi_llm.errors import ClientError, StoreError, TranslationError
from asgi_llm.exchange import Caller, Exchange
from asgi_llm.identity import TARGET_KEY
from asgi_llm.neutral.usage import Usage
from asgi_llm.pipeline.plan import Leg
from asgi_llm.runtime import Runtime
from asgi_llm.stores.responses import ResponseRow
from asgi_llm.stores.scope import Scope
from asgi_llm.types import Headers

from .asked import Asked, input_items, item_ids, read_asked
from .compaction import plain
from .continuation import Continuation
from .edit import edited, listed
from .errand import Errand, errand_exchange
from .expansion import missing
from .keeper import Keeper
from .local import LOCAL_KEY, Local
from .passing import PassingCaller
from .pins import keeps, pin_of, pinned, same_place
from .records import Kept, KeptConversation, Pin, unseal
from .sight import Sight

if TYPE_CHECKING:
    from .history import History

__all__ = ["Compacting", "Native", "check_references", "compacts_there", "find_native"]

logger = logging.getLogger("asgi_llm")


def _is_native(leg: Leg) -> bool:
    """Whether what ``leg`` answers can be kept there."""
    return leg.dialect.name == "responses" and leg.mode != "translated" and keeps(leg.crew)


async def find_native(
    history: "History", exchange: Exchange, caller: Caller, asked: Asked, *, counting: bool
) -> "Native | None":
    """What becomes of the request if an upstream is to make the response and keep it; None where it is the gateway's.
    The plan is left with those legs that may serve it.

    Raises:
        ClientError: it builds upon what is kept by an upstream that it does not lead to.
        StoreError: what it builds upon cannot be looked up.
    """
    scope, now = Scope.of(exchange.identity), history.now()
    local: Local | None = caller.scope.get(LOCAL_KEY)
    if local is not None and asked.previous_response_id and local.find(scope, asked.previous_response_id) is not None:
        return None
    pin = await _find_pin(history, scope, asked, now)
    if pin is None:
        named = await _held(history, scope, item_ids(asked.input, "item_reference"), now)
        if asked.refers or (named is None and (counting or not _may_begin(exchange, asked, local))):
            return None
        pin = named
    else:
        await check_references(history, scope, asked.input, pin, now)
        if local is not None and local.warming:
            raise ClientError("this can only be built upon by asking for an answer", param="generate")
    if pin is not None:
        _go_there(exchange, pin, "previous_response_id" if asked.conversation is None else "conversation")
    elif asked.background and exchange.plan is not None:
        # Whoever else is asked could not let it run on.
        legs = tuple(leg for leg in exchange.plan.legs if _is_native(leg))
        exchange.plan = structs.replace(exchange.plan, legs=legs)
    exchange.body = body = _plain(exchange.body, asked)
    chain = [] if asked.previous_response_id is None else await _chain(history, scope, asked.previous_response_id, now)
    return Native(asked, scope, now, body, pin, tuple(chain))


async def _find_pin(history: "History", scope: Scope, asked: Asked, now: float) -> Pin | None:
    """Where the response or the conversation is that it builds upon; None where that is not at an upstream."""
    if (name := asked.previous_response_id) is not None:
        row = await history.store.get(scope, name, now)
        return None if row is None else unseal(history.vault, row.data, Kept).pin
    if (name := asked.conversation_id) is not None:
        found = await history.store.conversation(scope, name, now)
        return None if found is None else unseal(history.vault, found.data, KeptConversation).pin
    return None


async def check_references(history: "History", scope: Scope, items: Raw, pin: Pin, now: float) -> None:
    """
    Raises:
        ClientError: one of the items refers to what is not this caller's, or is elsewhere.
    """
    names = item_ids(items, "item_reference")
    rows = await history.store.holders(scope, names, now) if names else {}
    for name in names:
        found = None if name not in rows else unseal(history.vault, rows[name].data, Kept).pin
        if found is None or not same_place(found, pin):
            raise missing("Item", name, "item_not_found", "input")


async def _held(history: "History", scope: Scope, names: list[str], now: float) -> Pin | None:
    """Where all of these items are, if they are at one upstream."""
    if not names:
        return None
    rows = await history.store.holders(scope, names, now)
    pins = [unseal(history.vault, row.data, Kept).pin for row in rows.values()]
    if len(rows) < len(set(names)) or not pins or pins[0] is None:
        return None
    first = pins[0]
    return first if all(pin is not None and same_place(pin, first) for pin in pins) else None


async def _chain(history: "History", scope: Scope, name: str, now: float) -> list[str]:
    """All that must be kept as long as what is built upon ``name``."""
    rows = await history.store.chain(scope, name, now, history.settings.max_turns)
    return [row.id for row in rows] or [name]


def _may_begin(exchange: Exchange, asked: Asked, local: Local | None) -> bool:
    """Whether a response may be begun at an upstream. Where hooks look at answers it may not: asked for again, it would
    come as it was before they had seen it."""
    plan = exchange.plan
    if asked.store is False or exchange.inspection is not None or (local is not None and local.warming):
        return False
    return plan is not None and _is_native(plan.legs[0]) and not item_ids(asked.input, "item_reference")


def _go_there(exchange: Exchange, pin: Pin, param: str) -> None:
    """Leaves in the plan the legs to where the pin is.

    Raises:
        ClientError: there are none.
    """
    plan = exchange.plan
    assert plan is not None  # noqa: S101  # make_plan() filled it in
    found = [leg for leg in plan.legs if leg.crew.target.name == pin.target and _is_native(leg)]
    legs = tuple(leg for one in found if (leg := pinned(one, exchange.identity, pin)) is not None)
    if not legs or exchange.inspection is not None:
        raise ClientError(
            "what this builds upon is kept by another upstream, or for another API key, than the one that is asked "
            "for this model; go on with a model of the same upstream, or send the whole conversation as input",
            code="state_elsewhere",
            param=param,
        )
    exchange.plan = structs.replace(plan, legs=legs)


def _plain(body: bytes, asked: Asked) -> bytes:
    """``body`` with the gateway's own summaries as texts.

    Raises:
        ClientError: a member occurs twice: what was looked at must be what the upstream sees.
    """
    items = input_items(asked.input) if b'"compaction"' in body else []
    told = [plain(item) for item in items]
    return edited(body, {} if told == items else {"input": listed(told)})


class Native(Struct, eq=False):
    """See ``Fitting``. ``pin`` is where it must be served; None where it need not be. ``parents`` are kept at least as
    long as its answer. ``there``: the leg at hand makes and keeps the answer itself; ``here`` is what is done else."""

    asked: Asked
    scope: Scope
    created: float
    body: bytes
    pin: Pin | None
    parents: tuple[str, ...]
    here: Continuation | None = None
    there: bool = True

    @property
    def may_be_here(self) -> bool:
        return self.pin is None and not self.asked.background

    def begin(
        self,
        history: "History",
        exchange: Exchange,
        caller: Caller,
        here: Continuation | None = None,
        keeper: Keeper | None = None,
    ) -> Caller:
        """Who is to be answered. ``here`` and ``keeper`` see to answers of legs that keep nothing."""
        exchange.continuation, self.here = self, here
        return caller if self.asked.store is False else _Noting(history, exchange, caller, self, keeper)

    def fit(self, exchange: Exchange, leg: Leg) -> None:
        self.there = _is_native(leg)
        if self.there:
            exchange.body, exchange.request, exchange.fetched = self.body, None, False
        elif self.here is not None:
            self.here.fit(exchange, leg)
        else:
            raise TranslationError("what this builds upon is kept by an upstream that speaks the Responses API")

    def row(self, history: "History", pin: Pin, seen: Sight) -> ResponseRow:
        kept = Kept(Raw(b"{}"), pin=pin)
        return ResponseRow(
            id=seen.id,
            created=self.created,
            expires=history.expires(self.created),
            status=seen.status or "in_progress",
            data=history.vault.seal(json.encode(kept)),
            parent=self.parents[-1] if self.parents else None,
            conversation=self.asked.conversation_id,
            items=tuple({**dict.fromkeys(item_ids(self.asked.input)), **seen.items}),
        )


class _Noting(PassingCaller):
    """Notes whose an answer is before it is told under which id it can be found."""

    __slots__ = ("_exchange", "_history", "_keeper", "_native", "_noted", "_seen")

    def __init__(
        self, history: "History", exchange: Exchange, caller: Caller, native: Native, keeper: Keeper | None
    ) -> None:
        super().__init__(caller)
        self._history = history
        self._exchange = exchange
        self._native = native
        self._keeper = keeper
        self._seen = Sight()
        self._noted: ResponseRow | None = None

    def _here(self) -> Keeper | None:
        """Who sees to the answer, where the leg at hand keeps nothing."""
        return None if self._native.there else self._keeper

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        if (keeper := self._here()) is not None:
            await keeper.answer(status, headers, body)
            return
        if 200 <= status < 300:
            await self._look_at_whole(body)
        await self._caller.answer(status, headers, body)

    async def start(self, status: int, headers: Headers) -> None:
        await (self._here() or self._caller).start(status, headers)

    async def send(self, data: bytes) -> None:
        if (keeper := self._here()) is None:
            await self._look(data)
        await (keeper or self._caller).send(data)

    async def finish(self, data: bytes = b"") -> None:
        if (keeper := self._here()) is None:
            await self._look(data)
        await (keeper or self._caller).finish(data)

    async def _look_at_whole(self, body: bytes) -> None:
        self._seen.whole(body)
        if self._seen.status is None and not self._native.asked.background:
            self._seen.status = "completed"  # in a word of its own
        await self._note()
        if self._seen.status is None:
            # What it will have used is told, and charged, when it has ended.
            self._exchange.usage = Usage(fresh=0, visible=0)

    async def _look(self, data: bytes) -> None:
        if self._exchange.leg is not None:
            self._seen.feed(data)
            await self._note()

    async def _note(self) -> None:
        """When the id is known, and when it has ended."""
        seen, noted, leg, history = self._seen, self._noted, self._exchange.leg, self._history
        if not seen.id or leg is None or (noted is not None and (seen.status is None or noted.status == seen.status)):
            return
        envelope, native = self._exchange.envelope, self._native
        asked = "" if envelope is None else envelope.model
        pin = structs.replace(pin_of(self._exchange, leg, asked), unpaid=bool(native.asked.background))
        row = native.row(history, pin, seen)
        self._noted = row
        try:
            if noted is None:
                await history.store.put(native.scope, row, kept=native.parents)
            else:
                await history.store.finish(native.scope, row)
        except StoreError as error:
            if history.settings.required or native.asked.background:
                raise
            logger.warning("request %s: where its response is is not kept: %r", self._exchange.id, error.__cause__)


async def compacts_there(
    runtime: Runtime, history: "History", exchange: Exchange, caller: Caller, asked: Asked
) -> bool:
    """Whether an upstream is to compact a conversation: its own, or one that is told whole for a model of its."""
    if await _find_pin(history, Scope.of(exchange.identity), asked, history.now()) is not None:
        return True
    if asked.refers or runtime.blueprint.hooks or not asked.model or item_ids(asked.input, "item_reference"):
        return False
    resolution = runtime.blueprint.ladder.resolve(asked.model, caller.scope.get(TARGET_KEY))
    return keeps(runtime.fleet.crews[resolution.ways[0].target])


class Compacting(Errand):
    """Asks an upstream to compact a conversation, in the caller's words."""

    __slots__ = ("exchange",)

    def __init__(self, by: Caller, exchange: Exchange) -> None:
        super().__init__(by, exchange.identity, exchange.body)
        self.exchange = errand_exchange(exchange, "response_compact")

    async def open(self, history: "History") -> None:
        """Leads the plan to where upstreams compact.

        Raises:
            ClientError: the conversation is kept elsewhere.
        """
        exchange, asked = self.exchange, read_asked(self.exchange.body)
        scope, now = Scope.of(exchange.identity), history.now()
        pin = await _find_pin(history, scope, asked, now)
        if pin is not None:
            await check_references(history, scope, asked.input, pin, now)
            _go_there(exchange, pin, "previous_response_id")
        assert exchange.plan is not None  # noqa: S101  # make_plan() filled it in
        legs = tuple(_compacting(leg) for leg in exchange.plan.legs if _is_native(leg))
        exchange.plan = structs.replace(exchange.plan, legs=legs)
        exchange.body = _plain(exchange.body, asked)

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        self.exchange.finish = "completed"
        await super().answer(status, headers, body)


def _compacting(leg: Leg) -> Leg:
    path, mark, query = leg.path.partition(b"?")
    path = path + b"/compact" + mark + query
    return structs.replace(leg, path=path, stream_path=path)
