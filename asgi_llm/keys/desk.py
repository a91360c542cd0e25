"""Issuing keys: what ``gateway.keys`` is."""

from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct, structs

from asgi_llm.errors import ConfigError, Problem
from asgi_llm.routing.catalog import compile_glob
from asgi_llm.stores.keys import IssuedKey

from .ring import KeyRing
from .token import mint

__all__ = ["KeyDesk", "NewKey"]


class NewKey(Struct, frozen=True):
    """A key that was just made. ``text`` is what callers show: it is told here and never again."""

    text: str
    key: IssuedKey

    def __repr__(self) -> str:
        return f"<NewKey {self.key.id}>"


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
        for said in (subject, tenant):
            if not 0 < len(said) < 256:
                raise ValueError("subject and tenant must have from 1 to 255 characters")
        ring = self._open()
        now, (id_, text) = ring.clock(), mint(ring.settings.prefix)
        scopes = [tuple(globs) for globs in (endpoints, models, targets)]
        for pattern in (pattern for globs in scopes for pattern in globs):
            compile_glob(pattern)
        key = IssuedKey(
            id=id_,
            digest=ring.digest(text),
            tenant=tenant,
            subject=subject,
            name=name[:255],
            roles=tuple(roles),
            endpoints=scopes[0],
            models=scopes[1],
            targets=scopes[2],
            created=now,
            expires=None if lifetime is None else now + lifetime,
        )
        await ring.store.add(key)
        ring.forget(id_)
        return NewKey(text, key)

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
        id_, text = mint(ring.settings.prefix)
        lifetime = None if old.expires is None else old.expires - old.created
        key = structs.replace(
            old,
            id=id_,
            digest=ring.digest(text),
            created=now,
            expires=None if lifetime is None else now + lifetime,
            used=None,
            replaces=old.id,
        )
        if not await ring.store.rotate(tenant, id, key, now + overlap):
            return None
        ring.forget(id)
        ring.forget(id_)
        return NewKey(text, key)

    def _open(self) -> KeyRing:
        ring = self._ring()
        if ring is None:
            raise ConfigError([Problem("auth.issued", "is not set, so that no keys are issued")])
        return ring
