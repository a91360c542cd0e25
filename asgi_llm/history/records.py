"""What is inside the stored bytes."""

from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct

from asgi_llm.errors import AsgiLLMError, Kind

from .vault import UnreadableError, Vault

__all__ = ["Kept", "KeptConversation", "KeptItem", "Pin", "Upstream", "unseal"]

T = TypeVar("T")


class KeptItem(Struct, frozen=True, omit_defaults=True):
    """An item, its id, and which model made it (``maker``, see ``continuation``); the caller's own have no maker."""

    id: str
    item: Raw
    maker: str = ""


class Upstream(Struct, frozen=True):
    """What an upstream that keeps responses itself calls this one. Only that target, by that credential, knows it."""

    target: str
    credential: str
    id: str


class Pin(Struct, frozen=True, omit_defaults=True):
    """Who keeps what is not kept here: a target, by that credential. ``own``: it was the caller's. ``model`` is the
    target's name of the model that answered, ``asked`` the caller's; empty for conversations. ``unpaid``: what it used
    is not known before it has ended, after its request."""

    target: str
    credential: str
    own: bool = False
    model: str = ""
    asked: str = ""
    unpaid: bool = False


class Kept(Struct, frozen=True, omit_defaults=True):
    """A response: the object as it was sent, and what was new in its request. ``logged`` says that its stream can be
    taken up in the middle. With a ``pin`` all that is elsewhere, under the same id."""

    response: Raw
    input: tuple[KeptItem, ...] = ()
    maker: str = ""
    upstream: Upstream | None = None
    logged: bool = False
    pin: Pin | None = None


class KeptConversation(Struct, frozen=True, omit_defaults=True):
    """With a ``pin`` it is elsewhere, under the same id, with its items."""

    metadata: dict[str, str] = {}
    pin: Pin | None = None


_DECODERS: dict[Any, msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(kind) for kind in (Kept, KeptItem, KeptConversation)
}


def unseal(vault: Vault, data: bytes, kind: type[T]) -> T:
    """
    Raises:
        AsgiLLMError: it is damaged, or was encrypted with a key that is gone; code ``stored_data_unreadable``.
    """
    try:
        return _DECODERS[kind].decode(vault.open(data))  # type: ignore[no-any-return]  # the decoder of that type
    except (UnreadableError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise AsgiLLMError(
            "what is stored under this id cannot be read", kind=Kind.SERVER, code="stored_data_unreadable"
        ) from None
