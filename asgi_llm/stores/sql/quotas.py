"""Quotas in a SQL database.

A reservation looks and writes in one transaction. SQLite has one writer anyway; in PostgreSQL it is one call of a
function there (``quota_functions.py``), and the locks are advisory ones on numbers made of the accounts' names, taken
in the order of the numbers, so that no two transactions wait for each other.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

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
    literal,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects import sqlite

from asgi_llm.stores.quotas import GRACE, Balance, Charge, Demand, Verdict

from . import quota_functions
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


SCHEMA = Schema("quotas", (_first, quota_functions.create))


class SQLQuotas:
    """Implements ``QuotaStore``. The database is another's to close."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._until_purge = _PURGE

    async def reserve(self, hold: str, demands: Sequence[Demand], now: float, lease: float) -> Verdict:
        if self._database.kind == "postgresql":
            async with self._database.call(SCHEMA) as connection:
                return await quota_functions.reserve(connection, hold, demands, _locks(demands), now, lease)
        async with self._database.write(SCHEMA) as connection:
            slots, held = await _counts(connection, [demand.account for demand in demands], now)
            balances = []
            for position, demand in enumerate(demands):
                counting = {slot: amount for slot, amount in slots[demand.account].items() if slot >= demand.first}
                balance = Balance(sum(counting.values()), held.get(demand.account, 0))
                balances.append(balance)
                if balance.spent + balance.held + demand.amount > demand.limit:
                    return Verdict(tuple(balances), position, tuple(sorted(counting.items())))
            await _write(connection, hold, demands, lease)
        return Verdict(tuple(balances))

    async def settle(self, hold: str, charges: Sequence[Charge], now: float) -> bool:
        if self._database.kind == "postgresql":
            async with self._database.call(SCHEMA) as connection:
                found = await quota_functions.settle(connection, hold, charges)
        else:
            async with self._database.write(SCHEMA) as connection:
                # Who deletes the rows is who settles: of two at once, the other finds none.
                found = bool((await connection.execute(delete(_held).where(_held.c.hold == hold))).rowcount)
                if found:
                    await _spend(connection, (item for item in charges if item.amount))
        if found:
            await self._purge(now)
        return found

    async def _purge(self, now: float) -> None:
        self._until_purge -= 1
        if self._until_purge > 0:
            return
        self._until_purge = _PURGE
        async with self._database.write(SCHEMA) as connection:
            await connection.execute(delete(_spent).where(_spent.c.keep <= now))
            await connection.execute(delete(_held).where(_held.c.lease <= now - GRACE))

    async def renew(self, holds: Mapping[str, Sequence[str]], now: float, lease: float) -> None:
        if not holds:
            return
        statement = update(_held).where(_held.c.hold == bindparam("of")).values(lease=lease)
        async with self._database.write(SCHEMA) as connection:
            await connection.execute(statement, [{"of": hold} for hold in sorted(holds)])

    async def balance(self, account: str, first: int, now: float) -> Balance:
        async with self._database.read(SCHEMA) as connection:
            slots, held = await _counts(connection, [account], now)
        return Balance(sum(amount for slot, amount in slots[account].items() if slot >= first), held.get(account, 0))

    async def aclose(self) -> None:
        pass


def _locks(demands: Iterable[Demand]) -> list[int]:
    numbers = {hashlib.blake2b(demand.account.encode(), digest_size=8).digest() for demand in demands}
    return sorted(int.from_bytes(digest, signed=True) for digest in numbers)


async def _write(connection: WholeConnection, hold: str, demands: Sequence[Demand], lease: float) -> None:
    rows = [
        {"hold": hold, "account": item.account, "amount": item.amount, "lease": lease} for item in demands if item.held
    ]
    if rows:
        await connection.execute(_held.insert(), rows)
    at_once = (item for item in demands if not item.held)
    await _spend(connection, (Charge(item.account, item.amount, item.slot, item.keep) for item in at_once))


async def _spend(connection: WholeConnection, charges: Iterable[Charge]) -> None:
    rows = [{"account": item.account, "slot": item.slot, "amount": item.amount, "keep": item.keep} for item in charges]
    if rows:
        insert = sqlite.insert(_spent)
        more = {"amount": _spent.c.amount + insert.excluded.amount, "keep": insert.excluded.keep}
        await connection.execute(insert.on_conflict_do_update(index_elements=["account", "slot"], set_=more), rows)


async def _counts(
    connection: WholeConnection, names: Sequence[str], now: float
) -> tuple[defaultdict[str, dict[int, int]], dict[str, int]]:
    """Of each account what is spent, slot by slot, and what is held."""
    spent = select(_spent.c.account, _spent.c.slot, _spent.c.amount).where(_spent.c.account.in_(names))
    held = (
        select(_held.c.account, literal(None, BigInteger), func.sum(_held.c.amount))
        .where(_held.c.account.in_(names), _held.c.lease > now)
        .group_by(_held.c.account)
    )
    slots: defaultdict[str, dict[int, int]] = defaultdict(dict)
    sums: dict[str, int] = {}
    for account, slot, amount in await connection.execute(union_all(spent, held)):
        if slot is None:
            sums[account] = int(amount)
        else:
            slots[account][slot] = int(amount)
    return slots, sums
