"""What an upstream keeps, asked for by its id: the request goes where the thing is, and the answer comes as it is.

Whose it is was looked up before: nothing goes upstream for an id that is not the caller's.
"""

import logging
from collections.abc import Awaitable, Callable
from urllib.parse import quote

import msgspec
from msgspec import Raw, Struct, structs

from asgi_llm.dialects.forwarded import Forwarded
from asgi_llm.dialects.peek import Envelope
from asgi_llm.dialects.registry import DIALECTS
from asgi_llm.errors import Cause, ClientError, PolicyError, UpstreamError
from asgi_llm.exchange import Caller, Exchange, Forward
from asgi_llm.pipeline.admission import give_back
from asgi_llm.pipeline.attempt import attempt
from asgi_llm.pipeline.plan import Leg, Plan, leg_for
from asgi_llm.pipeline.relay import relay
from asgi_llm.pipeline.reserve import reserve
from asgi_llm.pipeline.settle import settle
from asgi_llm.routing.resolve import Resolution, Way
from asgi_llm.runtime import Runtime
from asgi_llm.stores.responses import ConversationRow, ResponseRow
from asgi_llm.stores.scope import Scope
from asgi_llm.types import Headers

from .background import RUNNING
from .edit import edited
from .history import History
from .native import check_references
from .passing import PassingCaller
from .pins import keeps, pin_of, pinned_leg, unreachable
from .records import Kept, KeptConversation, Pin, unseal
from .sight import Sight

__all__ = ["answer_elsewhere"]

logger = logging.getLogger("asgi_llm")

_BARE = Forwarded("response", "/v1/responses/{id}", "", body="none", model="none", whole=False, pin="row")
_BODIED = structs.replace(_BARE, body="json")
_BEHIND = {"response_cancel": b"/cancel", "response_input_items": b"/input_items"}
Effect = Callable[[bytes], Awaitable[bytes]]


class _Named(Struct):
    id: str = ""
    items: Raw = Raw(b"null")


_named = msgspec.json.Decoder(_Named)


async def answer_elsewhere(
    runtime: Runtime, history: History, exchange: Exchange, caller: Caller, rest: str, body: bytes
) -> bool:
    """Answers a request for what an upstream keeps; whether it is for such. ``rest`` are the ids in the path.

    Raises:
        AsgiLLMError: the upstream cannot be asked any more, or said no.
        StoreError: it cannot be looked up.
    """
    name, _, second = rest.partition("/")
    call = _Call(runtime, history, exchange, caller, Scope.of(exchange.identity), body)
    try:
        if exchange.endpoint == "conversations":
            return await call.create()
        if exchange.endpoint.startswith("conversation"):
            return await call.conversation(name, second)
        if exchange.endpoint.startswith("response") and name:
            return await call.response(name)
        return False
    finally:
        _release(exchange)


