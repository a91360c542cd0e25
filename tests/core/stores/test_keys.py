"""What every store of issued keys does: memory, SQLite, PostgreSQL."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from asgi_llm.stores.keys import IssuedKey, KeyStore
from asgi_llm.stores.memory.keys import MemoryKeys


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[KeyStore]:
    if request.param == "memory":
        yield MemoryKeys()
        return
    pytest.importorskip("sqlalchemy")
    from asgi_llm.stores.sql.database import Database
    from asgi_llm.stores.sql.keys import SQLKeys

    url = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    database = Database(url)
    yield SQLKeys(database)
    await database.aclose()


def key(id: str = "k1", **more: Any) -> IssuedKey:  # noqa: A002  # the field's own name
    said = {"digest": b"d" * 32, "tenant": "acme", "subject": "ann", "created": 100.0, **more}
    return IssuedKey(id=id, **said)


async def test_a_key_comes_back_as_it_was(store: KeyStore) -> None:
    whole = key(
        name="laptop", roles=("a", "b"), endpoints=("chat*",), models=("gpt-*", "!x"), targets=("up",),
        expires=500.5, replaces="k0",
    )  # fmt: skip
    await store.add(whole)
    assert await store.find("k1") == whole
    assert await store.find("k2") is None


async def test_tenants_do_not_see_each_others(store: KeyStore) -> None:
    for number, (tenant, subject) in enumerate([("acme", "ann"), ("acme", "bob"), ("other", "ann")]):
        await store.add(key(f"k{number}", tenant=tenant, subject=subject, created=100.0 + number))
    assert [item.id for item in await store.list("acme")] == ["k1", "k0"]
    assert [item.id for item in await store.list("acme", "ann")] == ["k0"]
    assert await store.list("nobody") == []
    assert not await store.revoke("other", "k0", 200)
    assert not await store.rotate("other", "k0", key("k9", tenant="other"), 300)
    assert (await store.find("k0"), await store.find("k9")) == (key("k0"), None)


async def test_revoking(store: KeyStore) -> None:
    await store.add(key())
    assert [await store.revoke("acme", "k1", at) for at in (200.0, 300.0)] == [True, False]
    found = await store.find("k1")
    assert found is not None
    assert found.revoked == 200.0
    assert not found.works(201.0)
    assert not await store.rotate("acme", "k1", key("k2"), 400.0)


@pytest.mark.parametrize(("expires", "until"), [(None, 300.0), (250.0, 250.0), (900.0, 300.0)])
async def test_rotating(store: KeyStore, expires: float | None, until: float) -> None:
    await store.add(key(expires=expires))
    assert await store.rotate("acme", "k1", key("k2", replaces="k1"), 300.0)
    old, new = await store.find("k1"), await store.find("k2")
    assert old is not None
    assert (old.expires, old.revoked) == (until, None)
    assert new == key("k2", replaces="k1")


async def test_when_they_were_used(store: KeyStore) -> None:
    await store.add(key())
    await store.touch({"k1": 150.0, "unknown": 150.0})
    await store.touch({"k1": 140.0})
    await store.touch({})
    found = await store.find("k1")
    assert found is not None
    assert found.used == 150.0
