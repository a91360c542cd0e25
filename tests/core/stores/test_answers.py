"""What all stores of answers do: in memory and on a Redis."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from asgi_llm import ConfigError, Gateway
from asgi_llm.errors import StoreError
from asgi_llm.stores.answers import AnswerStore
from asgi_llm.stores.lent import LentAnswers
from asgi_llm.stores.memory.answers import MemoryAnswers
from asgi_llm.stores.scope import Scope

ANN, BOB, ACME = Scope("t", "ann"), Scope("t", "bob"), Scope("acme", "ann")


class Blocking:
    """A cache as an application may have one; it waits for a network, say."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[bytes, float]] = {}

    def get(self, key: str, default: Any = None) -> Any:
        value, expires = self.kept.get(key, (default, float("inf")))
        return value if time.time() < expires else default

    def set(self, key: str, value: bytes, timeout: float = 300) -> None:
        self.kept[key] = (value, time.time() + timeout / 1000)


class Waiting(Blocking):
    """One that offers coroutines, too."""

    async def aget(self, key: str) -> Any:
        return super().get(key)

    async def aset(self, key: str, value: bytes, *, ttl: float) -> None:
        super().set(key, value, ttl)

    def get(self, key: str, default: Any = None) -> Any:
        raise AssertionError

    set = get  # type: ignore[assignment]  # neither is called


@pytest.fixture(params=["memory", "lent, blocking", "lent, waiting", "redis", "redis cluster", "lent redis"])
async def answers(request: pytest.FixtureRequest) -> AsyncIterator[AnswerStore]:
    kinds: dict[str, Callable[[], AnswerStore]] = {
        "memory": MemoryAnswers,
        "lent, blocking": lambda: LentAnswers(Blocking()),
        "lent, waiting": lambda: LentAnswers(Waiting()),
    }
    if request.param in kinds:
        yield kinds[request.param]()
        return
    pytest.importorskip("redis")
    if request.param == "lent redis":
        from redis.asyncio import Redis

        client = Redis.from_url(f"{request.getfixturevalue('redis_url')[:-1]}7")  # the prefix is not the test's
        await client.flushdb()
        yield LentAnswers(client)
        await client.aclose()
        return
    from asgi_llm.stores.redis.answers import RedisAnswers
    from asgi_llm.stores.redis.client import open_redis

    url = request.getfixturevalue("redis_url" if request.param == "redis" else "redis_cluster_url")
    opened = RedisAnswers(open_redis(url), f"{uuid.uuid4().hex}:")
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
    """A Redis goes by its own clock, and counts whole seconds where the application lends it."""
    if isinstance(answers, LentAnswers) and answers._lives == "ex":
        return
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


def test_what_is_no_cache_is_told_at_load() -> None:
    class Forever:
        def get(self, key: str) -> None: ...

        def set(self, key: str, value: bytes) -> None: ...

    settings = {"targets": {"e": {"provider": "echo"}}, "cache": {}}
    for given, said in ((object(), "has no method get"), (Forever(), "keep for ever")):
        with pytest.raises(ConfigError, match=said):
            Gateway(settings, cache=given)


async def test_a_cache_of_the_applications_that_fails_is_a_store_error() -> None:
    class Broken(Blocking):
        def get(self, key: str, default: Any = None) -> Any:
            raise OSError("away")

    with pytest.raises(StoreError):
        await LentAnswers(Broken()).get(ANN, "k", 0)


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
