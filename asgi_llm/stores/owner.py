"""Whose rows are meant. No method of a store does without, so that nobody sees another's by an oversight."""

from msgspec import Struct

from asgi_llm.identity import Identity

__all__ = ["ANYBODY", "Owner"]


class Owner(Struct, frozen=True):
    """A user, or with ``subject`` None a whole tenant. ``ANYBODY`` is for those who run the gateway only."""

    tenant: str | None
    subject: str | None = None

    @classmethod
    def of(cls, identity: Identity) -> "Owner":
        """The caller and nobody else."""
        return cls(identity.tenant, identity.subject)


ANYBODY = Owner(None)
