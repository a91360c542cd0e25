"""Keys that callers may show: those of the settings, found by their SHA-256, and what a store of issued ones does.

A look-up by digest gives nothing away through its duration: to learn a digest byte by byte one would have to choose
digests, and SHA-256 does not let one. Headers that showed a good key are remembered under their (randomised) hash,
which does not let one either: their texts are compared only where 64 bits of it agree.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from asgi_llm.identity import Identity
from asgi_llm.settings import KeySettings

__all__ = ["IssuedKey", "KeyStore", "SettingsKeys", "Shown"]

Shown = tuple[bytes | None, ...]
"""All headers in which a key may be shown."""

_REMEMBERED = 1024
"""Most headers remembered: beside one good key, the others are the caller's to invent."""


class SettingsKeys:
    """The keys written in the settings."""

    __slots__ = ("_entries", "_shown")

    def __init__(self, keys: Iterable[KeySettings]) -> None:
        self._entries: dict[bytes, Identity] = {}
        self._shown: dict[Shown, Identity] = {}
        for key in keys:
            digest = (
                bytes.fromhex(key.sha256 or "")
                or hashlib.sha256(key.key.get_secret_value().encode() if key.key else b"").digest()
            )
            self._entries[digest] = Identity(
                subject=key.subject, tenant=key.tenant, roles=key.roles, source="key", key_id=digest.hex()[:12]
            )

    def __len__(self) -> int:
        return len(self._entries)

    def recall(self, shown: Shown) -> Identity | None:
        """Whose key was found in the same headers before."""
        return self._shown.get(shown)

    def find(self, key: bytes, shown: Shown | None = None) -> Identity | None:
        """Whose key this is, or None. ``shown`` are the headers that alone say that it is this key."""
        identity = self._entries.get(hashlib.sha256(key).digest())
        if identity is not None and shown is not None:
            if len(self._shown) >= _REMEMBERED:
                self._shown.clear()
            self._shown[shown] = identity
        return identity


class IssuedKey(Struct, frozen=True, kw_only=True):
    """What is kept of a key. Times are seconds since the epoch.

    ``id`` is public and stands in the key itself, by which it is found; ``digest`` is of all of it. ``expires`` is when
    it stops working, ``revoked`` when it was stopped. ``replaces`` is the key that it was made for. ``endpoints``,
    ``models`` and ``targets`` are globs of what it is for; empty means everything.
    """

    id: str
    digest: bytes
    tenant: str
    subject: str
    name: str = ""
    roles: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    created: float
    expires: float | None = None
    revoked: float | None = None
    used: float | None = None
    replaces: str | None = None

    def works(self, now: float) -> bool:
        return self.revoked is None and (self.expires is None or now < self.expires)

    def __repr__(self) -> str:
        return f"<IssuedKey {self.id} tenant={self.tenant} subject={self.subject}>"


class KeyStore(Protocol):
    """Keeps issued keys. Whatever is done with them is done within a tenant; only ``find`` begins with a key."""

    async def find(self, id: str) -> IssuedKey | None:  # noqa: A002  # the field's own name
        """The key with that id, whether it works or not."""
        ...

    async def add(self, key: IssuedKey) -> None: ...

    async def list(self, tenant: str, subject: str | None = None) -> Sequence[IssuedKey]:
        """The tenant's keys, the newest first; those of ``subject`` only, if one is given."""
        ...

    async def revoke(self, tenant: str, id: str, now: float) -> bool:  # noqa: A002
        """Whether there was such a key that was not revoked yet."""
        ...

    async def rotate(self, tenant: str, id: str, successor: IssuedKey, until: float) -> bool:  # noqa: A002
        """Adds ``successor`` and lets the old key work until then, or as long as it would have, whichever is shorter.
        False, and nothing, where there is no such key that is not revoked."""
        ...

    async def touch(self, used: Mapping[str, float]) -> None:
        """Notes when keys were used last, by their ids; nothing goes back in time."""
        ...
