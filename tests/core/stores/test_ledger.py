"""What every ledger does, whatever it is kept in. Another implementation runs the suite with a fixture of its own."""

import datetime as dt
from collections.abc import AsyncIterator
from typing import Any

import pytest

from asgi_llm.metering.row import Row
from asgi_llm.stores.ledger import EVERYTHING, Ledger, Query
from asgi_llm.stores.memory.ledger import MemoryLedger
from asgi_llm.stores.owner import ANYBODY, Owner

NOON = int(dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC).timestamp() * 1000)
DAY = 86_400_000


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def ledger(request: pytest.FixtureRequest) -> AsyncIterator[Ledger]:
    if request.param == "memory":
        yield MemoryLedger()
        return
    pytest.importorskip("sqlalchemy")
    from asgi_llm.stores.sql.database import Database
    from asgi_llm.stores.sql.ledger import SQLLedger

    database = Database(request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url"))
    yield SQLLedger(database)
    await database.aclose()


def row(number: int, **fields: Any) -> Row:
    given: dict[str, Any] = {
        "id": f"req_{number:03}",
        "at": NOON + number,
        "tenant": "acme",
        "subject": "ann",
        "endpoint": "chat_completions",
        "dialect": "chat",
        "outcome": "ok",
        "status": 200,
    }
    return Row(**given | fields)


FULL = row(
    1,
    key_id="ab12",
    upstream_dialect="messages",
    mode="translated",
    stream=True,
    model="fast",
    served="claude-x",
    target="claude",
    worker="claude#0",
    attempts=2,
    error="e",
    finish="end",
    fresh=10,
    cache_read=0,
    cache_write=3,
    cache_write_5m=4,
    cache_write_1h=2**53 - 1,
    visible=6,
    reasoning=7,
    tool_prompt=8,
    audio_in=1,
    audio_out=2,
    server_tools={"web_search_requests": 2},
    estimated=True,
    cost=123,
    cost_source="library",
    market=456,
    reported=789,
    flags=("no_usage",),
    first_byte_ms=12,
    total_ms=34,
    tools_offered=("function:größe",),
    tools_used=(),
    warnings=("top_k;warn",),
)


async def test_a_row_comes_back_as_it_was(ledger: Ledger) -> None:
    bare = row(2)
    await ledger.add([FULL, bare])
    assert await ledger.rows(ANYBODY) == [bare, FULL]


async def test_a_row_that_is_there_is_never_changed(ledger: Ledger) -> None:
    await ledger.add([row(1, cost=5)])
    await ledger.add([row(1, cost=7), row(2, cost=7), row(2, cost=8)])
    assert [found.cost for found in await ledger.rows(ANYBODY)] == [7, 5]
    await ledger.add([])


async def test_nobody_sees_anothers(ledger: Ledger) -> None:
    await ledger.add([row(1), row(2, subject="bob"), row(3, tenant="other"), row(4, subject="Ann")])

    async def seen(owner: Owner) -> list[str]:
        (total,) = await ledger.sums(owner)
        ids = [found.id[-1] for found in await ledger.rows(owner)]
        assert total.requests == len(ids)
        return ids

    assert await seen(Owner("acme", "ann")) == ["1"]
    assert await seen(Owner("acme")) == ["4", "2", "1"]
    assert await seen(Owner("other", "bob")) == []
    assert await seen(ANYBODY) == ["4", "3", "2", "1"]
    # A filter narrows what an owner sees, and never widens it.
    assert await ledger.rows(Owner("acme", "ann"), Query(tenant="other")) == []
    assert await ledger.rows(Owner("acme", "ann"), Query(subject="bob")) == []


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (EVERYTHING, [4, 3, 2, 1]),
        (Query(since=NOON + 2), [4, 3, 2]),
        (Query(until=NOON + 2), [1]),
        (Query(since=NOON + 2, until=NOON + 3), [2]),
        (Query(model="a"), [2, 1]),
        (Query(served="x"), [4]),
        (Query(target="t"), [3]),
        (Query(key_id="k"), [2]),
        (Query(outcome="disconnected"), [3]),
        (Query(model="a", key_id="k"), [2]),
        (Query(model="%"), []),
    ],
)
async def test_rows_are_found_by_what_is_in_them(ledger: Ledger, query: Query, expected: list[int]) -> None:
    await ledger.add(
        [
            row(1, model="a"),
            row(2, model="a", key_id="k"),
            row(3, model="b", target="t", outcome="disconnected"),
            row(4, model="c", served="x"),
        ]
    )
    assert [int(found.id[-1]) for found in await ledger.rows(ANYBODY, query)] == expected
    (total,) = await ledger.sums(ANYBODY, (), query)
    assert total.requests == len(expected)


