"""From the settings to stores: what is asked for, and whether what it needs is installed."""

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from asgi_llm.errors import ConfigError, Problem
from asgi_llm.settings import StoreSettings

if TYPE_CHECKING:
    from asgi_llm.stores.sql.database import Database

__all__ = ["database_opener"]

_NEEDS = {
    "sqlite": ("sql", ("sqlalchemy", "aiosqlite", "greenlet")),
    "postgresql": ("postgres", ("sqlalchemy", "asyncpg", "greenlet")),
}


def database_opener(settings: StoreSettings) -> "Callable[[], Database] | None":
    """What opens the SQL database of the settings, for one event loop; None where they name none.

    Raises:
        ConfigError: what it needs is not installed.
    """
    if not settings.address.startswith(("sqlite:", "postgres")):
        return None
    kind = "sqlite" if settings.address.startswith("sqlite:") else "postgresql"
    extra, modules = _NEEDS[kind]
    if any(find_spec(module) is None for module in modules):
        raise ConfigError([Problem("store.url", f'{kind} needs an extra: pip install "asgi-llm[{extra}]"')])
    from .sql.database import Database

    return partial(Database, settings.address, connections=settings.connections, timeout=settings.timeout)
