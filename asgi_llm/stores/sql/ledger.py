"""The ledger in a SQL database: one table, from which nothing is ever changed.

A database that refuses one row refuses its whole batch: that is for the writer to sort out.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    MetaData,
    Select,
    Table,
    Text,
    and_,
    case,
    func,
    literal_column,
    or_,
    select,
    true,
    tuple_,
)
from sqlalchemy.dialects import postgresql, sqlite

from asgi_llm.metering.row import COUNTS, Row
from asgi_llm.stores.ledger import DAY, EVERYTHING, SUMMED, Cursor, Dimension, Query, Sum
from asgi_llm.stores.owner import Owner

from .database import Database
from .schema import Schema

__all__ = ["LEDGER", "SQLLedger"]

_FIELDS = Row.__struct_fields__
_JSON = ("server_tools", "flags", "tools_offered", "tools_used", "warnings")
_EQUAL = ("model", "served", "target", "subject", "tenant", "key_id", "outcome")


_TEXT = Text().with_variant(Text(collation="C"), "postgresql")
"""Compared by its bytes, as everywhere else; by other rules pages and groups had another order in each database."""


def _text(name: str, *, needed: bool = False) -> Column[str]:
    return Column(name, _TEXT, nullable=not needed)


def _number(name: str) -> Column[int]:
    return Column(name, BigInteger)


_ledger = Table(
    "asgi_llm_ledger",
    MetaData(),
    Column("id", _TEXT, primary_key=True),
    Column("at", BigInteger, nullable=False),
    _text("tenant", needed=True),
    _text("subject", needed=True),
    _text("key_id"),
    _text("endpoint", needed=True),
    _text("dialect", needed=True),
    _text("upstream_dialect"),
    _text("mode"),
    Column("stream", Boolean, nullable=False),
    _text("model"),
    _text("served"),
    _text("target"),
    _text("worker"),
    Column("attempts", Integer, nullable=False),
    Column("status", Integer, nullable=False),
    _text("outcome", needed=True),
    _text("error"),
    _text("finish"),
    *map(_number, ("fresh", "cache_read", "cache_write", "cache_write_5m", "cache_write_1h")),
    *map(_number, ("visible", "reasoning", "tool_prompt", "audio_in", "audio_out")),
    _text("server_tools"),
    Column("estimated", Boolean, nullable=False),
    _number("cost"),
    _text("cost_source"),
    _number("market"),
    _number("reported"),
    _text("flags"),
    _number("first_byte_ms"),
    Column("total_ms", BigInteger, nullable=False),
    _text("tools_offered"),
    _text("tools_used"),
    _text("warnings"),
    Index("asgi_llm_ledger_at", "at"),
    Index("asgi_llm_ledger_owner", "tenant", "subject", "at"),
)


def _make(connection: Connection) -> None:
    _ledger.create(connection)


LEDGER = Schema("ledger", (_make,))


class SQLLedger:
    """See ``Ledger``. The database is not its own, and stays open."""

    __slots__ = ("_database",)

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, rows: Sequence[Row]) -> None:
        if not rows:
            return
        insert = postgresql.insert if self._database.kind == "postgresql" else sqlite.insert
        statement = insert(_ledger).on_conflict_do_nothing(index_elements=["id"])
        async with self._database.write(LEDGER) as connection:
            await connection.execute(statement, [_written(row) for row in rows])

    async def rows(
        self, owner: Owner, query: Query = EVERYTHING, *, limit: int = 100, after: Cursor | None = None
    ) -> list[Row]:
        statement = select(*(_ledger.c[name] for name in _FIELDS)).where(_matches(owner, query))
        if after is not None:
            statement = statement.where(tuple_(_ledger.c.at, _ledger.c.id) < tuple_(*after))
        statement = statement.order_by(_ledger.c.at.desc(), _ledger.c.id.desc()).limit(limit)
        async with self._database.read(LEDGER) as connection:
            return [_read(found) for found in await connection.execute(statement)]

    async def sums(
        self,
        owner: Owner,
        by: Sequence[Dimension] = (),
        query: Query = EVERYTHING,
        *,
        limit: int = 1000,
        offset: int = 0,
    ) -> list[Sum]:
        statement = self._sums(owner, by, query).limit(limit).offset(offset)
        async with self._database.read(LEDGER) as connection:
            return [_summed(by, dict(found)) for found in (await connection.execute(statement)).mappings()]

    async def aclose(self) -> None:
        return None

    @staticmethod
    def _sums(owner: Owner, by: Sequence[Dimension], query: Query) -> Select[Any]:
        keys = [_dimension(name).label(f"by_{name}") for name in by]
        statement = select(*keys, *_sums()).where(_matches(owner, query))
        return statement.group_by(*keys).order_by(*(key.nulls_first() for key in keys)) if keys else statement


def _written(row: Row) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in _FIELDS}
    for name in _JSON:
        if values[name] is not None:
            values[name] = msgspec.json.encode(values[name]).decode()
    return values


def _read(found: Iterable[Any]) -> Row:
    values = dict(zip(_FIELDS, found, strict=True))
    for name in _JSON:
        if values[name] is not None:
            values[name] = msgspec.json.decode(values[name])
    return msgspec.convert(values, Row)


def _matches(owner: Owner, query: Query) -> ColumnElement[bool]:
    columns = _ledger.c
    said: list[ColumnElement[bool]] = []
    if owner.tenant is not None:
        said.append(columns.tenant == owner.tenant)
    if owner.subject is not None:
        said.append(columns.subject == owner.subject)
    if query.since is not None:
        said.append(columns.at >= query.since)
    if query.until is not None:
        said.append(columns.at < query.until)
    said += [columns[name] == value for name in _EQUAL if (value := getattr(query, name)) is not None]
    return and_(true(), *said)


def _dimension(name: Dimension) -> ColumnElement[Any]:
    # Written out: as parameters the two would be different expressions to the database, in its list and its groups.
    return _ledger.c.at.op("/")(literal_column(str(DAY))) if name == "day" else _ledger.c[name]


def _sums() -> list[ColumnElement[Any]]:
    columns = _ledger.c
    used = or_(*(func.coalesce(columns[name], 0) > 0 for name in COUNTS))
    counted = {
        "requests": func.count(),
        "failed": _count(columns.outcome != "ok"),
        "unpriced": _count(and_(columns.cost.is_(None), used)),
        "estimated": _count(columns.estimated),
    }
    summed = {name: func.coalesce(func.sum(columns[name]), 0) for name in SUMMED}
    return [value.label(name) for name, value in (counted | summed).items()]


def _count(said: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((said, 1), else_=0)), 0)


def _summed(by: Sequence[Dimension], found: dict[str, Any]) -> Sum:
    group: dict[str, str | None] = {name: _shown(name, found.pop(f"by_{name}")) for name in by}
    return Sum(group=group, **{name: int(value) for name, value in found.items()})


def _shown(name: Dimension, value: Any) -> str | None:
    if name == "day":
        return dt.datetime.fromtimestamp(int(value) * DAY // 1000, dt.UTC).date().isoformat()
    return None if value is None else str(value)