class _Call(Struct):
    """One request, by the method and at the endpoint of ``exchange``."""

    runtime: Runtime
    history: History
    exchange: Exchange
    caller: Caller
    scope: Scope
    body: bytes
    owed: Raw | None = None
    """The usage of a response that was now seen to have ended, and was not paid for."""

    @property
    def method(self) -> str:
        method: str = self.caller.scope["method"]
        return "GET" if method == "HEAD" else method

    async def response(self, name: str) -> bool:
        history, scope = self.history, self.scope
        row = await history.store.get(scope, name, history.now())
        pin = None if row is None else unseal(history.vault, row.data, Kept).pin
        if row is None or pin is None:
            return False
        behind = b"/" + _quoted(name) + _BEHIND.get(self.exchange.endpoint, b"")
        seen = Sight()

        async def shown(body: bytes) -> bytes:
            if self.exchange.endpoint != "response_input_items":
                seen.whole(body)
                await self._ended(row, pin, seen)
                if pin.asked != pin.model:
                    return edited(body, {"model": msgspec.json.encode(pin.asked)})
            return body

        async def gone() -> None:
            await history.store.delete(scope, name, history.now())

        await self._ask(pin, "/responses", behind, shown, gone, seen)
        await self._ended(row, pin, seen)
        if self.owed is not None:
            await self._charge(pin, self.owed)
        return True

    async def create(self) -> bool:
        history, target = self.history, self.history.settings.conversations
        if target is None:
            return False
        crew = self.runtime.fleet.crews.get(target)
        if crew is None or not keeps(crew):
            raise unreachable("conversation")
        leg = leg_for(crew, "", "responses")
        own = (self.exchange.identity.upstream_keys or {}).get(target)
        if own is not None:
            leg = structs.replace(leg, credentials=tuple(crew.target.provider.credentials(own)))
        await check_references(history, self.scope, _items(self.body), Pin(target, ""), history.now())

        async def made(body: bytes) -> bytes:
            assert self.exchange.leg is not None  # noqa: S101  # it has answered
            kept, now = KeptConversation(pin=pin_of(self.exchange, self.exchange.leg, "")), history.now()
            data = history.vault.seal(msgspec.json.encode(kept))
            row = ConversationRow(id=_id_of(body), created=now, expires=history.expires(now), data=data)
            await history.store.add_conversation(self.scope, row, [])
            return body

        await self._send(leg, "/conversations", b"", made)
        return True

    async def conversation(self, name: str, item: str) -> bool:
        history, scope = self.history, self.scope
        row = await history.store.conversation(scope, name, history.now())
        pin = None if row is None else unseal(history.vault, row.data, KeptConversation).pin
        if pin is None:
            return False
        behind = b"/" + _quoted(name)
        if self.exchange.endpoint != "conversation":
            behind += b"/items" + (b"/" + _quoted(item) if item else b"")
        await check_references(history, scope, _items(self.body), pin, history.now())

        async def gone() -> None:
            if self.exchange.endpoint == "conversation":
                await history.store.delete_conversation(scope, name, history.now())

        await self._ask(pin, "/conversations", behind, _unchanged, gone)
        return True

    async def _ask(
        self,
        pin: Pin,
        collection: str,
        behind: bytes,
        shown: Effect,
        gone: Callable[[], Awaitable[None]],
        seen: Sight | None = None,
    ) -> None:
        """``gone`` is called once the upstream has deleted it, or where it cannot be asked to any more."""
        deletes = self.method == "DELETE"

        async def deleted(body: bytes) -> bytes:
            await gone()
            return body

        try:
            leg = pinned_leg(self.runtime, self.exchange.identity, pin)
            await self._send(leg, collection, behind, deleted if deletes else shown, seen, pin.asked)
        except (ClientError, UpstreamError) as error:
            lost = isinstance(error, ClientError) or error.upstream_status == 404
            if deletes and lost:
                await gone()
            raise

    async def _send(
        self, leg: Leg, collection: str, behind: bytes, effect: Effect, seen: Sight | None = None, asked: str = ""
    ) -> None:
        """``asked`` is the caller's name of the model, as which streams tell of it."""
        exchange, target = self.exchange, leg.crew.target
        path, mark, more = leg.path.partition(b"?")
        query = b"&".join(part for part in (more, _query(self.caller)) if part)
        path = path.removesuffix(b"/responses") + collection.encode() + behind
        path += (mark or b"?") + query if query else b""
        bodied = self.method == "POST" and bool(self.body)
        exchange.forward = Forward(_BODIED if bodied else _BARE, self.method.encode())
        exchange.body = self.body if bodied else b""
        exchange.envelope = Envelope(leg.model if bodied else asked)
        leg = structs.replace(
            leg,
            path=path,
            stream_path=path,
            fixed=tuple(pair for pair in leg.fixed if bodied or pair[0] != b"content-type"),
            forwarded=exchange.forward.endpoint,
            patcher=None,
            mode="verbatim",
            passes=False,
            passes_plain=False,
        )
        exchange.plan = Plan(Resolution("host", (Way(target.name),)), (leg,))
        reply = await attempt(self.runtime, exchange, self.caller)
        limit = self.runtime.blueprint.settings.limits.answer
        await relay(self.runtime, exchange, _Hearing(self.caller, limit, effect, seen), reply, None)

    async def _ended(self, row: ResponseRow, pin: Pin, seen: Sight) -> None:
        """Notes that it has ended; one of those who see it first owes what it used, where that was not yet known."""
        if seen.status is None or row.status not in RUNNING or self.owed is not None:
            return
        ended = structs.replace(row, status=seen.status, items=tuple(seen.items), lease=0.0)
        if await self.history.store.finish(self.scope, ended) and pin.unpaid:
            self.owed = seen.usage

    async def _charge(self, pin: Pin, used: Raw) -> None:
        runtime, exchange = self.runtime, self.exchange
        exchange.usage = DIALECTS["responses"].usage(used)
        exchange.envelope = Envelope(pin.asked)
        try:
            if runtime.quotas is not None:
                await reserve(runtime, exchange)
        except PolicyError:
            logger.info("request %s: what it told of was used beyond the quotas", exchange.id)
        settle(runtime, exchange)


