"""A connection as the stores use it: no statement is ever broken off.

Drivers bear it badly: SQLite's goes on in its thread, with its lock held and nobody to tell the end to; PostgreSQL's
connection is lost. So whoever is cancelled waits until the statement has ended, which the database's time limit bounds.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine
from contextlib import suppress
from threading import Thread
from typing import Any, Concatenate, ParamSpec, TypeVar
from weakref import WeakSet

from sqlalchemy import Connection, CursorResult, Dialect, Executable, ScalarResult
from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ["Threads", "WholeConnection", "Works"]

P = ParamSpec("P")
T = TypeVar("T")


class Works:
    """What is under way in a database, each to its end."""

    __slots__ = ("_idle", "_sessions")

    def __init__(self) -> None:
        self._sessions = 0
        self._idle = asyncio.Event()

    def begin(self) -> None:
        """A session begins."""
        self._sessions += 1
        self._idle.clear()

    def end(self) -> None:
        """A session has given its connection back, or never had one."""
        self._sessions -= 1
        if not self._sessions:
            self._idle.set()

    async def whole(self, work: Coroutine[Any, Any, T]) -> T:
        """What ``work`` returns or raises. A cancellation is obeyed when it has ended."""
        task = asyncio.get_running_loop().create_task(work)
        cancelled: asyncio.CancelledError | None = None
        while not task.done():
            try:
                await asyncio.wait((task,))
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            if not task.cancelled():
                task.exception()  # or asyncio complains that nobody looked at it
            raise cancelled
        return task.result()

    async def ended(self, seconds: float) -> None:
        """Waits until nothing is under way, for at most so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._sessions:
                    await self._idle.wait()


class WholeConnection:
    """An open connection, each of whose statements is whole."""

    __slots__ = ("_inner", "_works")

    def __init__(self, inner: AsyncConnection, works: Works) -> None:
        self._inner = inner
        self._works = works

    @property
    def dialect(self) -> Dialect:
        return self._inner.dialect

    async def execute(self, statement: Executable, parameters: Any = None) -> "CursorResult[*tuple[Any, ...]]":
        return await self._works.whole(self._inner.execute(statement, parameters))

    async def scalar(self, statement: Executable, parameters: Any = None) -> Any:
        return await self._works.whole(self._inner.scalar(statement, parameters))

    async def scalars(self, statement: Executable, parameters: Any = None) -> ScalarResult[Any]:
        return await self._works.whole(self._inner.scalars(statement, parameters))

    async def run_sync(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **named: P.kwargs) -> T:
        """What ``function`` returns, called with a connection without ``await``."""
        return await self._works.whole(self._inner.run_sync(function, *args, **named))


class _Released(sqlite3.Connection):
    """A connection whose end gives up its lock, whoever still holds something of it.

    Where the end of the event loop cut off its opening, nobody ever had it to close it. Where it cut off a statement, a
    traceback may hold the cursor, and SQLite keeps a closed connection and its transaction for as long as that lives.
    """

    def close(self) -> None:
        with suppress(sqlite3.Error):  # it may be closed
            self.rollback()
        super().close()

    def __del__(self) -> None:
        with suppress(sqlite3.Error):
            self.close()


class Threads:
    """The threads in which SQLite's driver works: one a connection, which answers to the event loop."""

    __slots__ = ("_alive",)

    def __init__(self) -> None:
        self._alive: WeakSet[Thread] = WeakSet()

    def connect(self, *args: Any, **named: Any) -> Any:
        """A connection of the driver, in a thread that is known here."""
        import aiosqlite

        connection: Any = aiosqlite.connect(*args, **{"factory": _Released} | named)
        # Before 0.22 it was a thread itself.
        thread: Thread = connection if isinstance(connection, Thread) else connection._thread  # noqa: SLF001
        thread.daemon = True
        self._alive.add(thread)
        return connection

    async def ended(self, seconds: float) -> None:
        """Waits until every thread of a closed connection has said its last, for at most ``seconds`` each. One whose
        connection was cut off by the end of the event loop would answer to a loop that is closed."""
        for thread in list(self._alive):
            if thread.is_alive():
                await asyncio.to_thread(thread.join, seconds)
