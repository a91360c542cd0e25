"""Issued keys."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import Q

from asgi_llm.stores.keys import IssuedKey
from asgi_llm_django.models import APIKey
from asgi_llm_django.signals import key_issued, key_revoked

from .desk import Desk

__all__ = ["ORMKeys", "add_key", "change_key", "key_of", "rotate_key"]

_LISTS = ("roles", "endpoints", "models", "targets")


class ORMKeys:
    """Implements ``KeyStore``, and tells of what it does by signals."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def find(self, id: str) -> IssuedKey | None:  # noqa: A002  # as the protocol has it
        return await self._desk.read(_find, id)

    async def add(self, key: IssuedKey) -> None:
        await self._desk.write(add_key, key)
        await key_issued.asend_robust(sender=IssuedKey, key=key, replaced=None)

    async def list(self, tenant: str, subject: str | None = None) -> Sequence[IssuedKey]:
        return await self._desk.read(_list, tenant, subject)

    async def revoke(self, tenant: str, id: str, now: float) -> bool:  # noqa: A002
        if not await self._desk.write(change_key, tenant, id, {"revoked": now}):
            return False
        await key_revoked.asend_robust(sender=IssuedKey, key=await self.find(id))
        return True

    async def rotate(self, tenant: str, id: str, successor: IssuedKey, until: float) -> bool:  # noqa: A002
        if not await self._desk.write(rotate_key, tenant, id, successor, until):
            return False
        await key_issued.asend_robust(sender=IssuedKey, key=successor, replaced=id)
        return True

    async def touch(self, used: Mapping[str, float]) -> None:
        if used:
            await self._desk.write(_touch, used)


def _find(database: str, name: str) -> IssuedKey | None:
    row = APIKey.objects.using(database).filter(pk=name).first()
    return None if row is None else key_of(row)


def add_key(database: str, key: IssuedKey) -> None:
    values: dict[str, Any] = {name: getattr(key, name) for name in key.__struct_fields__}
    lists = {name: list(values[name]) for name in _LISTS}
    APIKey.objects.using(database).create(**{**values, **lists})


def _list(database: str, tenant: str, subject: str | None) -> list[IssuedKey]:
    rows = APIKey.objects.using(database).filter(tenant=tenant).order_by("-created", "id")
    return [key_of(row) for row in (rows if subject is None else rows.filter(subject=subject))]


def change_key(database: str, tenant: str, name: str, values: Mapping[str, Any]) -> bool:
    mine = APIKey.objects.using(database).filter(pk=name, tenant=tenant, revoked=None)
    return bool(mine.update(**values))


def rotate_key(database: str, tenant: str, name: str, successor: IssuedKey, until: float) -> bool:
    expires = APIKey.objects.using(database).filter(pk=name).values_list("expires", flat=True).first()
    if not change_key(database, tenant, name, {"expires": until if expires is None else min(expires, until)}):
        return False
    add_key(database, successor)
    return True


def _touch(database: str, used: Mapping[str, float]) -> None:
    # In one order everywhere, so that no two transactions wait for each other's rows.
    for name, at in sorted(used.items()):
        later = Q(used=None) | Q(used__lt=at)
        APIKey.objects.using(database).filter(later, pk=name).update(used=at)


def key_of(row: APIKey) -> IssuedKey:
    values = {name: getattr(row, name) for name in IssuedKey.__struct_fields__}
    lists = {name: tuple(values[name]) for name in _LISTS}
    return IssuedKey(**{**values, **lists, "digest": bytes(row.digest)})
