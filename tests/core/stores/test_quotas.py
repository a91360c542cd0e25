"""What every store of quotas does: memory, SQLite, PostgreSQL, Redis, a cluster of them. The clock is the test's."""

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncIterator
from multiprocessing.context import SpawnContext
from typing import Any

import pytest

from asgi_llm.stores.memory.quotas import MemoryQuotas
from asgi_llm.stores.quotas import GRACE, Balance, Charge, Demand, QuotaStore

KINDS = ["memory", "sqlite", "postgresql", "redis", "redis cluster"]


def open_store(kind: str, place: str) -> Any:
    """A store; ``place`` is its URL, and for Redis the prefix of its keys behind a space."""
    if kind.startswith("redis"):
        from asgi_llm.stores.redis.client import open_redis
        from asgi_llm.stores.redis.quotas import RedisQuotas

        url, prefix = place.split(" ")
        return RedisQuotas(open_redis(url), prefix)
    from asgi_llm.stores.sql.database import Database
    from asgi_llm.stores.sql.quotas import SQLQuotas

    return SQLQuotas(Database(place, timeout=60))


def place_of(kind: str, request: pytest.FixtureRequest) -> str:
    if kind.startswith("redis"):
        pytest.importorskip("redis")
        url = request.getfixturevalue("redis_url" if kind == "redis" else "redis_cluster_url")
        return f"{url} {{{uuid.uuid4().hex}}}:"
    pytest.importorskip("sqlalchemy")
    return str(request.getfixturevalue("sqlite_url" if kind == "sqlite" else "postgres_url"))


async def close(store: Any) -> None:
    await store.aclose()
    if (database := getattr(store, "_database", None)) is not None:
        await database.aclose()


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[QuotaStore]:
    if request.param == "memory":
        yield MemoryQuotas()
        return
    opened = open_store(request.param, place_of(request.param, request))
    yield opened
    await close(opened)


def demand(account: str = "a", amount: int = 10, limit: int = 100, **more: Any) -> Demand:
    return Demand(account, amount, limit, **{"first": 0, "slot": 5, "keep": 2000.0, **more})


NOW, LEASE = 1000.0, 1060.0


async def test_what_is_held_counts_until_it_is_settled(store: QuotaStore) -> None:
    first = await store.reserve("r1", [demand(amount=60)], NOW, LEASE)
    assert (first.refused, first.balances) == (None, (Balance(0, 0),))
    second = await store.reserve("r2", [demand(amount=60)], NOW, LEASE)
    assert (second.refused, second.balances) == (0, (Balance(0, 60),))
    assert await store.settle("r1", [Charge("a", 25, 5, 2000.0)], NOW)
    assert await store.balance("a", 0, NOW) == Balance(25, 0)
    assert (await store.reserve("r2", [demand(amount=75)], NOW, LEASE)).refused is None
    assert (await store.reserve("r3", [demand(amount=1)], NOW, LEASE)).refused == 0


async def test_all_accounts_or_none(store: QuotaStore) -> None:
    await store.reserve("r0", [demand("b", 95)], NOW, LEASE)
    verdict = await store.reserve("r1", [demand("a"), demand("b"), demand("c")], NOW, LEASE)
    assert verdict.refused == 1
    assert [await store.balance(name, 0, NOW) for name in "abc"] == [Balance(0, 0), Balance(0, 95), Balance(0, 0)]
    assert not await store.settle("r1", [Charge("a", 7, 5, 2000.0)], NOW)
    assert await store.balance("a", 0, NOW) == Balance(0, 0)


async def test_settling_twice_does_nothing(store: QuotaStore) -> None:
    await store.reserve("r1", [demand("a"), demand("b")], NOW, LEASE)
    charges = [Charge("a", 3, 5, 2000.0), Charge("b", 4, 5, 2000.0)]
    assert [await store.settle("r1", charges, NOW) for _ in range(3)] == [True, False, False]
    assert await store.balance("a", 0, NOW) == Balance(3, 0)
    assert await store.balance("b", 0, NOW) == Balance(4, 0)


