"""What PostgreSQL does about quotas in one statement: look at all accounts, and write, with their locks held no longer
than that takes there, and not while answers travel.

A function that was ever released is never changed: another one gets another name, for processes of the version before
go on calling this one.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Boolean, Connection, Double, String, TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from asgi_llm.stores.quotas import Balance, Charge, Demand, Verdict

from .connection import WholeConnection

__all__ = ["create", "reserve", "settle"]

# Each statement in it sees what was committed before it begins, and so, behind the locks, what the others wrote.
_RESERVE = """
CREATE FUNCTION asgi_llm_quota_reserve(
  hold varchar, instant double precision, until double precision, locks bigint[], accounts varchar[],
  amounts bigint[], limits bigint[], firsts bigint[], slots bigint[], keeps double precision[], holds boolean[],
  OUT refused integer, OUT spent bigint[], OUT held bigint[], OUT known bigint[], OUT counted bigint[]
) LANGUAGE plpgsql AS $$
DECLARE
  used numeric;
  kept numeric;
BEGIN
  FOR number IN 1 .. cardinality(locks) LOOP
    PERFORM pg_advisory_xact_lock(locks[number]);
  END LOOP;
  FOR number IN 1 .. cardinality(accounts) LOOP
    SELECT coalesce(sum(s.amount), 0) INTO used FROM asgi_llm_quota_spent s
      WHERE s.account = accounts[number] AND s.slot >= firsts[number];
    SELECT coalesce(sum(h.amount), 0) INTO kept FROM asgi_llm_quota_held h
      WHERE h.account = accounts[number] AND h.lease > instant;
    spent := spent || used::bigint;
    held := held || kept::bigint;
    IF used + kept + amounts[number] > limits[number] THEN
      refused := number - 1;
      SELECT array_agg(s.slot ORDER BY s.slot), array_agg(s.amount ORDER BY s.slot) INTO known, counted
        FROM asgi_llm_quota_spent s WHERE s.account = accounts[number] AND s.slot >= firsts[number];
      RETURN;
    END IF;
  END LOOP;
  INSERT INTO asgi_llm_quota_held (hold, account, amount, lease)
    SELECT hold, n.account, n.amount, until FROM unnest(accounts, amounts, holds) AS n(account, amount, waits)
    WHERE n.waits;
  INSERT INTO asgi_llm_quota_spent AS s (account, slot, amount, keep)
    SELECT n.account, n.slot, n.amount, n.keep
    FROM unnest(accounts, amounts, slots, keeps, holds) AS n(account, amount, slot, keep, waits)
    WHERE NOT n.waits ORDER BY n.account, n.slot
    ON CONFLICT (account, slot) DO UPDATE SET amount = s.amount + excluded.amount, keep = excluded.keep;
END $$
"""

_SETTLE = """
CREATE FUNCTION asgi_llm_quota_settle(
  settled varchar, accounts varchar[], amounts bigint[], slots bigint[], keeps double precision[]
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  -- Who deletes the rows is who settles: of two at once, the other finds none.
  DELETE FROM asgi_llm_quota_held h WHERE h.hold = settled;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  INSERT INTO asgi_llm_quota_spent AS s (account, slot, amount, keep)
    SELECT n.account, n.slot, n.amount, n.keep
    FROM unnest(accounts, amounts, slots, keeps) AS n(account, amount, slot, keep)
    WHERE n.amount <> 0 ORDER BY n.account, n.slot
    ON CONFLICT (account, slot) DO UPDATE SET amount = s.amount + excluded.amount, keep = excluded.keep;
  RETURN true;
END $$
"""


def create(connection: Connection) -> None:
    """Where the database is a PostgreSQL."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_RESERVE)
        connection.exec_driver_sql(_SETTLE)


def _call(beginning: str, name: str, **types: Any) -> TextClause:
    arguments = ", ".join(f":{argument}" for argument in types)
    named = [bindparam(argument, type_=kind) for argument, kind in types.items()]
    return text(f"{beginning} {name}({arguments})").bindparams(*named)


_NUMBERS, _TIMES, _NAMES = ARRAY(BigInteger), ARRAY(Double), ARRAY(String)
_reserve = _call(
    "SELECT * FROM", "asgi_llm_quota_reserve", hold=String, now=Double, until=Double, locks=_NUMBERS, accounts=_NAMES,
    amounts=_NUMBERS, limits=_NUMBERS, firsts=_NUMBERS, slots=_NUMBERS, keeps=_TIMES, holds=ARRAY(Boolean),
)  # fmt: skip
_settle = _call(
    "SELECT", "asgi_llm_quota_settle", hold=String, accounts=_NAMES, amounts=_NUMBERS, slots=_NUMBERS, keeps=_TIMES
)


async def reserve(
    connection: WholeConnection, hold: str, demands: Sequence[Demand], locks: list[int], now: float, lease: float
) -> Verdict:
    """As ``QuotaStore.reserve``, with ``locks`` taken in their order."""
    told = await connection.execute(
        _reserve,
        {
            "hold": hold,
            "now": now,
            "until": lease,
            "locks": locks,
            "accounts": [item.account for item in demands],
            "amounts": [item.amount for item in demands],
            "limits": [item.limit for item in demands],
            "firsts": [item.first for item in demands],
            "slots": [item.slot for item in demands],
            "keeps": [item.keep for item in demands],
            "holds": [item.held for item in demands],
        },
    )
    refused, spent, held, known, counted = told.one()
    balances = tuple(Balance(*pair) for pair in zip(spent, held, strict=True))
    return Verdict(balances, refused, tuple(zip(known or (), counted or (), strict=True)))


async def settle(connection: WholeConnection, hold: str, charges: Sequence[Charge]) -> bool:
    """As ``QuotaStore.settle``."""
    told = await connection.scalar(
        _settle,
        {
            "hold": hold,
            "accounts": [item.account for item in charges],
            "amounts": [item.amount for item in charges],
            "slots": [item.slot for item in charges],
            "keeps": [item.keep for item in charges],
        },
    )
    return bool(told)
