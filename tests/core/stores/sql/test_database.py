"""Databases: tables made once however many begin at once, transactions, failures as one error."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from multiprocessing.context import SpawnContext
from typing import Any

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("aiosqlite")

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, func, select, text
from sqlalchemy.exc import DBAPIError

from asgi_llm.errors import StoreError
from asgi_llm.stores.sql.connection import Threads
from asgi_llm.stores.sql.database import Database
from asgi_llm.stores.sql.schema import Schema

things = Table("things", MetaData(), Column("id", Integer, primary_key=True), Column("name", String(20)))


def make_things(connection: Connection) -> None:
    things.create(connection)


def add_size(connection: Connection) -> None:
    connection.execute(text("ALTER TABLE things ADD COLUMN size INTEGER NOT NULL DEFAULT 7"))


FIRST = Schema("things", (make_things,))
SECOND = Schema("things", (make_things, add_size))


async def count(database: Database) -> int:
    async with database.read(FIRST) as connection:
        return (await connection.scalar(select(func.count()).select_from(things))) or 0


async def test_writes_are_committed_or_undone(sql_url: str) -> None:
    database = Database(sql_url)
    async with database.write(FIRST) as connection:
        await connection.execute(things.insert(), [{"name": "a"}, {"name": "b"}])
    with suppress(ZeroDivisionError):
        async with database.write(FIRST) as connection:
            await connection.execute(things.insert(), [{"name": "c"}])
            raise ZeroDivisionError
    assert await count(database) == 2
    await database.aclose()


async def test_a_later_version_adds_to_what_is_there(sql_url: str) -> None:
    old, new = Database(sql_url), Database(sql_url)
    async with old.write(FIRST) as connection:
        await connection.execute(things.insert(), [{"name": "a"}])
    async with new.read(SECOND) as connection:
        assert await connection.scalar(text("SELECT size FROM things")) == 7
    late = Database(sql_url)  # a process of the version before that begins only now
    assert await count(late) == 1
    for database in (old, new, late):
        await database.aclose()


def begin(url: str, barrier: Any) -> None:
    async def main() -> None:
        database = Database(url)
        barrier.wait(120)
        async with database.write(SECOND) as connection:
            await connection.execute(things.insert(), [{"name": "x"}])
        await database.aclose()

    asyncio.run(main())


@pytest.mark.once
async def test_many_processes_may_begin_at_once(sql_url: str, children: SpawnContext) -> None:
    barrier = children.Barrier(6)
    processes = [children.Process(target=begin, args=(sql_url, barrier)) for _ in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        await asyncio.to_thread(process.join, 180)
    assert [process.exitcode for process in processes] == [0] * 6
    database = Database(sql_url)
    assert await count(database) == 6
    await database.aclose()


async def test_many_tasks_write_at_once(sql_url: str) -> None:
    database = Database(sql_url, connections=4)

    async def add() -> None:
        async with database.write(FIRST) as connection:
            seen = await connection.scalar(select(func.count()).select_from(things))
            await connection.execute(things.insert(), [{"name": str(seen)}])

    await asyncio.gather(*(add() for _ in range(40)))
    assert await count(database) == 40
    await database.aclose()


async def test_reading_waits_for_no_writer(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    async with database.write(FIRST) as connection:
        await connection.execute(things.insert(), [{"name": "a"}])
        assert await count(database) == 0
    await database.aclose()


async def test_a_lock_that_is_not_given_up_is_a_store_error(sqlite_url: str) -> None:
    database = Database(sqlite_url, timeout=0.05)
    await count(database)
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError) as raised:
            async with database.write(FIRST):
                pytest.fail("it is locked")
    assert "llm.db" not in raised.value.message
    await database.aclose()


@pytest.mark.parametrize("turns", [0, 1, 2, 4, 8, 50])
def test_what_is_cut_off_leaves_no_lock_and_no_thread(sqlite_url: str, turns: int) -> None:
    """A thread that is left answers to a loop that is closed, and fails in the middle of whatever comes next."""
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as other:
        cut_off_every_way(sqlite_url, turns, other)


def cut_off_every_way(sqlite_url: str, turns: int, other: sqlite3.Connection) -> None:
    kept: list[Any] = []

    async def add(database: Database) -> None:
        async with database.write(FIRST) as connection:
            await connection.execute(things.insert(), [{"name": "x"}])

    async def cut_off(*, twice: bool) -> None:
        database = Database(sqlite_url)
        await count(database)
        other.execute("BEGIN IMMEDIATE")
        task = asyncio.create_task(add(database))
        await turn()
        asyncio.get_running_loop().call_later(0.01, other.rollback)
        task.cancel()
        if twice:
            await asyncio.sleep(0)
            task.cancel()
        await database.aclose()

    async def cut_off_by_the_end() -> None:
        database = Database(sqlite_url)
        kept.append(close_with_loop(database))
        await anext(kept[0])
        kept.append(asyncio.create_task(add(database)))
        await turn()

    async def close_with_loop(database: Database) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await database.aclose()

    async def turn() -> None:
        for _ in range(turns):
            await asyncio.sleep(0)

    for main in (cut_off(twice=False), cut_off(twice=True), cut_off_by_the_end()):
        asyncio.run(main)
        other.rollback()
        assert not [thread for thread in threading.enumerate() if "connection_worker" in thread.name]
        other.execute("BEGIN IMMEDIATE")
        other.rollback()


async def test_what_still_holds_a_cursor_of_a_closed_connection_holds_no_lock(sqlite_url: str) -> None:
    """As a traceback does; SQLite itself would keep the transaction for it."""
    driver = await Threads().connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    await driver.execute("BEGIN IMMEDIATE")
    held = await driver.execute("SELECT 1 UNION SELECT 2")
    await driver.close()
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), timeout=0)) as other:
        other.execute("BEGIN IMMEDIATE")
    del held


async def test_a_folder_that_is_not_there_is_a_store_error() -> None:
    database = Database("sqlite:////nowhere/at/all/llm.db")
    with pytest.raises(StoreError):
        await count(database)
    await database.aclose()


async def test_a_server_that_comes_back_is_used_again(postgres_server: Any) -> None:
    database = Database(postgres_server.new_database(), timeout=20)
    assert await count(database) == 0
    postgres_server.stop()
    try:
        with pytest.raises(StoreError) as raised:
            await count(database)
        assert str(postgres_server.port) not in raised.value.message
    finally:
        postgres_server.start()
    assert await count(database) == 0
    await database.aclose()


async def test_a_statement_that_is_wrong_is_no_store_error(sql_url: str) -> None:
    """It is a mistake of ours, to be seen as such."""
    database = Database(sql_url)
    with pytest.raises(DBAPIError, match="nothing_of_that_name"):
        async with database.read(FIRST) as connection:
            await connection.execute(text("SELECT * FROM nothing_of_that_name"))
    await database.aclose()


async def test_words_of_libpq_are_understood(postgres_url: str) -> None:
    database = Database(f"{postgres_url}?sslmode=prefer&application_name=here")
    async with database.read(FIRST) as connection:
        assert await connection.scalar(text("SHOW application_name")) == "here"
    await database.aclose()
