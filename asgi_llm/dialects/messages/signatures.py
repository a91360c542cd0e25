"""Signatures of this gateway's own making, for thoughts that carry no signature of Anthropic's.

Clients replay only signed thoughts, so a thinking block never goes out unsigned. Ours begins with a fixed prefix, holds
what other providers want back (encrypted reasoning, thought signatures), and is never sent to an upstream.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Literal

import msgspec

from asgi_llm.neutral.request import Carrier

__all__ = ["PREFIX", "Envelope", "Place", "envelope", "is_ours", "seal"]

PREFIX = "asgi-llm.v1."
Place = Literal["thought", "next", "previous", "text"]


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one of our signatures holds. ``to`` says which part the carriers belong to: the thought itself, the tool
    call that follows or precedes it, or the text before it."""

    carriers: tuple[Carrier, ...] = ()
    to: Place = "thought"


_DECODER = msgspec.json.Decoder(Envelope)


def is_ours(signature: str) -> bool:
    """Whether the signature (or redacted data) was made here."""
    return signature.startswith(PREFIX)


def seal(carriers: Sequence[Carrier], to: Place = "thought") -> str:
    """A signature that holds the carriers. Never empty."""
    return PREFIX + urlsafe_b64encode(msgspec.json.encode(Envelope(tuple(carriers), to))).decode().rstrip("=")


def envelope(signature: str) -> Envelope:
    """What a signature of ours holds; nothing, where it was cut or forged."""
    payload = signature.removeprefix(PREFIX)
    try:
        return _DECODER.decode(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return Envelope()