class _Hearing(PassingCaller):
    """Takes note of an answer before it is told: whole ones of at most ``limit`` bytes by ``effect``, which may change
    them, streams by ``seen``."""

    __slots__ = ("_effect", "_head", "_held", "_left", "_seen")

    def __init__(self, caller: Caller, limit: int, effect: Effect, seen: Sight | None) -> None:
        super().__init__(caller)
        self._effect = effect
        self._left = limit
        self._seen = seen
        self._head: tuple[int, Headers] | None = None
        self._held: list[bytes] = []

    async def start(self, status: int, headers: Headers) -> None:
        if dict(headers).get(b"content-type", b"").startswith(b"text/event-stream"):
            await self._caller.start(status, headers)
        else:
            self._head = status, headers

    async def send(self, data: bytes) -> None:
        if self._head is None:
            if self._seen is not None:
                self._seen.feed(data)
            await self._caller.send(data)
            return
        self._held.append(data)
        self._left -= len(data)
        if self._left < 0:
            await self._caller.start(*self._head)
            self._head = None
            await self._caller.send(b"".join(self._held))

    async def finish(self, data: bytes = b"") -> None:
        if self._head is None:
            if self._seen is not None:
                self._seen.feed(data)
            await self._caller.finish(data)
            return
        status, headers = self._head
        body = await self._effect(b"".join([*self._held, data]))
        headers = [pair for pair in headers if pair[0] != b"content-length"]
        headers.append((b"content-length", b"%d" % len(body)))
        await self._caller.answer(status, headers, b"" if self.scope["method"] == "HEAD" else body)


async def _unchanged(body: bytes) -> bytes:
    return body


def _id_of(body: bytes) -> str:
    try:
        return _named.decode(body).id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise UpstreamError(
            "the upstream did not say what it made", cause=Cause.CONTENT, code="upstream_invalid_answer"
        ) from None


def _items(body: bytes) -> Raw:
    """
    Raises:
        ClientError: a member occurs twice: what was looked at must be what the upstream sees.
    """
    try:
        return _named.decode(edited(body, {})).items if body else Raw(b"null")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Raw(b"null")  # whoever is asked says best what is wrong with it


def _quoted(name: str) -> bytes:
    return quote(name, safe="").encode("ascii")


def _query(caller: Caller) -> bytes:
    """What is asked for there. A key of the gateway's is not, nor is a stream where only the head is wanted."""
    query: bytes = caller.scope["query_string"]
    left = (b"key=", b"stream=") if caller.scope["method"] == "HEAD" else b"key="
    return b"&".join(part for part in query.split(b"&") if part and not part.startswith(left))


def _release(exchange: Exchange) -> None:
    """What settling would give back, of an exchange that is not settled."""
    if exchange.worker is not None:
        exchange.worker.abandoned(exchange.facts, exchange.probe)
        exchange.worker = None
    if exchange.gates:
        give_back(exchange)
