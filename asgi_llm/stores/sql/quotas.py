"""Quotas in a SQL database.

A reservation locks its accounts, looks, and writes, in one transaction. SQLite has one writer anyway; in PostgreSQL the
locks are advisory ones on numbers made of the accounts' names, taken in the order of the numbers, so that no two
transactions wait for each other.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Float,
    Index,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from asgi_llm.stores.quotas import GRACE, Balance, Charge, Demand, Verdict

from .connection import WholeConnection
from .database import Database
from .schema import Schema

__all__ = ["SQLQuotas"]

_NAME = 320
"""Characters of the longest name of an account."""
_PURGE = 1000
"""After so many settlements what counts no more is deleted."""

_tables = MetaData()
_spent = Table(
    "asgi_llm_quota_spent",
    _tables,
    Column("account", String(_NAME), primary_key=True),
    Column("slot", BigInteger, primary_key=True, autoincrement=False),
    Column("amount", BigInteger, nullable=False),
    Column("keep", Float, nullable=False, index=True),
)
_held = Table(
    "asgi_llm_quota_held",
    _tables,
    Column("hold", String(128), primary_key=True),
    Column("account", String(_NAME), primary_key=True),
    Column("amount", BigInteger, nullable=False),
    Column("lease", Float, nullable=False),
    Index("ix_asgi_llm_quota_held_account", "account", "lease"),
)


def _first(connection: Connection) -> None:
    _tables.create_all(connection)


SCHEMA = Schema("quotas", (_first,))


class SQLQuotas:
    """Implements ``QuotaStore``. The database is another's to close."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert: Any = sqlite.insert if database.kind == "sqlite" else postgresql.insert
        self._until_purge = _PURGE

    async def reserve(self, hold: str, demands: Sequence[Demand], now: float, lease: float) -> Verdict:
        async with self._database.write(SCHEMA) as connection:
            names = [demand.account for demand in demands]
            await self._lock(connection, names)
            slots, held = await _slots(connection, names), await _sums(connection, names, now)
            balances = []
            for position, demand in enumerate(demands):
                counting = {slot: amount for slot, amount in slots[demand.account].items() if slot >= demand.first}
                balance = Balance(sum(counting.values()), held.get(demand.account, 0))
                balances.append(balance)
                if balance.spent + balance.held + demand.amount > demand.limit:
                    return Verdict(tuple(balances), position, tuple(sorted(counting.items())))
            await self._write(connection, hold, demands, lease)
        return Verdict(tuple(balances))

    async def settle(self, hold: str, charges: Sequence[Charge], now: float) -> bool:
        async with self._database.write(SCHEMA) as connection:
            # Who deletes the rows is who settles: of two at once, the other finds none.
            gone = await connection.execute(delete(_held).where(_held.c.hold == hold))
            if not gone.rowcount:
                return False
            await self._spend(connection, (item for item in charges if item.amount))
            self._until_purge -= 1
            if self._until_purge <= 0:
                self._until_purge = _PURGE
                await connection.execute(delete(_spent).where(_spent.c.keep <= now))
                await connection.execute(delete(_held).where(_held.c.lease <= now - GRACE))
        return True

    async def renew(self, holds: Mapping[str, Sequence[str]], now: float, lease: float) -> None:
        if not holds:
            return
        statement = update(_held).where(_held.c.hold == bindparam("of")).values(lease=lease)
        async with self._database.write(SCHEMA) as connection:
            await connection.execute(statement, [{"of": hold} for hold in sorted(holds)])

    async def balance(self, account: str, first: int, now: float) -> Balance:
        async with self._database.read(SCHEMA) as connection:
            slots = (await _slots(connection, [account]))[account]
            held = (await _sums(connection, [account], now)).get(account, 0)
        return Balance(sum(amount for slot, amount in slots.items() if slot >= first), held)

    async def aclose(self) -> None:
        pass

    async def _lock(self, connection: WholeConnection, names: Iterable[str]) -> None:
        if self._database.kind == "sqlite":
            return
        numbers = [hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names]
        for number in sorted({int.from_bytes(digest, signed=True) for digest in numbers}):
            await connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})

    async def _write(self, connection: WholeConnection, hold: str, demands: Sequence[Demand], lease: float) -> None:
        rows = [
            {"hold": hold, "account": item.account, "amount": item.amount, "lease": lease}
            for item in demands
            if item.held
        ]
        if rows:
            await connection.execute(_held.insert(), rows)
        at_once = (item for item in demands if not item.held)
        await self._spend(connection, (Charge(item.account, item.amount, item.slot, item.keep) for item in at_once))

    async def _spend(self, connection: WholeConnection, charges: Iterable[Charge]) -> None:
        rows = [
            {"account": item.account, "slot": item.slot, "amount": item.amount, "keep": item.keep}
            # In one order everywhere, so that no two transactions wait for each other's rows.
            for item in sorted(charges, key=lambda charge: (charge.account, charge.slot))
        ]
        if rows:
            insert = self._insert(_spent)
            more = {"amount": _spent.c.amount + insert.excluded.amount, "keep": insert.excluded.keep}
            await connection.execute(insert.on_conflict_do_update(index_elements=["account", "slot"], set_=more), rows)


async def _slots(connection: WholeConnection, names: Sequence[str]) -> defaultdict[str, dict[int, int]]:
    found: defaultdict[str, dict[int, int]] = defaultdict(dict)
    rows = await connection.execute(
        select(_spent.c.account, _spent.c.slot, _spent.c.amount).where(_spent.c.account.in_(names))
    )
    for account, slot, amount in rows:
        found[account][slot] = amount
    return found


async def _sums(connection: WholeConnection, names: Sequence[str], now: float) -> dict[str, int]:
    """What is held in each account."""
    statement = (
        select(_held.c.account, func.sum(_held.c.amount))
        .where(_held.c.account.in_(names), _held.c.lease > now)
        .group_by(_held.c.account)
    )
    return {account: int(amount) for account, amount in await connection.execute(statement)}
