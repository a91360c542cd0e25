"""What every store of proofs does, on memory, SQLite and PostgreSQL."""

from collections.abc import AsyncIterator

import pytest

from asgi_llm.stores.memory.signatures import MemorySignatures
from asgi_llm.stores.scope import Scope
from asgi_llm.stores.signatures import SignatureStore

ANN, BOB, CLONE = Scope("acme", "ann"), Scope("acme", "bob"), Scope("other", "ann")


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[SignatureStore]:
    if request.param == "memory":
        yield MemorySignatures()
        return
    pytest.importorskip("sqlalchemy")
    from asgi_llm.stores.sql.database import Database
    from asgi_llm.stores.sql.signatures import SQLSignatures

    database = Database(request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url"))
    try:
        yield SQLSignatures(database)
    finally:
        await database.aclose()


async def test_what_is_remembered_is_there_till_it_expires(store: SignatureStore) -> None:
    await store.remember(ANN, {"a": b"1", "b": b"2"}, 10.0)
    await store.remember(ANN, {"b": b"3"}, 20.0)
    await store.remember(ANN, {}, 20.0)
    assert await store.recall(ANN, ["a", "b", "x"], 9.0) == {"a": b"1", "b": b"3"}
    assert await store.recall(ANN, ["a", "b"], 10.0) == {"b": b"3"}
    assert await store.recall(ANN, [], 0.0) == {}
    assert await store.purge(10.0) == 1
    assert await store.recall(ANN, ["a", "b"], 0.0) == {"b": b"3"}


async def test_what_is_anothers_is_not_there(store: SignatureStore) -> None:
    await store.remember(ANN, {"a": b"1"}, 10.0)
    for stranger in (BOB, CLONE):
        assert await store.recall(stranger, ["a"], 0.0) == {}
        assert await store.forget(stranger) == 0
        await store.remember(stranger, {"a": b"x"}, 10.0)
    assert await store.recall(ANN, ["a"], 0.0) == {"a": b"1"}
    assert await store.forget(ANN) == 1
    assert await store.recall(ANN, ["a"], 0.0) == {}
    assert await store.recall(BOB, ["a"], 0.0) == {"a": b"x"}


async def test_memory_keeps_no_more_than_it_may() -> None:
    store = MemorySignatures(size=25)
    for name in "abcde":
        await store.remember(ANN, {name: b"x" * 10}, 10.0)
    assert (await store.recall(ANN, "abcde", 0.0)).keys() == {"d", "e"}


async def test_a_name_that_no_table_takes_is_forgotten(store: SignatureStore) -> None:
    await store.remember(ANN, {"x" * 300: b"1", "y": b"2"}, 10.0)
    assert (await store.recall(ANN, ["y"], 0.0)) == {"y": b"2"}
