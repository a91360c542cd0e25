"""Whether the gateway's tables are there, where they are to be kept in the project's database."""

import logging

from django.db import connections
from django.db.migrations.loader import MigrationLoader

from .stores.desk import Desk

__all__ = ["check_at_start", "missing_migrations", "unfit"]

logger = logging.getLogger("asgi_llm.stores")

RUN = "run manage.py migrate asgi_llm"


def unfit(database: str) -> str | None:
    """Why the tables cannot be in that database; None where they can."""
    connection = connections[database]
    if connection.vendor not in ("sqlite", "postgresql"):
        return f'the database "{database}" is neither SQLite nor PostgreSQL'
    if connection.vendor == "sqlite" and connection.settings_dict["NAME"] == ":memory:":
        return f'the database "{database}" is in memory, where each thread has one of its own'
    return None


def missing_migrations(database: str) -> list[str]:
    """Migrations of the gateway's tables that were not applied there. Asks the database."""
    loader = MigrationLoader(connections[database])
    applied = loader.applied_migrations or {}
    return sorted(
        name for app, name in loader.disk_migrations or () if app == "asgi_llm" and (app, name) not in applied
    )


async def check_at_start() -> None:
    """Says in the log what would fail later on. Never raises, and waits for a few seconds at most."""
    try:
        missing = await Desk().read(missing_migrations)
    except Exception as error:  # noqa: BLE001  # whatever a database or its driver raises; requests will tell more
        logger.warning("the database of the gateway does not answer: %s", error.__cause__ or error)
        return
    if missing:
        logger.error("tables of the gateway are missing (%s): %s", ", ".join(missing), RUN)
