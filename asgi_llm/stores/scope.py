"""Whose a stored thing is. Every look-up happens within one scope, so that nobody meets what is another's."""

from typing import Self

from msgspec import Struct

from asgi_llm.identity import Identity

__all__ = ["Scope"]


class Scope(Struct, frozen=True, gc=False):
    """One user of one tenant."""

    tenant: str
    subject: str

    @classmethod
    def of(cls, identity: Identity) -> Self:
        return cls(identity.tenant, identity.subject)
