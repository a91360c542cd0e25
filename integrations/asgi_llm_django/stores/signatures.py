"""Proofs of thought."""

from collections.abc import Iterable, Mapping

from asgi_llm.stores.scope import Scope
from asgi_llm_django.models import Signature

from .desk import Desk

__all__ = ["ORMSignatures", "forget"]

_NAME = 255


class ORMSignatures:
    """Implements ``SignatureStore``."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def remember(self, scope: Scope, proofs: Mapping[str, bytes], expires: float) -> None:
        known = {name: data for name, data in proofs.items() if len(name) <= _NAME}
        if known:
            await self._desk.write(_remember, scope, known, expires)

    async def recall(self, scope: Scope, call_ids: Iterable[str], now: float) -> dict[str, bytes]:
        names = list(call_ids)
        return await self._desk.read(_recall, scope, names, now) if names else {}

    async def forget(self, scope: Scope) -> int:
        return await self._desk.write(forget, scope)

    async def purge(self, now: float) -> int:
        return await self._desk.write(_purge, now)


def _remember(database: str, scope: Scope, proofs: Mapping[str, bytes], expires: float) -> None:
    owner = {"tenant": scope.tenant, "subject": scope.subject}
    rows = [Signature(**owner, call=name, expires=expires, data=data) for name, data in sorted(proofs.items())]
    Signature.objects.using(database).bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["tenant", "subject", "call"],
        update_fields=["expires", "data"],
    )


def _recall(database: str, scope: Scope, names: list[str], now: float) -> dict[str, bytes]:
    found = Signature.objects.using(database).filter(
        tenant=scope.tenant, subject=scope.subject, call__in=names, expires__gt=now
    )
    return {call: bytes(data) for call, data in found.values_list("call", "data")}


def forget(database: str, scope: Scope) -> int:
    """Deletes all of the scope's; how many."""
    gone, _ = Signature.objects.using(database).filter(tenant=scope.tenant, subject=scope.subject).delete()
    return gone


def _purge(database: str, now: float) -> int:
    gone, _ = Signature.objects.using(database).filter(expires__lte=now).delete()
    return gone