async def test_two_that_settle_at_once_charge_once(store: QuotaStore) -> None:
    await store.reserve("r1", [demand()], NOW, LEASE)
    done = await asyncio.gather(*(store.settle("r1", [Charge("a", 3, 5, 2000.0)], NOW) for _ in range(8)))
    assert sum(done) == 1
    assert await store.balance("a", 0, NOW) == Balance(3, 0)


@pytest.mark.parametrize("store", ["redis", "redis cluster"], indirect=True)
async def test_a_command_that_is_sent_again_reserves_once(store: QuotaStore) -> None:
    """A cluster's client does so where it got no answer, though the first may have been heard."""
    demands = [demand("a", 60), demand("b", 1, held=False)]
    for _ in range(2):
        verdict = await store.reserve("r1", demands, NOW, LEASE)
        assert (verdict.refused, verdict.balances) == (None, (Balance(0, 0), Balance(0, 0)))
    assert await store.balance("a", 0, NOW) == Balance(0, 60)
    assert await store.balance("b", 0, NOW) == Balance(1, 0)
    assert await store.settle("r1", [Charge("a", 25, 5, 2000.0)], NOW)
    assert await store.balance("a", 0, NOW) == Balance(25, 0)


async def test_what_is_spent_at_once_needs_no_settling(store: QuotaStore) -> None:
    verdict = await store.reserve("r1", [demand(amount=1, limit=2, held=False)], NOW, LEASE)
    assert verdict.refused is None
    assert await store.balance("a", 0, LEASE + 1) == Balance(1, 0)
    await store.reserve("r2", [demand(amount=1, limit=2, held=False)], NOW, LEASE)
    assert (await store.reserve("r3", [demand(amount=1, limit=2, held=False)], NOW, LEASE)).refused == 0


async def test_slots_leave_the_window(store: QuotaStore) -> None:
    for slot in (5, 6, 7):
        await store.reserve("r", [demand(amount=slot, held=False, slot=slot)], NOW, LEASE)
    assert (await store.balance("a", 5, NOW)).spent == 18
    refused = await store.reserve("r", [demand(amount=90, first=6, slot=8)], NOW, LEASE)
    assert (refused.refused, refused.balances, refused.slots) == (0, (Balance(13, 0),), ((6, 6), (7, 7)))
    assert (await store.reserve("r", [demand(amount=90, first=7, slot=8)], NOW, LEASE)).refused is None


async def test_a_hold_that_nobody_renews_comes_free(store: QuotaStore) -> None:
    await store.reserve("r1", [demand(amount=100)], NOW, LEASE)
    assert (await store.reserve("r2", [demand()], LEASE - 1, LEASE + 59)).refused == 0
    assert (await store.reserve("r2", [demand()], LEASE, LEASE + 60)).refused is None
    assert await store.balance("a", 0, LEASE) == Balance(0, 10)


async def test_a_hold_that_is_renewed_stays(store: QuotaStore) -> None:
    await store.reserve("r1", [demand(amount=100), demand("b")], NOW, LEASE)
    await store.renew({"r1": ["a", "b"], "unknown": ["a"]}, LEASE - 1, LEASE + 59)
    assert (await store.reserve("r2", [demand()], LEASE + 58, LEASE + 90)).refused == 0
    assert await store.balance("b", 0, LEASE + 58) == Balance(0, 10)


async def test_a_hold_that_was_thought_dead_can_be_settled_or_renewed(store: QuotaStore) -> None:
    await store.reserve("r1", [demand(amount=100)], NOW, LEASE)
    assert await store.balance("a", 0, LEASE + 5) == Balance(0, 0)
    await store.renew({"r1": ["a"]}, LEASE + 5, LEASE + 65)
    assert await store.balance("a", 0, LEASE + 6) == Balance(0, 100)
    assert await store.balance("a", 0, LEASE + 70) == Balance(0, 0)
    assert await store.settle("r1", [Charge("a", 42, 5, 2000.0)], LEASE + 71)
    assert await store.balance("a", 0, LEASE + 71) == Balance(42, 0)


async def test_large_amounts_stay_exact(store: QuotaStore) -> None:
    large = 2**52 - 1
    assert (await store.reserve("r1", [demand(amount=large, limit=large)], NOW, LEASE)).refused is None
    assert (await store.reserve("r2", [demand(amount=1, limit=large)], NOW, LEASE)).balances == (Balance(0, large),)
    assert await store.settle("r1", [Charge("a", large, 5, 2000.0)], NOW)
    assert await store.balance("a", 0, NOW) == Balance(large, 0)


