"""Proofs of thought in a SQL database. See ``SignatureStore``."""

from collections.abc import Iterable, Mapping

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Float,
    LargeBinary,
    MetaData,
    String,
    Table,
    and_,
    delete,
    insert,
    select,
)

from asgi_llm.stores.scope import Scope

from .database import Database
from .schema import Schema

__all__ = ["SQLSignatures"]

_NAME = 255
_metadata = MetaData()
_signatures = Table(
    "asgi_llm_signatures",
    _metadata,
    Column("tenant", String(_NAME), primary_key=True),
    Column("subject", String(_NAME), primary_key=True),
    Column("call", String(_NAME), primary_key=True),
    Column("expires", Float, nullable=False, index=True),
    Column("data", LargeBinary, nullable=False),
)


def _create(connection: Connection) -> None:
    _metadata.create_all(connection)


_SCHEMA = Schema("signatures", (_create,))


class SQLSignatures:
    """See ``SignatureStore``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def remember(self, scope: Scope, proofs: Mapping[str, bytes], expires: float) -> None:
        known = {name: data for name, data in proofs.items() if len(name) <= _NAME}
        if not known:
            return
        owner = {"tenant": scope.tenant, "subject": scope.subject, "expires": expires}
        rows = [{**owner, "call": name, "data": data} for name, data in known.items()]
        async with self._database.write(_SCHEMA) as connection:
            await connection.execute(delete(_signatures).where(_own(scope), _signatures.c.call.in_(list(known))))
            await connection.execute(insert(_signatures), rows)

    async def recall(self, scope: Scope, call_ids: Iterable[str], now: float) -> dict[str, bytes]:
        named = and_(_own(scope), _signatures.c.call.in_(list(call_ids)), _signatures.c.expires > now)
        async with self._database.read(_SCHEMA) as connection:
            found = await connection.execute(select(_signatures.c.call, _signatures.c.data).where(named))
            return {row.call: row.data for row in found}

    async def forget(self, scope: Scope) -> int:
        return await self._delete(_own(scope))

    async def purge(self, now: float) -> int:
        return await self._delete(_signatures.c.expires <= now)

    async def _delete(self, where: ColumnElement[bool]) -> int:
        async with self._database.write(_SCHEMA) as connection:
            return (await connection.execute(delete(_signatures).where(where))).rowcount


def _own(scope: Scope) -> ColumnElement[bool]:
    return and_(_signatures.c.tenant == scope.tenant, _signatures.c.subject == scope.subject)
