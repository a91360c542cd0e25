"""Foreign carriers inside ``encrypted_content``.

A caller of this API returns reasoning items with ``encrypted_content`` as they are. When the thought came from a
provider with another kind of proof (a signature, a redacted block), that proof travels in this slot, with a mark
that it is no content of OpenAI's, and comes out again when the caller sends the item back.

The checksum finds what was truncated or mangled on the way. It is no protection against forgery and need not be
one: a forged proof is refused by its maker.
"""

import base64
import binascii
import hashlib

import msgspec
from msgspec import Struct

from asgi_llm.neutral.request import Carrier

__all__ = ["PREFIX", "Envelope", "is_envelope", "pack", "unpack"]

PREFIX = "asgi-llm.1."


class Envelope(Struct, frozen=True, omit_defaults=True):
    """``call`` is the id of the tool call that the carriers belong to, where they belong to one; ``text`` says that
    they belong to the text before it, ``raw_text`` that the summary beside the envelope is the thought itself."""

    carriers: tuple[Carrier, ...]
    call: str | None = None
    raw_text: bool = False
    redacted: bool = False
    text: bool = False


_decoder = msgspec.json.Decoder(Envelope)


def pack(envelope: Envelope) -> str:
    payload = base64.urlsafe_b64encode(msgspec.json.encode(envelope)).decode().rstrip("=")
    return f"{PREFIX}{payload}.{_checksum(payload)}"


def is_envelope(text: str) -> bool:
    return text.startswith(PREFIX)


def unpack(text: str) -> Envelope | None:
    """What was packed; None when the text is not an envelope or is a damaged one."""
    payload, _, checksum = text.removeprefix(PREFIX).rpartition(".")
    if not is_envelope(text) or checksum != _checksum(payload):
        return None
    try:
        data = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
        return _decoder.decode(data)
    except (binascii.Error, msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _checksum(payload: str) -> str:
    return hashlib.sha256(payload.encode("utf-8", "surrogatepass")).hexdigest()[:12]
