"""From the settings to stores: what is asked for, and whether what it needs is installed."""

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from asgi_llm.errors import ConfigError, Problem
from asgi_llm.settings import Settings, StateSettings, StoreSettings

from .answers import AnswerStore
from .boards import Boards
from .host import HOST_CACHES, HostStores
from .keys import KeyStore
from .lent import LentAnswers
from .memory.answers import MemoryAnswers
from .memory.keys import MemoryKeys
from .memory.quotas import MemoryQuotas
from .quotas import QuotaStore

if TYPE_CHECKING:
    from asgi_llm.stores.sql.database import Database

__all__ = ["answers_opener", "boards_opener", "database_opener", "keys_opener", "quotas_opener"]

QuotasOpener = Callable[["Database | None"], QuotaStore]
KeysOpener = Callable[["Database | None"], KeyStore]

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


def boards_opener(settings: StateSettings, memory: Boards) -> Callable[[], Boards]:
    """What opens the boards of ``[state]``, for one event loop; those in memory are ``memory``, for all loops.

    Raises:
        ConfigError: what it needs is not installed.
    """
    if settings.address == "memory:":
        return lambda: memory
    _need_redis()
    return partial(_redis_boards, settings.address, settings.prefix)


def _need_redis(path: str = "state.url") -> None:
    if find_spec("redis") is None:
        raise ConfigError([Problem(path, 'a Redis needs an extra: pip install "asgi-llm[redis]"')])


def _redis_boards(address: str, prefix: str) -> Boards:
    from .redis.boards import RedisBoards
    from .redis.client import open_redis

    return RedisBoards(open_redis(address), prefix)


def quotas_opener(settings: Settings, memory: MemoryQuotas, host: HostStores | None = None) -> QuotasOpener:
    """What opens the store of quotas for one event loop, given its database: on the Redis of ``[state]`` where there is
    one, else in the ``host``'s database or that of ``[store]``, else in ``memory``, which outlives the settings.

    Raises:
        ConfigError: what it needs is not installed.
    """
    address = settings.state.address
    if address != "memory:":
        _need_redis()
        return partial(_redis_quotas, address, settings.state.prefix)
    return partial(_local_quotas, memory, host)


def _redis_quotas(address: str, prefix: str, _: "Database | None") -> QuotaStore:
    from .redis.client import open_redis
    from .redis.quotas import RedisQuotas

    return RedisQuotas(open_redis(address), f"{prefix}:{{quotas}}:")


def _local_quotas(memory: MemoryQuotas, host: HostStores | None, database: "Database | None") -> QuotaStore:
    if host is not None:
        return host.quotas()
    if database is None:
        return memory
    from .sql.quotas import SQLQuotas

    return SQLQuotas(database)


def answers_opener(
    settings: Settings, memory: MemoryAnswers, lent: LentAnswers | None = None
) -> Callable[[], AnswerStore] | None:
    """What opens the store of answers for one event loop; None where none are kept. ``memory`` outlives the settings,
    and so does the one that is ``lent``, which comes before all others.

    Raises:
        ConfigError: what it needs is not installed, or is no part of this application.
    """
    cache = settings.cache
    if cache is None or not cache.enabled:
        return None
    if lent is not None:
        return lambda: lent
    address = settings.state.address if cache.address == "state" else cache.address
    if address == "memory:":
        memory.most = cache.max_size
        return lambda: memory
    if address == "django":
        if address not in HOST_CACHES:
            raise ConfigError([Problem("cache.url", "django is for gateways inside a Django site; here it is none")])
        return HOST_CACHES[address]
    _need_redis("cache.url" if cache.address == address else "state.url")
    return partial(_redis_answers, address, f"{settings.state.prefix}:answers:")


def _redis_answers(address: str, prefix: str) -> AnswerStore:
    from .redis.answers import RedisAnswers
    from .redis.client import open_redis

    return RedisAnswers(open_redis(address), prefix)


def keys_opener(settings: Settings, memory: MemoryKeys, host: HostStores | None = None) -> KeysOpener | None:
    """What opens the store of issued keys for one event loop, given its database; None where none are issued."""
    if settings.auth.issued is None:
        return None
    return partial(_local_keys, memory, host)


def _local_keys(memory: MemoryKeys, host: HostStores | None, database: "Database | None") -> KeyStore:
    if host is not None:
        return host.keys()
    if database is None:
        return memory
    from .sql.keys import SQLKeys

    return SQLKeys(database)
