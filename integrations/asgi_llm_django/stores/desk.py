"""Where the ORM works for the gateway: in a few threads of its own, a transaction at a time.

Not in the threads of requests: their work goes one by one, holds what middleware has opened, and ends with them. What
``CONN_MAX_AGE`` and the options of the database say about connections holds for these threads as for those of requests,
so that none is held while a model talks unless the project wants it kept.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, ParamSpec, TypeVar

from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    close_old_connections,
    connections,
    router,
    transaction,
)

from asgi_llm.errors import StoreError

__all__ = ["Desk", "alias"]

logger = logging.getLogger("asgi_llm.stores")

P = ParamSpec("P")
T = TypeVar("T")

_pools: dict[int, ThreadPoolExecutor] = {}
_QUIET = 30.0
"""Seconds between two lines in the log about the same."""
_told = float("-inf")


def alias() -> str:
    """The name of the database that the tables are in."""
    from asgi_llm_django.models import Usage

    return router.db_for_write(Usage)


class Desk:
    """Runs work with the ORM for code in an event loop; any number of loops may share it.

    Args:
        threads: most of them that work at the same time, and so most connections. Desks with as many share them.
        timeout: seconds to wait for a thread and its work.
    """

    __slots__ = ("_threads", "_timeout")

    def __init__(self, threads: int = 5, timeout: float = 5) -> None:
        self._threads = threads
        self._timeout = timeout

    async def read(self, work: Callable[Concatenate[str, P], T], *arguments: P.args, **options: P.kwargs) -> T:
        """What ``work`` returns, given the name of the database.

        Raises:
            StoreError: the database does not work, or takes too long.
        """
        return await self._run(lambda: work(alias(), *arguments, **options))

    async def write(self, work: Callable[Concatenate[str, P], T], *arguments: P.args, **options: P.kwargs) -> T:
        """The same in a transaction, which any exception undoes.

        Raises:
            StoreError: the database does not work, or takes too long. Whether it was done is not known then.
        """

        def written() -> T:
            name = alias()
            with _writing(name):
                return work(name, *arguments, **options)

        return await self._run(written)

    async def _run(self, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout):
                return await loop.run_in_executor(_pool(self._threads), _done, work)
        except TimeoutError as error:
            raise StoreError from error
        except RuntimeError as error:
            # The process ends, and takes no more work.
            if "shutdown" in str(error):
                raise StoreError from error
            raise


def _done(work: Callable[[], T]) -> T:
    close_old_connections()
    try:
        return work()
    except (OperationalError, InterfaceError, ProgrammingError) as error:
        if isinstance(error, ProgrammingError | OperationalError) and _is_mistake(error):
            _tell_of_migrations()
        raise StoreError from error
    except (DataError, IntegrityError):
        raise  # a row that cannot be: that is for whoever wrote it
    except DatabaseError as error:
        raise StoreError from error
    finally:
        close_old_connections()


def _writing(name: str) -> transaction.Atomic:
    connection = connections[name]
    if connection.vendor == "sqlite":
        # Who only later finds out that it writes would be refused instead of waiting for the lock.
        connection.ensure_connection()
        connection.transaction_mode = "IMMEDIATE"  # type: ignore[attr-defined]  # SQLite's has it
    return transaction.atomic(using=name)


def _is_mistake(error: Exception) -> bool:
    """Whether a table or column is missing."""
    said = str(error).lower()
    return any(words in said for words in ("no such table", "no such column", "has no column", "does not exist"))


def _tell_of_migrations() -> None:
    global _told
    now = time.monotonic()
    if now - _told < _QUIET:
        return
    _told = now
    logger.error("tables of the gateway are missing or of another version: run manage.py migrate asgi_llm")


def _pool(threads: int) -> ThreadPoolExecutor:
    pool = _pools.get(threads)
    if pool is None:
        # Two loops may make one at a time: the second goes on with the first one's.
        pool = _pools.setdefault(threads, ThreadPoolExecutor(threads, "asgi-llm-orm"))
    return pool


os.register_at_fork(after_in_child=_pools.clear)