async def test_pages_hold_every_row_once(ledger: Ledger) -> None:
    rows = [row(number, at=NOON + number // 3) for number in range(10)]
    await ledger.add(rows)
    pages: list[list[Row]] = []
    after = None
    while page := await ledger.rows(ANYBODY, limit=4, after=after):
        pages.append(page)
        after = (page[-1].at, page[-1].id)
    assert [len(page) for page in pages] == [4, 4, 2]
    assert [found for page in pages for found in page] == rows[::-1]


async def test_sums_of_everything_and_of_nothing(ledger: Ledger) -> None:
    (nothing,) = await ledger.sums(ANYBODY)
    assert (nothing.requests, nothing.cost, nothing.input, nothing.group) == (0, 0, 0, {})
    assert await ledger.sums(ANYBODY, ("model",)) == []
    await ledger.add(
        [
            row(1, fresh=10, cache_read=5, visible=7, reasoning=2, cost=100, market=110),
            row(2, fresh=1, visible=1, outcome="interrupted", estimated=True),
            row(3, outcome="denied", status=403),
            row(4, fresh=0, visible=0, cost=None),
        ]
    )
    (total,) = await ledger.sums(ANYBODY)
    assert (total.requests, total.failed, total.unpriced, total.estimated) == (4, 2, 1, 1)
    assert (total.fresh, total.cache_read, total.input, total.output, total.cost, total.market) == (
        11, 5, 16, 10, 100, 110,
    )  # fmt: skip


async def test_sums_by_each_dimension(ledger: Ledger) -> None:
    await ledger.add(
        [
            row(1, model="b", cost=1),
            row(2, model="a", cost=2, at=NOON + DAY),
            row(3, model="a", cost=4, subject="bob", at=NOON + DAY + DAY // 2 - 1),
            row(4, model=None, cost=8, at=NOON + DAY + DAY // 2),
            row(5, model="Z", cost=16),
        ]
    )

    async def by(*names: Any, **options: Any) -> list[tuple[Any, ...]]:
        return [(*found.group.values(), found.cost) for found in await ledger.sums(ANYBODY, names, **options)]

    assert await by("model") == [(None, 8), ("Z", 16), ("a", 6), ("b", 1)]
    assert await by("day") == [("2026-11-21", 17), ("2026-11-22", 6), ("2026-11-23", 8)]
    assert await by("day", "model") == [
        ("2026-11-21", "Z", 16),
        ("2026-11-21", "b", 1),
        ("2026-11-22", "a", 6),
        ("2026-11-23", None, 8),
    ]
    assert await by("subject", "model", limit=2, offset=1) == [("ann", "Z", 16), ("ann", "a", 2)]
    for name in ("tenant", "key_id", "served", "target", "endpoint", "dialect", "outcome"):
        (only,) = await by(name)
        assert only[-1] == 31


async def test_sums_are_exact_where_floats_are_not(ledger: Ledger) -> None:
    await ledger.add([row(number, cost=2**53 - 1) for number in range(5)])
    (total,) = await ledger.sums(ANYBODY)
    assert total.cost == 5 * (2**53 - 1)


async def test_a_ledger_in_memory_keeps_the_latest() -> None:
    ledger = MemoryLedger(3)
    await ledger.add([row(number) for number in range(5)])
    assert [found.id for found in await ledger.rows(ANYBODY)] == ["req_004", "req_003", "req_002"]
