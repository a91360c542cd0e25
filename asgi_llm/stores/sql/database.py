"""One SQL database as one event loop sees it: connections, transactions, tables that are there when they are needed.

No I/O before first use. SQLite is put into write-ahead mode, so that one writes while others read; whoever means to
write takes its lock at once, since a transaction that only later finds out would be refused instead of waiting.
"""

import asyncio
from sqlite3 import SQLITE_ERROR
from types import TracebackType
from typing import Any, Literal

from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncTransaction, create_async_engine

from asgi_llm.errors import StoreError

from .address import driver_url
from .connection import Threads, WholeConnection, Works
from .schema import Schema, migrate

__all__ = ["Database"]

_WRITES = "asgi_llm_writes"


class Database:
    """A database. It belongs to the event loop in which it is first used, and is closed there.

    Args:
        address: ``sqlite:///path`` or ``postgresql://...``.
        connections: most of them open at once.
        timeout: seconds to wait for a connection, for a lock, for the answer to a statement.

    Attributes:
        kind: what it is.
        works: what is under way in it.
    """

    __slots__ = ("_engine", "_migrating", "_ready", "_threads", "_timeout", "_turn", "kind", "works")

    def __init__(self, address: str, *, connections: int = 5, timeout: float = 5) -> None:
        url, arguments = driver_url(address, timeout)
        self.kind: Literal["sqlite", "postgresql"] = "sqlite" if url.drivername.startswith("sqlite") else "postgresql"
        self.works = Works()
        self._timeout = timeout
        self._threads = Threads()
        if self.kind == "sqlite":
            arguments["async_creator_fn"] = self._threads.connect
        self._engine: AsyncEngine = create_async_engine(
            url,
            connect_args=arguments,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=timeout,
            pool_pre_ping=self.kind == "postgresql",
            hide_parameters=True,
        )
        self._ready: set[str] = set()
        self._migrating = asyncio.Lock()
        # SQLite has one writer, and whoever finds another one there sleeps and looks again: here they queue.
        self._turn = asyncio.Lock() if self.kind == "sqlite" else None
        if self.kind == "sqlite":
            event.listen(self._engine.sync_engine, "connect", _prepare_sqlite)
            event.listen(self._engine.sync_engine, "begin", _begin_sqlite)

    def read(self, schema: Schema) -> "Session":
        """A connection to read with, for an ``async with``; what is written on it is undone.

        Raises (when it is entered, and while it is used):
            StoreError: the database cannot be reached, is locked, or takes too long.
        """
        return Session(self, self._engine, schema)

    def write(self, schema: Schema) -> "Session":
        """A connection in a transaction, for an ``async with``, at whose end it is committed; any exception undoes it.

        Raises (when it is entered, and while it is used):
            StoreError: the database cannot be reached, is locked, or takes too long. Whether a commit that was under
                way then came through is not known: statements must bear being said twice.
        """
        return Session(self, self._engine, schema, writes=True)

    def call(self, schema: Schema) -> "Session":
        """A connection each of whose statements is a transaction of its own, for an ``async with``.

        Raises (when it is entered, and while it is used):
            StoreError: as ``write``.
        """
        return Session(self, self._engine, schema, alone=True)

    async def aclose(self) -> None:
        """Closes every connection, when what is under way has ended. It can be used again."""
        await self.works.ended(self._timeout)
        await self._engine.dispose()
        await self._threads.ended(self._timeout)

    async def ensure(self, schema: Schema) -> None:
        """Makes the tables, or brings them up to date, where that was not yet done.

        Raises:
            StoreError: the database cannot be reached, is locked, or takes too long.
        """
        if schema.name in self._ready:
            return
        async with self._migrating:
            if schema.name in self._ready:
                return
            async with Session(self, self._engine, None, writes=True) as connection:
                await connection.run_sync(migrate, schema)
            self._ready.add(schema.name)

    async def take_turn(self) -> asyncio.Lock | None:
        """Waits until nobody else of this event loop writes; what is returned is to be released.

        Raises:
            StoreError: that took too long.
        """
        if self._turn is None:
            return None
        try:
            async with asyncio.timeout(self._timeout):
                await self._turn.acquire()
        except TimeoutError as error:
            raise StoreError from error
        return self._turn

    def __repr__(self) -> str:
        return f"<Database {self.kind}>"


class Session:
    """A connection for as long as an ``async with`` lasts. No generator: it must work while a loop is being closed."""

    __slots__ = ("_alone", "_connection", "_database", "_engine", "_schema", "_transaction", "_turn", "_writes")

    def __init__(
        self,
        database: Database,
        engine: AsyncEngine,
        schema: Schema | None,
        *,
        writes: bool = False,
        alone: bool = False,
    ) -> None:
        self._alone = alone
        self._database = database
        self._engine = engine
        self._schema = schema
        self._writes = writes
        self._connection: AsyncConnection | None = None
        self._transaction: AsyncTransaction | None = None
        self._turn: asyncio.Lock | None = None

    async def __aenter__(self) -> WholeConnection:
        if self._schema is not None:
            await self._database.ensure(self._schema)
        works = self._database.works
        works.begin()
        try:
            if self._writes:
                self._turn = await self._database.take_turn()
            connection = await works.whole(self._open())
        except BaseException as error:
            await self._close(error)
            raise
        return WholeConnection(connection, works)

    async def _open(self) -> AsyncConnection:
        try:
            self._connection = connection = await self._engine.connect()
        except Exception as error:  # a driver that cannot connect raises whatever it likes
            raise StoreError from error
        if self._alone:
            return await connection.execution_options(isolation_level="AUTOCOMMIT")
        if self._writes:
            await connection.execution_options(**{_WRITES: True})
            self._transaction = await connection.begin()
        return connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._transaction is not None and error is None:
            try:
                await self._database.works.whole(self._transaction.commit())
            except BaseException as failure:
                await self._close(failure)
                raise
        await self._close(error)

    async def _close(self, error: BaseException | None) -> None:
        """Gives the connection back; what was not committed is undone.

        Raises:
            StoreError: ``error`` says that the database does not work.
        """
        works = self._database.works
        try:
            if self._connection is not None:
                await works.whole(self._connection.close())
        except (DBAPIError, OSError) as failure:
            error = error or failure
        finally:
            works.end()
            if self._turn is not None:
                self._turn.release()
        if isinstance(error, PoolTimeoutError | OSError) or (isinstance(error, DBAPIError) and not _is_mistake(error)):
            raise StoreError from error


def _is_mistake(error: DBAPIError) -> bool:
    """Whether it is a statement of ours that is wrong, rather than a database that does not work."""
    if error.connection_invalidated:
        return False
    if getattr(error.orig, "sqlite_errorcode", None) == SQLITE_ERROR:
        return True  # which SQLite's driver calls operational, as it does a lock
    return not isinstance(error, OperationalError | InterfaceError)


def _prepare_sqlite(connection: Any, _: object) -> None:
    # The driver must not begin transactions of its own: _begin_sqlite says when, and of which kind.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
