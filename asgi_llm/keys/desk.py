"""Issuing keys: what ``gateway.keys`` is."""

from collections.abc import Callable, Iterable, Sequence

from asgi_llm.errors import ConfigError, Problem
from asgi_llm.stores.keys import IssuedKey

from .issue import NewKey, new_key, successor_of
from .ring import KeyRing

__all__ = ["KeyDesk", "NewKey"]


class KeyDesk:
    """Issues keys and looks after them. Every method raises ``StoreError`` where the store does not answer, and
    ``ConfigError`` where no keys are issued (``auth.issued``)."""

    __slots__ = ("_ring",)

    def __init__(self, ring: Callable[[], KeyRing | None]) -> None:
        self._ring = ring

    async def create(
        self,
        subject: str,
        *,
        tenant: str = "default",
        name: str = "",
        roles: Iterable[str] = (),
        endpoints: Iterable[str] = (),
        models: Iterable[str] = (),
        targets: Iterable[str] = (),
        lifetime: float | None = None,
    ) -> NewKey:
        """A new key for ``subject``. ``endpoints``, ``models`` and ``targets`` are globs of what it is for, by default
        everything; ``lifetime`` is in seconds.

        Raises:
            ValueError: no subject, no tenant, or one of them is too long.
        """
        ring = self._open()
        new = new_key(
            ring.settings,
            ring.clock(),
            subject,
            tenant=tenant,
            name=name,
            roles=roles,
            endpoints=endpoints,
            models=models,
            targets=targets,
            lifetime=lifetime,
        )
        await ring.store.add(new.key)
        ring.forget(new.key.id)
        return new

    async def list(self, tenant: str = "default", subject: str | None = None) -> Sequence[IssuedKey]:
        """The tenant's keys, the newest first; without their texts, which nobody knows."""
        return await self._open().store.list(tenant, subject)

    async def revoke(self, id: str, tenant: str = "default") -> bool:  # noqa: A002  # what users call it
        """Stops a key: here at once, in other processes within ``auth.issued.fresh`` seconds. Whether there was one."""
        ring = self._open()
        done = await ring.store.revoke(tenant, id, ring.clock())
        ring.forget(id)
        return done

    async def rotate(self, id: str, tenant: str = "default", *, overlap: float = 86400) -> NewKey | None:  # noqa: A002
        """A new key for the same, in place of one that goes on working for ``overlap`` seconds. None where there is no
        such key that works."""
        ring = self._open()
        now = ring.clock()
        old = await ring.store.find(id)
        if old is None or old.tenant != tenant or not old.works(now):
            return None
        new = successor_of(ring.settings, now, old)
        if not await ring.store.rotate(tenant, id, new.key, now + overlap):
            return None
        ring.forget(id)
        ring.forget(new.key.id)
        return new

    def _open(self) -> KeyRing:
        ring = self._ring()
        if ring is None:
            raise ConfigError([Problem("auth.issued", "is not set, so that no keys are issued")])
        return ring
