"""What all stores of answers do: in memory and on a Redis."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator

import pytest

from asgi_llm.errors import StoreError
from asgi_llm.stores.answers import AnswerStore
from asgi_llm.stores.memory.answers import MemoryAnswers
from asgi_llm.stores.scope import Scope

ANN, BOB, ACME = Scope("t", "ann"), Scope("t", "bob"), Scope("acme", "ann")


@pytest.fixture(params=["memory", "redis"])
async def answers(request: pytest.FixtureRequest) -> AsyncIterator[AnswerStore]:
    if request.param == "memory":
        yield MemoryAnswers()
        return
    pytest.importorskip("redis")
    from asgi_llm.stores.redis.answers import RedisAnswers
    from asgi_llm.stores.redis.client import open_redis

    opened = RedisAnswers(open_redis(request.getfixturevalue("redis_url")), f"{uuid.uuid4().hex}:")
    yield opened
    await opened.aclose()


async def test_what_was_put_is_got_by_its_scope_and_key_only(answers: AnswerStore) -> None:
    now = time.time()
    await answers.put(ANN, "k", b"\x00\xff", now, 60)
    assert await answers.get(ANN, "k", now) == b"\x00\xff"
    for scope, key in ((BOB, "k"), (ACME, "k"), (ANN, "l"), (Scope("ta", "nn"), "k"), (Scope("t", ""), "k")):
        assert await answers.get(scope, key, now) is None


async def test_the_later_one_counts(answers: AnswerStore) -> None:
    now = time.time()
    await answers.put(ANN, "k", b"one", now, 60)
    await answers.put(ANN, "k", b"two", now, 60)
    assert await answers.get(ANN, "k", now) == b"two"


async def test_it_is_gone_after_its_time(answers: AnswerStore) -> None:
    """A Redis goes by its own clock."""
    now = time.time()
    await answers.put(ANN, "k", b"one", now, 0.001)
    await asyncio.sleep(0.01)
    assert await answers.get(ANN, "k", now + 1) is None


async def test_memory_keeps_so_many_bytes_and_drops_what_was_not_asked_for_longest() -> None:
    answers = MemoryAnswers(3 * 1400)
    for name in "abc":
        await answers.put(ANN, name, bytes(1000), 0, 60)
    assert await answers.get(ANN, "a", 1)
    await answers.put(BOB, "d", bytes(1000), 0, 60)
    assert [await answers.get(ANN, name, 1) is not None for name in "abc"] == [True, False, True]
    await answers.put(ANN, "huge", bytes(10_000), 0, 60)
    assert await answers.get(ANN, "huge", 1) is None


async def test_a_redis_that_is_not_there_is_a_store_error() -> None:
    pytest.importorskip("redis")
    from asgi_llm.stores.redis.answers import RedisAnswers
    from asgi_llm.stores.redis.client import open_redis

    answers = RedisAnswers(open_redis("redis://127.0.0.1:9/0"), "x:")
    with pytest.raises(StoreError):
        await answers.get(ANN, "k", 0)
    with pytest.raises(StoreError):
        await answers.put(ANN, "k", b"", 0, 1)
    await answers.aclose()
