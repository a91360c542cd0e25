"""Databases: tables made once however many begin at once, transactions, failures as one error."""

import asyncio
import multiprocessing
import sqlite3
from contextlib import suppress
from typing import Any

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("aiosqlite")

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, func, select, text
from sqlalchemy.exc import DBAPIError

from asgi_llm.errors import StoreError
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
        barrier.wait(30)
        async with database.write(SECOND) as connection:
            await connection.execute(things.insert(), [{"name": "x"}])
        await database.aclose()

    asyncio.run(main())


async def test_many_processes_may_begin_at_once(sql_url: str) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(6)
    processes = [context.Process(target=begin, args=(sql_url, barrier)) for _ in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        await asyncio.to_thread(process.join, 60)
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
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError) as raised:
        async with database.write(FIRST):
            pytest.fail("it is locked")
    other.close()
    assert "llm.db" not in raised.value.message
    await database.aclose()


async def test_a_folder_that_is_not_there_is_a_store_error() -> None:
    database = Database("sqlite:////nowhere/at/all/llm.db")
    with pytest.raises(StoreError):
        await count(database)
    await database.aclose()


async def test_a_server_that_comes_back_is_used_again(postgres_server: Any) -> None:
    database = Database(postgres_server.new_database(), timeout=2)
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
