"""What all boards do: those in memory and those on a Redis."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest

from asgi_llm.errors import StoreError
from asgi_llm.stores.boards import Boards
from asgi_llm.stores.memory.boards import MemoryBoards

URLS = {"redis": "redis_url", "redis cluster": "redis_cluster_url"}


@pytest.fixture(params=["memory", "redis", "redis cluster"])
async def boards(request: pytest.FixtureRequest) -> AsyncIterator[Boards]:
    if request.param == "memory":
        yield MemoryBoards()
        return
    pytest.importorskip("redis")
    from asgi_llm.stores.redis.boards import RedisBoards
    from asgi_llm.stores.redis.client import open_redis

    opened = RedisBoards(open_redis(request.getfixturevalue(URLS[request.param])), uuid.uuid4().hex)
    yield opened
    await opened.aclose()


async def test_an_empty_board_has_version_0(boards: Boards) -> None:
    assert await boards.read("b") == (0, {})
    assert await boards.version("b") == 0


async def test_every_change_raises_the_version(boards: Boards) -> None:
    assert await boards.write("b", {"one": b"1", "two": b"\x00\xff"}) == 1
    assert await boards.write("b", {"one": b"2"}) == 2
    assert await boards.read("b") == (2, {"one": b"2", "two": b"\x00\xff"})
    assert await boards.write("b", {"one": None, "never there": None, "three": b"3"}) == 3
    assert await boards.read("b") == (3, {"two": b"\x00\xff", "three": b"3"})
    assert await boards.write("b", {"two": None, "three": None}) == 4
    assert await boards.read("b") == (4, {})
    assert await boards.version("b") == 4


async def test_boards_are_apart(boards: Boards) -> None:
    await boards.write("b", {"one": b"1"})
    assert await boards.read("c") == (0, {})


async def test_what_was_read_does_not_change(boards: Boards) -> None:
    await boards.write("b", {"one": b"1"})
    before = await boards.read("b")
    await boards.write("b", {"one": b"2"})
    assert before == (1, {"one": b"1"})


async def test_nothing_is_lost_when_many_write(boards: Boards) -> None:
    versions = await asyncio.gather(*(boards.write("b", {f"n{number}": b"x"}) for number in range(50)))
    assert sorted(versions) == list(range(1, 51))
    version, entries = await boards.read("b")
    assert (version, len(entries)) == (50, 50)


async def test_a_redis_that_is_away_is_a_store_error_without_its_address() -> None:
    pytest.importorskip("redis")
    from asgi_llm.stores.redis.boards import RedisBoards
    from asgi_llm.stores.redis.client import open_redis

    boards = RedisBoards(open_redis("redis://:hush@127.0.0.1:1/0"), "p")
    for operation in (boards.read("b"), boards.version("b"), boards.write("b", {"n": b"v"})):
        with pytest.raises(StoreError) as failed:
            await operation
        assert "127.0.0.1" not in str(failed.value)
        assert "hush" not in str(failed.value)
    await boards.aclose()