@pytest.mark.once
@pytest.mark.parametrize("charged", [0, 1])
async def test_five_hundred_at_once_never_get_above_the_limit(store: QuotaStore, charged: int) -> None:
    """A hundred fit; none more is let in while they run, whatever comes in between."""

    async def run(number: int) -> int | None:
        verdict = await store.reserve(
            f"r{number}", [demand("mine", 3, 300), demand(f"b{number % 3}", 1, 1000)], NOW, LEASE
        )
        return None if verdict.refused is not None else number

    passed = [number for number in await asyncio.gather(*map(run, range(500))) if number is not None]
    assert len(passed) == 100
    assert await store.balance("mine", 0, NOW) == Balance(0, 300)
    charges = [[Charge("mine", 3 * charged, 5, 2000.0), Charge(f"b{number % 3}", 0)] for number in passed]
    done = await asyncio.gather(*(store.settle(f"r{n}", c, NOW) for n, c in zip(passed, charges, strict=True)))
    assert all(done)
    assert await store.balance("mine", 0, NOW) == Balance(300 * charged, 0)
    assert [await store.balance(f"b{number}", 0, NOW) for number in range(3)] == [Balance(0, 0)] * 3


async def test_accounts_in_any_order_do_not_lock_each_other_out(store: QuotaStore) -> None:
    names = [f"n{number}" for number in range(6)]

    async def run(number: int) -> None:
        order = names[number % 6 :] + names[: number % 6]
        await store.reserve(f"r{number}", [demand(name, 1, 1000) for name in order], NOW, LEASE)
        await store.settle(f"r{number}", [Charge(name, 1, 5, 2000.0) for name in reversed(order)], NOW)

    await asyncio.gather(*map(run, range(60)))
    assert [await store.balance(name, 0, NOW) for name in names] == [Balance(60, 0)] * 6


def _hold_and_hang(kind: str, place: str, told: Any) -> None:
    async def run() -> None:
        await open_store(kind, place).reserve("dying", [demand(amount=100)], NOW, LEASE)
        told.send(os.getpid())
        await asyncio.sleep(600)

    asyncio.run(run())


@pytest.mark.once
@pytest.mark.parametrize("kind", KINDS[1:])
async def test_a_killed_process_holds_nothing_after_its_lease(
    kind: str, request: pytest.FixtureRequest, children: SpawnContext
) -> None:
    place = place_of(kind, request)
    hear, tell = children.Pipe(duplex=False)
    process = children.Process(target=_hold_and_hang, args=(kind, place, tell))
    process.start()
    try:
        assert await asyncio.to_thread(hear.poll, 180)
        os.kill(hear.recv(), signal.SIGKILL)
        await asyncio.to_thread(process.join, 20)
        store = open_store(kind, place)
        assert (await store.reserve("next", [demand()], LEASE - 1, LEASE + 60)).refused == 0
        assert (await store.reserve("next", [demand()], LEASE + 1, LEASE + 60)).refused is None
        await close(store)
    finally:
        process.kill()
        process.join(60)


async def test_memory_forgets_accounts_that_hold_nothing() -> None:
    store = MemoryQuotas()
    for number in range(5000):
        await store.reserve("r", [demand(f"n{number}", held=False, keep=NOW + 1)], NOW + number, LEASE + number)
    assert len(store._accounts) < 2500


async def test_redis_keeps_nothing_for_ever(redis_url: str) -> None:
    redis = pytest.importorskip("redis.asyncio")
    prefix = f"{{{uuid.uuid4().hex}}}:"
    store = open_store("redis", f"{redis_url} {prefix}")
    await store.reserve("r1", [demand(), demand("b", held=False)], NOW, LEASE)
    client = redis.Redis.from_url(redis_url)
    lives = {key: await client.ttl(key) async for key in client.scan_iter(f"{prefix}*")}
    assert len(lives) == 4
    assert all(0 < life <= GRACE + 61 for life in lives.values())
    await client.aclose()
    await close(store)
