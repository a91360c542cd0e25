"""Tables that grow with the versions of this package.

Each store has a schema of its own: a name and the steps that made it what it is. A row for each name says how many
steps its database has taken; whoever comes first takes the rest, while the others wait for its lock.

A step that was ever released is never changed. Steps only add (tables, columns with defaults, indexes), so that
processes of the version before go on working beside those of the new one.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, select, text

__all__ = ["Schema", "Step", "migrate"]

logger = logging.getLogger("asgi_llm.stores")

Step = Callable[[Connection], None]
_LOCK = 0x61736769_6C6C6D  # any number, as long as no other program takes it

_versions = Table(
    "asgi_llm_schema",
    MetaData(),
    Column("name", String(64), primary_key=True),
    Column("version", Integer, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Schema:
    """``name`` is that of a store, ``steps`` what makes its tables, in order."""

    name: str
    steps: tuple[Step, ...]


def migrate(connection: Connection, schema: Schema) -> None:
    """Takes the steps that this database has not taken, within the transaction that ``connection`` is in: a writing
    one, so that SQLite is locked already."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    _versions.create(connection, checkfirst=True)
    taken = connection.scalar(select(_versions.c.version).where(_versions.c.name == schema.name))
    if taken is None:
        connection.execute(_versions.insert().values(name=schema.name, version=0))
    elif taken > len(schema.steps):
        logger.warning("the tables of %s are of a later version of asgi-llm than this process", schema.name)
        return
    for step in schema.steps[taken or 0 :]:
        step(connection)
    if taken != len(schema.steps):
        version = len(schema.steps)
        connection.execute(_versions.update().where(_versions.c.name == schema.name).values(version=version))
