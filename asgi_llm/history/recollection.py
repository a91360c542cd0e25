"""Remembers proofs of thought on the way out, and puts them back on the way in. See ``proofs``."""

import logging
import time
from collections.abc import Callable, Mapping

import msgspec
from msgspec import structs

from asgi_llm.errors import StoreError
from asgi_llm.exchange import Caller, Exchange
from asgi_llm.neutral.request import Request
from asgi_llm.pipeline.plan import Leg
from asgi_llm.pipeline.prepare import decoded
from asgi_llm.runtime import Runtime
from asgi_llm.settings import ResponseSettings
from asgi_llm.stores.scope import Scope
from asgi_llm.stores.signatures import SignatureStore
from asgi_llm.types import Headers

from .continuation import maker_of
from .passing import PassingCaller
from .proofs import Proof, Watch, bare_calls, proved
from .vault import UnreadableError, Vault

__all__ = ["Recollection"]

logger = logging.getLogger("asgi_llm")

_PROVERS = ("messages", "gemini", "responses")
"""The dialects of models that prove their thoughts."""
_CALLS = {"chat": b'"tool_calls"', "messages": b'"tool_use"', "responses": b'_call"'}
"""What is in a body that brings calls back, by the dialects whose clients may drop what belongs to them."""
_PURGE_EVERY = 600.0
_proof = msgspec.json.Decoder(Proof)
_encode = msgspec.json.Encoder().encode


class Recollection:
    """See ``Historian``. ``now`` tells seconds since the epoch."""

    def __init__(
        self, store: SignatureStore, settings: ResponseSettings, vault: Vault, now: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._retention = settings.signature_retention
        self._vault = vault
        self._now = now
        self._purged = 0.0

    @property
    def history(self) -> None:
        return None

    def screen(self, exchange: Exchange) -> None:
        """It refuses nothing."""

    async def open(self, runtime: Runtime, exchange: Exchange, caller: Caller, counting: bool) -> Caller:
        plan, mark = exchange.plan, _CALLS.get(exchange.dialect.name)
        if plan is None or mark is None or counting or exchange.continuation is not None:
            return caller
        if not any(map(_proves, plan.legs)):
            return caller
        scope, found = Scope.of(exchange.identity), dict[str, Proof]()
        legs = (_watched(leg, found) if _proves(leg) else leg for leg in plan.legs)
        exchange.plan = structs.replace(plan, legs=tuple(legs))
        if mark in exchange.body:
            request = decoded(exchange)
            if (names := bare_calls(request)) and (known := await self._recall(scope, names)):
                exchange.continuation = _Filling(request, known)
        self._tidy(runtime)
        return _Noting(self, caller, scope, found)

    async def forget(self, scope: Scope) -> int:
        return await self._store.forget(scope)

    async def remember(self, scope: Scope, found: Mapping[str, Proof]) -> None:
        """Never raises: a proof that is lost costs an answer nothing."""
        sealed = {name: self._vault.seal(_encode(proof)) for name, proof in found.items()}
        try:
            await self._store.remember(scope, sealed, self._now() + self._retention)
        except StoreError as error:
            logger.warning("proofs of thought are not remembered: %r", error.__cause__)

    async def _recall(self, scope: Scope, names: list[str]) -> dict[str, Proof]:
        known: dict[str, Proof] = {}
        try:
            found = await self._store.recall(scope, names, self._now())
        except StoreError as error:
            logger.warning("proofs of thought cannot be looked up: %r", error.__cause__)
            return known
        for name, data in found.items():
            try:
                known[name] = _proof.decode(self._vault.open(data))
            except (UnreadableError, msgspec.MsgspecError, UnicodeDecodeError):
                logger.warning("a proof of thought cannot be read")
        return known

    def _tidy(self, runtime: Runtime) -> None:
        if (now := self._now()) - self._purged > _PURGE_EVERY:
            self._purged = now
            runtime.spawn(self._purge(now), "purge of proofs")

    async def _purge(self, now: float) -> None:
        try:
            await self._store.purge(now)
        except StoreError as error:
            logger.warning("expired proofs could not be deleted: %r", error.__cause__)


class _Filling:
    """See ``Fitting``."""

    __slots__ = ("_known", "_request")

    def __init__(self, request: Request, known: Mapping[str, Proof]) -> None:
        self._request = request
        self._known = known

    def fit(self, exchange: Exchange, leg: Leg) -> None:
        filled = proved(self._request, self._known, maker_of(leg)) if leg.mode == "translated" else self._request
        exchange.request, exchange.fetched = filled, False


class _Noting(PassingCaller):
    """Remembers what was found before the piece of the answer is sent that it was found in: once the caller has that,
    it may ask again, of any process."""

    __slots__ = ("_found", "_recollection", "_scope")

    def __init__(self, recollection: Recollection, caller: Caller, scope: Scope, found: dict[str, Proof]) -> None:
        super().__init__(caller)
        self._recollection = recollection
        self._scope = scope
        self._found = found

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        await self._note()
        await self._caller.answer(status, headers, body)

    async def send(self, data: bytes) -> None:
        if self._found:
            await self._note()
        await self._caller.send(data)

    async def finish(self, data: bytes = b"") -> None:
        await self._note()
        await self._caller.finish(data)

    async def _note(self) -> None:
        if self._found:
            found = dict(self._found)
            self._found.clear()
            await self._recollection.remember(self._scope, found)


def _proves(leg: Leg) -> bool:
    return leg.mode == "translated" and leg.dialect.name in _PROVERS and leg.direct is None


def _watched(leg: Leg, found: dict[str, Proof]) -> Leg:
    return structs.replace(leg, dialect=Watch(maker_of(leg), found).watched(leg.dialect))
