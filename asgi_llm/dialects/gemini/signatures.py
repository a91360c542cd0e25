"""Thought signatures: Google's own, and envelopes of this gateway's making in their place.

``thoughtSignature`` is the one slot that clients of this API return whatever they do with the thoughts. What another
provider made (signed or encrypted reasoning) therefore travels in an envelope there, together with the thought it
belongs to; an envelope is legal base64 with a fixed beginning and is never sent to an upstream.
Spec: Gemini API, "Thought signatures".
"""

import binascii
from base64 import b64decode, b64encode
from collections.abc import Iterable

import msgspec
from msgspec import Struct

from asgi_llm.neutral.request import Carrier, Reasoning

from .spelling import is_base64, standard_base64

__all__ = ["PREFIX", "SENTINEL", "Envelope", "Held", "carriers_of", "envelope", "google_signature", "is_ours", "seal"]

SENTINEL = "skip_thought_signature_validator"
"""What the API takes in place of a signature on calls that another model made."""

_STAND_INS = frozenset(map(standard_base64, (SENTINEL, "context_engineering_is_the_way_to_go")))

_MARK = b"asgi-llm.v1."  # twelve bytes, so that their base64 has a length of its own: sixteen letters
PREFIX = b64encode(_MARK).decode()


class Held(Struct, frozen=True, omit_defaults=True):
    """A thought on its way to a part that keeps it. ``late`` says that text came before it in the same step, so that it
    stands directly before that part and not before the text."""

    thought: Reasoning
    late: bool = False


class Envelope(Struct, frozen=True, omit_defaults=True):
    """``thoughts`` go before the part that carries the envelope, ``carriers`` belong to that part itself."""

    thoughts: tuple[Held, ...] = ()
    carriers: tuple[Carrier, ...] = ()


_DECODER = msgspec.json.Decoder(Envelope)


def is_ours(signature: str) -> bool:
    """Whether the signature was made here."""
    return signature.startswith(PREFIX)


def seal(thoughts: Iterable[Held] = (), carriers: Iterable[Carrier] = ()) -> str:
    """A signature that holds them."""
    return b64encode(_MARK + msgspec.json.encode(Envelope(tuple(thoughts), tuple(carriers)))).decode()


def envelope(signature: str) -> Envelope:
    """What a signature of ours holds, whichever base64 the client made of it; nothing, where it was cut or forged."""
    try:
        return _DECODER.decode(b64decode(standard_base64(signature), validate=True)[len(_MARK) :])
    except (binascii.Error, ValueError, RecursionError):
        return Envelope()


def carriers_of(signature: str | None) -> tuple[Carrier, ...]:
    """Google's signature, whichever base64 the client made of it; none where it is an envelope of ours or a stand-in
    for a signature, which says nothing."""
    if not signature or is_ours(signature):
        return ()
    data = standard_base64(signature)
    return () if data in _STAND_INS else (Carrier("google.thought_signature", data, provider="google"),)


def google_signature(carriers: Iterable[Carrier]) -> str | None:
    """The signature Google made, in standard base64, or None."""
    for carrier in carriers:
        if carrier.kind == "google.thought_signature":
            data = standard_base64(carrier.data)
            if is_base64(data) and not is_ours(data):
                return data
    return None
