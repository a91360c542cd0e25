"""A request of the Responses API on its way: what it builds upon, and how it is said to an upstream.

An upstream gets the whole conversation as ``input``: the items of earlier requests and answers, byte for byte as they
were, then the new ones. So what it is sent is always a continuation of what it was sent before, and its cache holds.
Thoughts go back only to the model that had them. Instructions are each request's own.
"""

import hashlib

import msgspec
from msgspec import Raw, Struct

from asgi_llm.dialects.interface import Warned
from asgi_llm.errors import TranslationError
from asgi_llm.exchange import Exchange
from asgi_llm.pipeline.plan import Leg
from asgi_llm.stores.scope import Scope

from .asked import Asked
from .compaction import plain
from .edit import edited, listed
from .local import Local
from .records import KeptItem, Upstream
from .truncation import CUT, Truncation, truncates

__all__ = ["Continuation", "credential_of", "maker_of", "truncation_of"]

_ENCRYPTED = "reasoning.encrypted_content"
_DROPPED = Warned("reasoning", "warn", "Thoughts of another model are left out of the history.")


class _Item(Struct):
    type: str | None = None


_item = msgspec.json.Decoder(_Item)
_names = msgspec.json.Decoder(list[str])


def maker_of(leg: Leg) -> str:
    """The model behind ``leg``: whoever this is can read the proofs of thought that it made, and nobody else."""
    return f"{leg.crew.target.name}/{leg.dialect.name}/{leg.model}"


def credential_of(leg: Leg) -> str:
    """Tells the credentials of a target from those that it had before, without telling them."""
    said = b"\n".join(name + b":" + value for name, value in leg.fixed)
    return hashlib.sha256(said).hexdigest()[:16]


class Continuation(Struct, eq=False, kw_only=True):
    """``earlier`` are the items of the conversation so far, ``new`` those of this request. ``store`` is whether the
    answer is to be kept, ``id`` its id. ``native`` is whether upstreams that keep responses may be asked to;
    ``upstream`` is what one of them calls the response that this one builds upon. ``body`` is the caller's. ``local``
    remembers the answer if it is not kept. ``truncation`` knows what may be left out; None where nothing may.
    ``begins_late``: the beginning is missing already."""

    asked: Asked
    scope: Scope
    id: str
    created: float
    body: bytes
    store: bool
    earlier: list[KeptItem]
    new: list[KeptItem]
    parents: tuple[str, ...] = ()
    native: bool = False
    upstream: Upstream | None = None
    fitted: Leg | None = None
    local: Local | None = None
    truncation: Truncation | None = None
    begins_late: bool = False
    cut: bool = False
    referred: bool = False
    dropped: bool = False

    def fit(self, exchange: Exchange, leg: Leg) -> None:
        """Makes the body of ``exchange`` what ``leg`` is to be asked.

        Raises:
            TranslationError: it asks for what only an upstream that has the API can know.
        """
        if leg is self.fitted:
            return
        if leg.mode == "translated" and bytes(self.asked.prompt) != b"null":
            raise TranslationError("stored prompts are kept by OpenAI and not known here", param="prompt")
        exchange.request, exchange.fetched, self.fitted = None, False, leg
        target = leg.crew.target
        # With several keys it is not known which one the upstream would be asked by.
        self.referred = self.native and leg.mode != "translated" and target.profile.origin and not target.keys
        exchange.body = self._reference(leg) if self.referred else self._whole(leg)

    def warnings(self) -> tuple[Warned, ...]:
        return (*((_DROPPED,) if self.dropped else ()), *((CUT,) if self.cut else ()))

    def _reference(self, leg: Leg) -> bytes:
        """For an upstream that keeps responses: what it calls the last one, or all that was said if it does not know
        it."""
        known = self.upstream
        values = {"store": b"true" if self.store else b"false"}
        if known is None or (known.target, known.credential) != (leg.crew.target.name, credential_of(leg)):
            values |= self._input(leg)
            return edited(self.body, values, ("previous_response_id", "conversation", "background"))
        values["input"] = listed(plain(bytes(item.item)) for item in self.new)
        values["previous_response_id"] = msgspec.json.encode(known.id)
        return edited(self.body, values, ("conversation", "background"))

    def _whole(self, leg: Leg) -> bytes:
        values = self._input(leg)
        without = () if truncates(leg) else ("truncation",)
        if leg.dialect.name == "responses":
            values["store"] = b"false"
            if leg.crew.target.profile.takes("encrypted_reasoning"):
                # What the upstream does not keep must be sent back to it, and thoughts only so.
                values["include"] = _with_thoughts(self.asked.include)
        return edited(self.body, values, ("previous_response_id", "conversation", "background", "store", *without))

    def _input(self, leg: Leg) -> dict[str, bytes]:
        self.dropped = False
        if bytes(self.asked.input) == b"null" and not self.earlier and not self.new:
            return {}  # a stored prompt may be all that is asked
        maker = maker_of(leg)
        gone: frozenset[int] = frozenset()
        if self.truncation is not None and not truncates(leg):
            gone = self.truncation.gone(leg)
        self.cut = self.begins_late or bool(gone)
        whole = enumerate((*self.earlier, *self.new))
        said = (self._said(item, maker) for place, item in whole if place not in gone)
        return {"input": listed(item for item in said if item)}

    def _said(self, kept: KeptItem, maker: str) -> bytes:
        """The item as it is told to ``maker``; nothing where it is a thought of another's."""
        item = bytes(kept.item)
        if not kept.maker or kept.maker == maker:
            return plain(item)
        if _item.decode(item).type == "reasoning":
            self.dropped = True
            return b""
        # An id that names a part of another's answer would only be looked for in vain.
        return edited(item, {}, ("id",)) if b'"id"' in item else item


def _with_thoughts(include: Raw) -> bytes:
    try:
        names = _names.decode(include) if bytes(include) != b"null" else []
    except msgspec.MsgspecError:
        return bytes(include)
    return msgspec.json.encode(names if _ENCRYPTED in names else [*names, _ENCRYPTED])


def truncation_of(continuation: Continuation) -> Truncation:
    """What may be left out of it."""
    asked, body = continuation.asked, continuation.body
    return Truncation(
        [bytes(item.item) for item in (*continuation.earlier, *continuation.new)],
        len(body) - len(bytes(asked.input)),
        asked.answer,
        orphans=continuation.begins_late,
    )
