"""What every store of responses does, on memory, SQLite and PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from asgi_llm.stores.memory.responses import MemoryResponses
from asgi_llm.stores.responses import FOREVER, ConversationRow, EventRow, ItemRow, ResponseRow, ResponseStore
from asgi_llm.stores.scope import Scope

ANN, BOB, CLONE = Scope("acme", "ann"), Scope("acme", "bob"), Scope("other", "ann")
NOW = 1_000_000.0


def response(name: str, *, parent: str | None = None, **more: Any) -> ResponseRow:
    fields: dict[str, Any] = {"created": NOW, "expires": NOW + 100, "status": "completed", "data": name.encode()}
    return ResponseRow(id=name, parent=parent, **(fields | more))


def items(*names: str) -> list[ItemRow]:
    return [ItemRow(name, name.encode()) for name in names]


def conversation(name: str = "c", expires: float = NOW + 100) -> ConversationRow:
    return ConversationRow(id=name, created=NOW, expires=expires, data=b"{}")


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[ResponseStore]:
    if request.param == "memory":
        yield MemoryResponses()
        return
    pytest.importorskip("sqlalchemy")
    from asgi_llm.stores.sql.database import Database
    from asgi_llm.stores.sql.responses import SQLResponses

    url = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    database = Database(url)
    try:
        yield SQLResponses(database)
    finally:
        await database.aclose()


async def test_what_was_put_is_there_till_it_expires(store: ResponseStore) -> None:
    row = response("r", status="incomplete", conversation=None, items=("a", "b"))
    assert await store.put(ANN, row)
    found = await store.get(ANN, "r", NOW + 99)
    assert found is not None
    assert (found.id, found.status, found.data, found.expires) == ("r", "incomplete", b"r", NOW + 100)
    assert await store.get(ANN, "r", NOW + 100) is None
    assert await store.get(ANN, "x", NOW) is None


async def test_putting_again_replaces(store: ResponseStore) -> None:
    await store.put(ANN, response("r", items=("a", "b")))
    await store.put(ANN, response("r", data=b"new", items=("b", "c")))
    found = await store.get(ANN, "r", NOW)
    assert found is not None
    assert found.data == b"new"
    assert (await store.holders(ANN, ["b", "c"], NOW)).keys() == {"b", "c"}


async def test_a_chain_comes_oldest_first_and_only_whole(store: ResponseStore) -> None:
    parent = None
    for number in range(5):
        await store.put(ANN, response(f"r{number}", parent=parent))
        parent = f"r{number}"
    assert [row.id for row in await store.chain(ANN, "r4", NOW, 10)] == ["r0", "r1", "r2", "r3", "r4"]
    assert [row.id for row in await store.chain(ANN, "r2", NOW, 10)] == ["r0", "r1", "r2"]
    assert len(await store.chain(ANN, "r4", NOW, 2)) == 3
    assert await store.chain(ANN, "x", NOW, 10) == []
    await store.delete(ANN, "r1", NOW)
    assert await store.chain(ANN, "r4", NOW, 10) == []
    assert [row.id for row in await store.chain(ANN, "r0", NOW, 10)] == ["r0"]


async def test_what_is_built_upon_lives_as_long_as_what_is_built(store: ResponseStore) -> None:
    await store.put(ANN, response("old", expires=NOW + 10))
    await store.put(ANN, response("far", expires=NOW + 999))
    await store.put(ANN, response("new", parent="old", expires=NOW + 100), kept=["old", "far"])
    assert await store.get(ANN, "old", NOW + 50) is not None
    assert await store.get(ANN, "far", NOW + 500) is not None
    assert len(await store.chain(ANN, "new", NOW + 50, 10)) == 2


async def test_items_lead_to_what_holds_them(store: ResponseStore) -> None:
    await store.put(ANN, response("r1", items=("a", "b", "a")))
    await store.put(ANN, response("r2", items=("c",), expires=NOW + 5))
    found = await store.holders(ANN, ["a", "c", "x"], NOW)
    assert {name: row.id for name, row in found.items()} == {"a": "r1", "c": "r2"}
    assert (await store.holders(ANN, ["a", "c"], NOW + 6)).keys() == {"a"}
    await store.delete(ANN, "r1", NOW)
    assert (await store.holders(ANN, ["a", "c"], NOW)).keys() == {"c"}
    assert await store.holders(ANN, [], NOW) == {}


async def test_a_conversation_keeps_its_items_in_order(store: ResponseStore) -> None:
    await store.add_conversation(ANN, conversation(), items("a", "b"))
    assert await store.add_items(ANN, "c", items("c", "b", "d"), NOW)
    assert await store.put(ANN, response("r", conversation="c"), added=items("e", "f"))

    async def names(**how: Any) -> list[str] | None:
        found = await store.items(ANN, "c", NOW, **({"limit": 100} | how))
        return None if found is None else [item.id for item in found]

    assert await names() == ["a", "b", "c", "d", "e", "f"]
    assert await names(descending=True) == ["f", "e", "d", "c", "b", "a"]
    assert await names(limit=2, after="b") == ["c", "d"]
    assert await names(limit=2, after="c", descending=True) == ["b", "a"]
    assert await names(after="f") == []
    assert await names(after="x") is None
    assert await store.item(ANN, "c", "d", NOW) == ItemRow("d", b"d")
    assert await store.item(ANN, "c", "x", NOW) is None
    assert await store.delete_item(ANN, "c", "d", NOW)
    assert not await store.delete_item(ANN, "c", "d", NOW)
    assert await names() == ["a", "b", "c", "e", "f"]
    assert await store.add_items(ANN, "c", items("g"), NOW)
    assert (await names() or [])[-1] == "g"


async def test_a_conversation_is_changed_and_deleted(store: ResponseStore) -> None:
    await store.add_conversation(ANN, conversation(), items("a"))
    assert await store.set_conversation(ANN, "c", b"new", NOW)
    assert (await store.conversation(ANN, "c", NOW)) == ConversationRow(
        id="c", created=NOW, expires=NOW + 100, data=b"new"
    )
    assert await store.delete_conversation(ANN, "c", NOW)
    assert not await store.delete_conversation(ANN, "c", NOW)
    assert await store.items(ANN, "c", NOW, limit=1) is None
    assert not await store.set_conversation(ANN, "c", b"", NOW)
    assert not await store.add_items(ANN, "c", items("a"), NOW)


async def test_a_response_whose_conversation_is_gone_is_not_put(store: ResponseStore) -> None:
    assert not await store.put(ANN, response("r", conversation="c"), added=items("a"))
    assert await store.get(ANN, "r", NOW) is None


async def test_a_conversation_lives_as_long_as_its_last_response(store: ResponseStore) -> None:
    await store.add_conversation(ANN, conversation(expires=NOW + 10), ())
    await store.put(ANN, response("r", conversation="c"))
    assert await store.conversation(ANN, "c", NOW + 99) is not None
    assert await store.conversation(ANN, "c", NOW + 100) is None


async def test_those_who_add_at_once_leave_no_gap_and_lose_nothing(store: ResponseStore) -> None:
    await store.add_conversation(ANN, conversation(), ())
    names = [f"i{number}" for number in range(20)]
    await asyncio.gather(*(store.add_items(ANN, "c", items(name, f"{name}+"), NOW) for name in names))
    found = [item.id for item in await store.items(ANN, "c", NOW, limit=100) or []]
    assert sorted(found) == sorted([*names, *(f"{name}+" for name in names)])
    assert all(found[found.index(name) + 1] == f"{name}+" for name in names)


@pytest.mark.parametrize("stranger", [BOB, CLONE], ids=["another user", "another tenant"])
async def test_what_is_anothers_is_not_there(store: ResponseStore, stranger: Scope) -> None:
    await store.put(ANN, response("r", items=("a",), status="in_progress", lease=NOW + 9))
    await store.add_events(ANN, "r", [EventRow(0, b"e")])
    await store.add_conversation(ANN, conversation(), items("i"))
    assert await store.get(stranger, "r", NOW) is None
    assert await store.chain(stranger, "r", NOW, 9) == []
    assert await store.holders(stranger, ["a"], NOW) == {}
    assert not await store.delete(stranger, "r", NOW)
    assert await store.events(stranger, "r", -1, 9) == []
    await store.add_events(stranger, "r", [EventRow(1, b"x")])
    assert await store.renew(stranger, "r", NOW) is None
    assert not await store.finish(stranger, response("r"))
    assert await store.conversation(stranger, "c", NOW) is None
    assert not await store.set_conversation(stranger, "c", b"x", NOW)
    assert not await store.delete_conversation(stranger, "c", NOW)
    assert not await store.add_items(stranger, "c", items("x"), NOW)
    assert await store.items(stranger, "c", NOW, limit=9) is None
    assert await store.item(stranger, "c", "i", NOW) is None
    assert not await store.delete_item(stranger, "c", "i", NOW)
    assert not await store.put(stranger, response("s", conversation="c"), added=items("x"))
    assert await store.forget(stranger) == 0
    # The same id is another's own, and the owner's things are as they were.
    await store.put(stranger, response("r", data=b"mine"))
    found = await store.get(ANN, "r", NOW)
    assert found is not None
    assert found.data == b"r"
    assert [item.id for item in await store.items(ANN, "c", NOW, limit=9) or []] == ["i"]
    assert len(await store.events(ANN, "r", -1, 9)) == 1


async def test_forgetting_somebody_leaves_nothing_of_theirs_and_everything_of_others(store: ResponseStore) -> None:
    for scope in (ANN, BOB):
        await store.put(scope, response("r", items=("a",)))
        await store.add_conversation(scope, conversation(), items("i"))
        await store.add_events(scope, "r", [EventRow(0, b"e")])
    made, begun = await store.listed(ANN, 9)
    assert ([row.id for row in made], [row.id for row in begun]) == (["r"], ["c"])
    assert await store.listed(ANN, 0) == ([], [])
    assert await store.forget(ANN) == 2
    assert await store.listed(ANN, 9) == ([], [])
    assert await store.get(ANN, "r", NOW) is None
    assert await store.holders(ANN, ["a"], NOW) == {}
    assert await store.events(ANN, "r", -1, 9) == []
    assert await store.items(ANN, "c", NOW, limit=9) is None
    assert await store.get(BOB, "r", NOW) is not None
    assert await store.item(BOB, "c", "i", NOW) is not None


async def test_purging_takes_what_has_expired_and_no_more(store: ResponseStore) -> None:
    await store.put(ANN, response("old", expires=NOW))
    await store.put(BOB, response("older", expires=NOW - 5))
    await store.put(ANN, response("new", expires=NOW + 1))
    await store.put(ANN, response("ever", expires=FOREVER))
    await store.add_conversation(ANN, conversation("gone", NOW), items("i"))
    await store.add_conversation(ANN, conversation("here", NOW + 1), items("i"))
    assert await store.purge(NOW) == 3
    assert await store.purge(NOW) == 0
    assert await store.get(ANN, "old", 0) is None
    assert await store.get(ANN, "new", NOW) is not None
    assert await store.conversation(ANN, "gone", 0) is None
    assert await store.conversation(ANN, "here", NOW) is not None


async def test_a_running_response_has_a_log_and_a_lease(store: ResponseStore) -> None:
    await store.put(ANN, response("r", status="queued", lease=NOW + 5))
    await store.add_events(ANN, "r", [EventRow(0, b"zero"), EventRow(1, b"one")])
    await store.add_events(ANN, "r", [EventRow(1, b"one"), EventRow(2, b"two")])
    await store.add_events(ANN, "r", [])
    assert await store.events(ANN, "r", -1, 2) == [EventRow(0, b"zero"), EventRow(1, b"one")]
    assert await store.events(ANN, "r", 1, 9) == [EventRow(2, b"two")]
    await store.add_events(ANN, "gone", [EventRow(0, b"nothing")])
    assert await store.events(ANN, "gone", -1, 9) == []
    assert await store.orphans(NOW + 4, 9) == []
    assert await store.renew(ANN, "r", NOW + 50) == "queued"
    assert await store.orphans(NOW + 49, 9) == []
    ((scope, row),) = await store.orphans(NOW + 50, 9)
    assert (scope, row.id) == (ANN, "r")
    await store.add_conversation(ANN, conversation(), ())
    ended = response("r", status="completed", data=b"end", conversation="c", items=("o",))
    assert await store.finish(ANN, ended, added=items("o"))
    assert not await store.finish(ANN, response("r", status="failed"))
    assert await store.renew(ANN, "r", NOW + 60) == "completed"
    assert await store.orphans(NOW + 999, 9) == []
    assert (await store.holders(ANN, ["o"], NOW)).keys() == {"o"}
    assert await store.item(ANN, "c", "o", NOW) is not None


async def test_memory_keeps_no_more_than_it_may() -> None:
    store = MemoryResponses(most=3)
    for number in range(5):
        await store.put(Scope("t", str(number % 2)), response(f"r{number}", items=(f"i{number}",)))
        await store.add_conversation(ANN, conversation(f"c{number}"), ())
    assert [await store.get(Scope("t", str(n % 2)), f"r{n}", NOW) is not None for n in range(5)] == [False] * 2 + [
        True
    ] * 3
    assert [await store.conversation(ANN, f"c{n}", NOW) is not None for n in range(5)] == [False] * 2 + [True] * 3
    assert await store.holders(Scope("t", "0"), ["i0"], NOW) == {}


async def test_memory_keeps_no_more_bytes_than_it_may() -> None:
    store = MemoryResponses(size=1000)
    for number in range(5):
        await store.put(ANN, response(f"r{number}", data=b"x" * 300))
    await store.put(ANN, response("r4", data=b"y" * 200))
    assert [await store.get(ANN, f"r{n}", NOW) is not None for n in range(5)] == [False, False, True, True, True]
    await store.add_events(ANN, "r4", [EventRow(0, b"e" * 300)])
    assert await store.get(ANN, "r2", NOW) is None
    await store.add_events(ANN, "r4", [EventRow(0, b"e" * 10)])
    await store.add_conversation(ANN, conversation(), items("a"))
    await store.add_items(ANN, "c", [ItemRow("big", b"z" * 480)], NOW)
    assert await store.get(ANN, "r3", NOW) is not None
    await store.delete_item(ANN, "c", "big", NOW)
    await store.put(ANN, response("r5", data=b"x" * 400))
    assert await store.get(ANN, "r3", NOW) is not None
    for name in ("r3", "r4", "r5"):
        await store.delete(ANN, name, NOW)
    await store.delete_conversation(ANN, "c", NOW)
    assert store._size == 0
