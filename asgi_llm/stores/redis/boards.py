"""Boards on a Redis. Keys, below a prefix: ``{BOARD}:entries``, a hash, and ``{BOARD}:version``, a counter; the braces
put both on one node of a cluster."""

from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any

from asgi_llm.errors import StoreError
from asgi_llm.stores.boards import Board

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["RedisBoards"]


class RedisBoards:
    """Serves one event loop."""

    shared = True

    def __init__(self, redis: "Redis", prefix: str) -> None:
        self._redis = redis
        self._prefix = prefix

    async def read(self, board: str) -> Board:
        both = self._redis.pipeline(transaction=True)
        both.get(self._version(board))
        both.hgetall(self._entries(board))
        version, entries = await _told(both.execute())
        return Board(int(version or 0), {name.decode(): value for name, value in entries.items()})

    async def version(self, board: str) -> int:
        return int(await _told(self._redis.get(self._version(board))) or 0)

    async def write(self, board: str, entries: Mapping[str, bytes | None]) -> int:
        put: dict[Any, Any] = {name: value for name, value in entries.items() if value is not None}
        gone = [name for name, value in entries.items() if value is None]
        change = self._redis.pipeline(transaction=True)
        if put:
            change.hset(self._entries(board), mapping=put)
        if gone:
            change.hdel(self._entries(board), *gone)
        change.incr(self._version(board))
        return int((await _told(change.execute()))[-1])

    async def aclose(self) -> None:
        await self._redis.aclose()

    def _entries(self, board: str) -> str:
        return f"{self._prefix}:{{{board}}}:entries"

    def _version(self, board: str) -> str:
        return f"{self._prefix}:{{{board}}}:version"


async def _told(answer: Awaitable[Any]) -> Any:
    from redis.exceptions import RedisError

    try:
        return await answer
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreError from error
