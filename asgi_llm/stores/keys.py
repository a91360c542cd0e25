"""Keys that callers may show, found by their SHA-256.

Only digests are held, and a look-up by digest gives nothing away through its duration: to learn a digest byte by byte
one would have to choose digests, and SHA-256 does not let one. No key is ever compared with another as text.
"""

import hashlib
from collections.abc import Iterable

from asgi_llm.identity import Identity
from asgi_llm.settings import KeySettings

__all__ = ["SettingsKeys"]


class SettingsKeys:
    """The keys written in the settings."""

    __slots__ = ("_entries",)

    def __init__(self, keys: Iterable[KeySettings]) -> None:
        self._entries: dict[bytes, Identity] = {}
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
        return self._entries.get(hashlib.sha256(key).digest())
