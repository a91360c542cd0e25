"""The Responses API where nothing is kept, and that is said: references are refused, a wish to store is answered with
a warning, and the id of an answer is one that no upstream knows."""

import time
from collections.abc import Callable, Mapping

from msgspec import Struct

from asgi_llm.dialects.interface import Warned
from asgi_llm.errors import ClientError
from asgi_llm.exchange import Caller, Exchange
from asgi_llm.neutral.request import Reasoning
from asgi_llm.pipeline.plan import Leg
from asgi_llm.runtime import Runtime
from asgi_llm.stores.scope import Scope
from asgi_llm.types import Headers

from .asked import CALLS, Asked, Glimpse, glance, input_items, item_types, may_refer, read_asked
from .edit import edited, listed
from .ids import new_id
from .keeper import Keeper
from .shape import Shape
from .truncation import CUT, Truncation, truncates

__all__ = ["Stateless"]

_STORE = Warned("store", "warn", "Nothing is kept here: the response cannot be retrieved or built upon.")
_REASONING = Warned("reasoning", "warn", "Thoughts that this upstream cannot take back are left out.")
_TEXTS = {"store": "store ignored; this gateway keeps no responses", "reasoning": "reasoning items dropped"}
_MAKERS = {"messages": "anthropic.", "gemini": "google.", "responses": "openai.", "chat": "openrouter."}
"""The beginning of the kinds of proof that each dialect can send back."""


_REFUSED = ("previous_response_id", "conversation", "background")
_MARKS = tuple(b'"%b"' % name.encode() for name in (*_REFUSED, "item_reference"))


class Stateless:
    """See ``Historian``."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now

    @property
    def history(self) -> None:
        return None

    def screen(self, exchange: Exchange) -> None:
        body = exchange.body
        if exchange.endpoint not in CALLS or not any(mark in body for mark in _MARKS):
            return
        if (asked := glance(body)) is not None:
            _check(asked, body)

    async def open(self, runtime: Runtime, exchange: Exchange, caller: Caller, counting: bool) -> Caller:
        if exchange.endpoint not in CALLS:
            return caller
        asked = read_asked(exchange.body)
        _check(asked, exchange.body)  # once more: hooks may have put in what was not there
        if counting:
            return caller
        now = self._now()
        shape = Shape(exchange.body, now)
        ending = _Ending(exchange, new_id("resp_", now), asked.store is not False, shape, self._now, exchange.body)
        if asked.truncates and (items := input_items(asked.input)):
            ending.items = items
            rest = len(exchange.body) - len(bytes(asked.input))
            ending.truncation = Truncation(items, rest, asked.answer)
            if exchange.plan is not None:
                exchange.plan = ending.truncation.extended(exchange.plan)
        exchange.continuation = ending
        return Keeper(exchange, caller, ending, runtime.blueprint.settings.limits.answer)

    async def forget(self, _scope: Scope) -> int:
        return 0


class _Ending(Struct, eq=False):
    """See ``Ending``."""

    exchange: Exchange
    id: str
    wished: bool
    shape: Shape
    now: Callable[[], float]
    body: bytes
    items: list[bytes] = []
    truncation: Truncation | None = None
    cut: bool = False

    def fit(self, exchange: Exchange, leg: Leg) -> None:
        if self.truncation is not None:
            self._shorten(exchange, leg, self.truncation)
        # What nobody can refer to need not be kept by the upstream either.
        if self.wished and leg.mode != "translated":
            exchange.body = edited(exchange.body, {"store": b"false"})
        elif self.wished and b'"store"' in exchange.body:
            exchange.body = edited(exchange.body, {}, ("store",))

    def _shorten(self, exchange: Exchange, leg: Leg, truncation: Truncation) -> None:
        exchange.request, exchange.fetched, exchange.body, self.cut = None, False, self.body, False
        if truncates(leg):
            return
        gone = truncation.gone(leg)
        self.cut = bool(gone)
        told = listed(item for place, item in enumerate(self.items) if place not in gone)
        exchange.body = edited(self.body, {"input": told} if gone else {}, ("truncation",))

    def members(self, response: bytes) -> Mapping[str, bytes]:
        values = {**self.shape.lacking(response, self.now()), "id": b'"%b"' % self.id.encode(), "store": b"false"}
        if self.truncation is not None:
            values["truncation"] = b'"auto"'
        return values

    async def keep(self, _response: bytes, _upstream_id: str) -> Mapping[str, bytes]:
        return {}

    def warnings(self) -> tuple[tuple[Warned, ...], Headers]:
        warned = [_STORE] if self.wished else []
        if b'"reasoning"' in self.exchange.body and _drops_thoughts(self.exchange):
            warned.append(_REASONING)
        texts = [f'299 - "{_TEXTS[one.field]}"'.encode() for one in warned]
        if self.cut:
            warned.append(CUT)
        return tuple(warned), [(b"warning", b", ".join(texts))] if texts else []


def _drops_thoughts(exchange: Exchange) -> bool:
    leg = exchange.leg
    if leg is None or leg.mode != "translated" or exchange.request is None:
        return False
    made = _MAKERS[leg.dialect.name]
    profile = leg.crew.target.profile
    readable = leg.dialect.name == "chat" and (profile.reasoning_field or profile.reasoning_details == "all")
    return any(
        isinstance(part, Reasoning) and not readable and not any(one.kind.startswith(made) for one in part.carriers)
        for turn in exchange.request.turns
        for part in turn.parts
    )


def _check(asked: Asked | Glimpse, body: bytes) -> None:
    """
    Raises:
        ClientError: it refers to what could only be there if something were kept.
    """
    for name in _REFUSED:
        if getattr(asked, name) not in (None, False):
            raise _unsupported(name)
    # The words may also be something that is said, rather than an item's type.
    if may_refer(body) and "item_reference" in item_types(asked.input):
        raise _unsupported("item_reference", param="input")


def _unsupported(name: str, param: str | None = None) -> ClientError:
    return ClientError(
        f"{name} needs responses that are kept, and this gateway keeps none; send the whole conversation as input",
        code=f"{name}_not_supported",
        param=param or name,
    )
