"""Quotas: a reservation locks its accounts, looks, and writes, in one transaction.

SQLite has one writer anyway; in PostgreSQL the locks are advisory ones on numbers made of the accounts' names, taken in
the order of the numbers, so that no two transactions wait for each other.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from django.db import connections
from django.db.models import Sum

from asgi_llm.stores.quotas import GRACE, Balance, Charge, Demand, Verdict
from asgi_llm_django.models import QuotaHold, QuotaSpent

from .desk import Desk

__all__ = ["ORMQuotas"]

_PURGE = 1000
"""After so many settlements what counts no more is deleted."""
_ADD = (
    "INSERT INTO asgi_llm_quotaspent (account, slot, amount, keep) VALUES (%s, %s, %s, %s) "
    "ON CONFLICT (account, slot) DO UPDATE "
    "SET amount = asgi_llm_quotaspent.amount + excluded.amount, keep = excluded.keep"
)
"""Adds in one statement, which the ORM cannot say."""


class ORMQuotas:
    """Implements ``QuotaStore``."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._until_purge = _PURGE

    async def reserve(self, hold: str, demands: Sequence[Demand], now: float, lease: float) -> Verdict:
        return await self._desk.write(_reserve, hold, demands, now, lease)

    async def settle(self, hold: str, charges: Sequence[Charge], now: float) -> bool:
        if not await self._desk.write(_settle, hold, charges):
            return False
        self._until_purge -= 1
        if self._until_purge <= 0:
            self._until_purge = _PURGE
            await self._desk.write(_purge, now)
        return True

    async def renew(self, holds: Mapping[str, Sequence[str]], now: float, lease: float) -> None:
        if holds:
            await self._desk.write(_renew, sorted(holds), lease)

    async def balance(self, account: str, first: int, now: float) -> Balance:
        return await self._desk.read(_balance, account, first, now)

    async def aclose(self) -> None:
        """Its threads belong to the process."""


def _reserve(database: str, hold: str, demands: Sequence[Demand], now: float, lease: float) -> Verdict:
    names = [demand.account for demand in demands]
    _lock(database, names)
    slots, held = _slots(database, names), _held(database, names, now)
    balances = []
    for position, demand in enumerate(demands):
        counting = {slot: amount for slot, amount in slots[demand.account].items() if slot >= demand.first}
        balance = Balance(sum(counting.values()), held.get(demand.account, 0))
        balances.append(balance)
        if balance.spent + balance.held + demand.amount > demand.limit:
            return Verdict(tuple(balances), position, tuple(sorted(counting.items())))
    QuotaHold.objects.using(database).bulk_create(
        [QuotaHold(hold=hold, account=item.account, amount=item.amount, lease=lease) for item in demands if item.held]
    )
    _spend(database, [Charge(item.account, item.amount, item.slot, item.keep) for item in demands if not item.held])
    return Verdict(tuple(balances))


def _settle(database: str, hold: str, charges: Sequence[Charge]) -> bool:
    # Who deletes the rows is who settles: of two at once, the other finds none.
    gone, _ = QuotaHold.objects.using(database).filter(hold=hold).delete()
    if gone:
        _spend(database, [item for item in charges if item.amount])
    return bool(gone)


def _renew(database: str, holds: Sequence[str], lease: float) -> None:
    for hold in holds:
        QuotaHold.objects.using(database).filter(hold=hold).update(lease=lease)


def _balance(database: str, account: str, first: int, now: float) -> Balance:
    slots = _slots(database, [account])[account]
    held = _held(database, [account], now).get(account, 0)
    return Balance(sum(amount for slot, amount in slots.items() if slot >= first), held)


def _purge(database: str, now: float) -> None:
    QuotaSpent.objects.using(database).filter(keep__lte=now).delete()
    QuotaHold.objects.using(database).filter(lease__lte=now - GRACE).delete()


def _lock(database: str, names: Iterable[str]) -> None:
    if connections[database].vendor != "postgresql":
        return
    digests = (hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names)
    with connections[database].cursor() as cursor:
        for number in sorted({int.from_bytes(digest, "big", signed=True) for digest in digests}):
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [number])


def _spend(database: str, charges: Sequence[Charge]) -> None:
    # In one order everywhere, so that no two transactions wait for each other's rows.
    rows = sorted((item.account, item.slot, item.amount, item.keep) for item in charges)
    if rows:
        with connections[database].cursor() as cursor:
            cursor.executemany(_ADD, rows)


def _slots(database: str, names: Sequence[str]) -> defaultdict[str, dict[int, int]]:
    found: defaultdict[str, dict[int, int]] = defaultdict(dict)
    rows = QuotaSpent.objects.using(database).filter(account__in=names)
    for account, slot, amount in rows.values_list("account", "slot", "amount"):
        found[account][slot] = amount
    return found


def _held(database: str, names: Sequence[str], now: float) -> dict[str, int]:
    """What is held in each account."""
    rows = QuotaHold.objects.using(database).filter(account__in=names, lease__gt=now)
    return {account: int(held) for account, held in rows.values_list("account").annotate(Sum("amount"))}
