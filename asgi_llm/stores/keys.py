"""Keys that callers may show, found by their SHA-256.

A look-up by digest gives nothing away through its duration: to learn a digest byte by byte one would have to choose
digests, and SHA-256 does not let one. Keys that were shown and found good are remembered under their (randomised)
hash, which does not let one either: their texts are compared only where 64 bits of it agree.
"""

import hashlib
from collections.abc import Iterable

from asgi_llm.identity import Identity
from asgi_llm.settings import KeySettings

__all__ = ["SettingsKeys"]


class SettingsKeys:
    """The keys written in the settings."""

    __slots__ = ("_entries", "_shown")

    def __init__(self, keys: Iterable[KeySettings]) -> None:
        self._entries: dict[bytes, Identity] = {}
        self._shown: dict[bytes, Identity] = {}
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

    def find(self, key: bytes) -> Identity | None:
        """Whose key this is, or None."""
        identity = self._shown.get(key)
        if identity is None:
            identity = self._entries.get(hashlib.sha256(key).digest())
            if identity is not None:
                self._shown[key] = identity
        return identity
