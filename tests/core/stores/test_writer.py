"""Rows on their way: batches, a store that fails, a queue that is full, an end in good order."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from asgi_llm.errors import PolicyError, StoreError
from asgi_llm.metering.row import Row
from asgi_llm.settings import LedgerSettings
from asgi_llm.stores.memory.ledger import MemoryLedger
from asgi_llm.stores.owner import ANYBODY
from asgi_llm.stores.writer import LedgerWriter


class Draft(msgspec.Struct):
    number: int
    size: int = 10


def row(number: int) -> Row:
    return Row(
        id=f"req_{number:04}",
        at=number,
        tenant="t",
        subject="s",
        endpoint="e",
        dialect="chat",
        outcome="ok",
        status=200,
    )


class Store(MemoryLedger):
    """A ledger that fails when it is told to."""

    __slots__ = ("batches", "down", "hang", "poison")

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []
        self.down = False
        self.poison: set[str] = set()
        self.hang: asyncio.Event | None = None

    async def add(self, rows: Sequence[Row]) -> None:
        if self.hang is not None:
            await self.hang.wait()
        if self.down:
            raise StoreError
        if any(found.id in self.poison for found in rows):
            raise ValueError("this row cannot be")
        self.batches.append(len(rows))
        await super().add(rows)

    async def numbers(self) -> list[int]:
        return sorted(found.at for found in await self.rows(ANYBODY, limit=100_000))


async def complete(drafts: Sequence[Draft]) -> list[Row]:
    return [row(draft.number) for draft in drafts]


def writer(store: Store, **settings: Any) -> LedgerWriter[Draft]:
    return LedgerWriter(store, LedgerSettings.model_validate({"interval": 3600, **settings}), complete)


async def until(said: Any) -> None:
    async with asyncio.timeout(60):
        while not said():
            await asyncio.sleep(0)


async def test_a_full_batch_is_written_at_once_and_the_rest_at_the_end() -> None:
    store = Store()
    rows = writer(store, batch=10)
    for number in range(25):
        rows.add(Draft(number))
    assert rows.held == 250
    await until(lambda: len(store.batches) >= 2)
    await rows.aclose(1)
    assert await store.numbers() == list(range(25))
    assert max(store.batches) <= 10
    assert (len(rows), rows.held, rows.dropped) == (0, 0, 0)


async def test_few_rows_are_written_after_a_while() -> None:
    store = Store()
    rows = writer(store, interval=0.001)
    rows.add(Draft(1))
    await until(lambda: store.batches == [1])
    rows.add(Draft(2))
    await until(lambda: store.batches == [1, 1])
    await rows.aclose(1)


async def test_an_idle_writer_does_nothing() -> None:
    rows = writer(Store(), interval=0.001)
    before = asyncio.all_tasks()
    rows.add(Draft(1))
    await until(lambda: asyncio.all_tasks() == before)
    await rows.aclose(0)


async def test_rows_wait_while_the_store_is_down() -> None:
    store = Store()
    store.down = True
    rows = writer(store, batch=2)
    for number in range(5):
        rows.add(Draft(number))
    await until(lambda: rows.failing)
    assert len(rows) == 5
    store.down = False
    await rows.aclose(5)
    assert await store.numbers() == list(range(5))
    assert not rows.failing


async def test_a_full_queue_drops_what_comes_and_counts_it() -> None:
    store = Store()
    store.down = True
    rows = writer(store, batch=2, queue=3)
    for number in range(7):
        rows.add(Draft(number))
    await rows.room()  # requests go on
    assert (len(rows), rows.dropped, rows.full) == (3, 4, True)
    store.down = False
    await rows.aclose(5)
    assert await store.numbers() == [0, 1, 2]


async def test_or_lets_requests_wait_and_loses_nothing() -> None:
    store = Store()
    store.hang = asyncio.Event()
    rows = writer(store, batch=2, queue=3, when_full="wait", wait=60)
    for number in range(5):  # of those that were under way already, none is lost
        rows.add(Draft(number))
    waiting = asyncio.create_task(rows.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    store.hang.set()
    await waiting
    await rows.aclose(5)
    assert (await store.numbers(), rows.dropped) == (list(range(5)), 0)


async def test_but_not_for_ever() -> None:
    store = Store()
    store.down = True
    rows = writer(store, queue=1, when_full="wait", wait=0.001)
    rows.add(Draft(1))
    with pytest.raises(PolicyError) as raised:
        await rows.room()
    assert (raised.value.status, raised.value.code) == (503, "ledger_full")
    store.down = False
    await rows.aclose(5)


async def test_a_row_that_cannot_be_written_takes_no_other_with_it() -> None:
    store = Store()
    store.poison = {"req_0003", "req_0011"}
    rows = writer(store, batch=16)
    for number in range(16):
        rows.add(Draft(number))
    await rows.aclose(5)
    assert await store.numbers() == [number for number in range(16) if number not in (3, 11)]
    assert rows.dropped == 2


async def test_a_write_that_is_under_way_at_the_end_is_not_broken_off() -> None:
    store = Store()
    store.hang = asyncio.Event()
    rows = writer(store, batch=2)
    rows.add(Draft(1))
    rows.add(Draft(2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    closing = asyncio.create_task(rows.aclose(5))
    await asyncio.sleep(0)
    store.hang.set()
    await closing
    assert await store.numbers() == [1, 2]
    assert store.batches == [2]


async def test_a_store_that_is_slow_but_works_is_given_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, passed = asyncio.get_running_loop(), 0.0

    class Slow(Store):
        __slots__ = ()

        async def add(self, rows: Sequence[Row]) -> None:
            nonlocal passed
            passed += 3
            await asyncio.sleep(0)
            await super().add(rows)

    now = loop.time
    monkeypatch.setattr(loop, "time", lambda: now() + passed)
    store = Slow()
    rows = writer(store, batch=2)
    for number in range(40):
        rows.add(Draft(number))
    await rows.aclose(0)
    assert (passed, await store.numbers()) == (60, list(range(40)))


async def test_rows_that_cannot_be_worked_out_are_counted_as_lost() -> None:
    async def fail(drafts: Sequence[Draft]) -> list[Row]:
        raise ZeroDivisionError

    store = Store()
    rows: LedgerWriter[Draft] = LedgerWriter(store, LedgerSettings(), fail)
    rows.add(Draft(1))
    await rows.aclose(1)
    assert (rows.dropped, rows.held, store.batches) == (1, 0, [])


async def test_what_cannot_be_written_at_the_end_is_said(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asgi_llm.stores.writer._LAST_WORDS", 0.01)
    store = Store()
    store.down = True
    rows = writer(store)
    rows.add(Draft(1))
    rows.add(Draft(2))
    await rows.aclose(0)
    assert "2 rows of the ledger could not be written and are lost" in caplog.text
