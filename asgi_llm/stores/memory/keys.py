"""Issued keys of one process, for tests and trying out."""

from collections.abc import Mapping, Sequence

from msgspec import structs

from asgi_llm.stores.keys import IssuedKey

__all__ = ["MemoryKeys"]


class MemoryKeys:
    """Implements ``KeyStore``."""

    def __init__(self) -> None:
        self._keys: dict[str, IssuedKey] = {}

    async def find(self, id: str) -> IssuedKey | None:  # noqa: A002  # as the protocol has it
        return self._keys.get(id)

    async def add(self, key: IssuedKey) -> None:
        self._keys[key.id] = key

    async def list(self, tenant: str, subject: str | None = None) -> Sequence[IssuedKey]:
        found = [key for key in self._keys.values() if key.tenant == tenant and subject in (None, key.subject)]
        return sorted(found, key=lambda key: (-key.created, key.id))

    async def revoke(self, tenant: str, id: str, now: float) -> bool:  # noqa: A002
        key = self._own(tenant, id)
        if key is None:
            return False
        self._keys[id] = structs.replace(key, revoked=now)
        return True

    async def rotate(self, tenant: str, id: str, successor: IssuedKey, until: float) -> bool:  # noqa: A002
        key = self._own(tenant, id)
        if key is None:
            return False
        self._keys[id] = structs.replace(key, expires=until if key.expires is None else min(key.expires, until))
        self._keys[successor.id] = successor
        return True

    async def touch(self, used: Mapping[str, float]) -> None:
        for name, at in used.items():
            key = self._keys.get(name)
            if key is not None:
                self._keys[name] = structs.replace(key, used=max(key.used or 0, at))

    def _own(self, tenant: str, name: str) -> IssuedKey | None:
        key = self._keys.get(name)
        return key if key is not None and key.tenant == tenant and key.revoked is None else None
