"""Issued keys in a SQL database."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    Column,
    Connection,
    Float,
    LargeBinary,
    MetaData,
    RowMapping,
    String,
    Table,
    Text,
    bindparam,
    or_,
    select,
    update,
)

from asgi_llm.stores.keys import IssuedKey

from .connection import WholeConnection
from .database import Database
from .schema import Schema

__all__ = ["SQLKeys"]

_NAME = 255
_tables = MetaData()
_keys = Table(
    "asgi_llm_keys",
    _tables,
    Column("id", String(64), primary_key=True),
    Column("digest", LargeBinary(32), nullable=False),
    Column("tenant", String(_NAME), nullable=False, index=True),
    Column("subject", String(_NAME), nullable=False),
    Column("name", String(_NAME), nullable=False),
    Column("roles", Text, nullable=False),
    Column("endpoints", Text, nullable=False),
    Column("models", Text, nullable=False),
    Column("targets", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("expires", Float),
    Column("revoked", Float),
    Column("used", Float),
    Column("replaces", String(64)),
)
_LISTS = ("roles", "endpoints", "models", "targets")


def _first(connection: Connection) -> None:
    _tables.create_all(connection)


SCHEMA = Schema("keys", (_first,))


class SQLKeys:
    """Implements ``KeyStore``. The database is another's to close."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, id: str) -> IssuedKey | None:  # noqa: A002  # as the protocol has it
        async with self._database.read(SCHEMA) as connection:
            row = (await connection.execute(select(_keys).where(_keys.c.id == id))).mappings().first()
        return None if row is None else _key(row)

    async def add(self, key: IssuedKey) -> None:
        async with self._database.write(SCHEMA) as connection:
            await connection.execute(_keys.insert().values(_row(key)))

    async def list(self, tenant: str, subject: str | None = None) -> Sequence[IssuedKey]:
        statement = select(_keys).where(_keys.c.tenant == tenant).order_by(_keys.c.created.desc(), _keys.c.id)
        if subject is not None:
            statement = statement.where(_keys.c.subject == subject)
        async with self._database.read(SCHEMA) as connection:
            return [_key(row) for row in (await connection.execute(statement)).mappings()]

    async def revoke(self, tenant: str, id: str, now: float) -> bool:  # noqa: A002
        async with self._database.write(SCHEMA) as connection:
            return await _change(connection, tenant, id, {"revoked": now})

    async def rotate(self, tenant: str, id: str, successor: IssuedKey, until: float) -> bool:  # noqa: A002
        async with self._database.write(SCHEMA) as connection:
            expires = await connection.scalar(select(_keys.c.expires).where(_keys.c.id == id))
            sooner = until if expires is None else min(expires, until)
            if not await _change(connection, tenant, id, {"expires": sooner}):
                return False
            await connection.execute(_keys.insert().values(_row(successor)))
        return True

    async def touch(self, used: Mapping[str, float]) -> None:
        if not used:
            return
        later = or_(_keys.c.used.is_(None), _keys.c.used < bindparam("at"))
        statement = update(_keys).where(_keys.c.id == bindparam("of"), later).values(used=bindparam("at"))
        async with self._database.write(SCHEMA) as connection:
            await connection.execute(statement, [{"of": name, "at": at} for name, at in sorted(used.items())])


async def _change(connection: WholeConnection, tenant: str, name: str, values: Mapping[str, Any]) -> bool:
    mine = (_keys.c.id == name, _keys.c.tenant == tenant, _keys.c.revoked.is_(None))
    done = await connection.execute(update(_keys).where(*mine).values(**values))
    return bool(done.rowcount)


def _row(key: IssuedKey) -> dict[str, Any]:
    row = {name: getattr(key, name) for name in key.__struct_fields__}
    return row | {name: msgspec.json.encode(row[name]).decode() for name in _LISTS}


def _key(row: RowMapping) -> IssuedKey:
    lists = {name: tuple(msgspec.json.decode(row[name])) for name in _LISTS}
    return IssuedKey(**{**row, "digest": bytes(row["digest"]), **lists})
