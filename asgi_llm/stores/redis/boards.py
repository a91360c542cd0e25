"""Boards on a Redis. Keys, below a prefix: ``{BOARD}:entries``, a hash, and ``{BOARD}:version``, a counter; the braces
put both on one node of a cluster. Reading and writing are one script each, so that nobody sees a change halfway."""

from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any

from asgi_llm.errors import StoreError
from asgi_llm.stores.boards import Board

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["RedisBoards"]

_READ = "return {redis.call('GET', KEYS[1]) or '0', redis.call('HGETALL', KEYS[2])}"
_WRITE = """
for at = 1, #ARGV, 3 do
  if ARGV[at] == '1' then redis.call('HSET', KEYS[2], ARGV[at + 1], ARGV[at + 2])
  else redis.call('HDEL', KEYS[2], ARGV[at + 1]) end
end
return redis.call('INCR', KEYS[1])
"""


class RedisBoards:
    """Serves one event loop."""

    shared = True

    def __init__(self, redis: "Redis", prefix: str) -> None:
        self._redis: Any = redis  # its types are of several minds about what a script returns
        self._prefix = prefix
        self._read = self._redis.register_script(_READ)
        self._write = self._redis.register_script(_WRITE)

    async def read(self, board: str) -> Board:
        version, told = await _told(self._read(keys=self._keys(board)))
        return Board(int(version), {told[at].decode(): told[at + 1] for at in range(0, len(told), 2)})

    async def version(self, board: str) -> int:
        return int(await _told(self._redis.get(self._keys(board)[0])) or 0)

    async def write(self, board: str, entries: Mapping[str, bytes | None]) -> int:
        arguments: list[str | bytes] = []
        for name, value in entries.items():
            arguments += ("0", name, b"") if value is None else ("1", name, value)
        return int(await _told(self._write(keys=self._keys(board), args=arguments)))

    async def aclose(self) -> None:
        await self._redis.aclose()

    def _keys(self, board: str) -> tuple[str, str]:
        return f"{self._prefix}:{{{board}}}:version", f"{self._prefix}:{{{board}}}:entries"


async def _told(answer: Awaitable[Any]) -> Any:
    from redis.exceptions import RedisError

    try:
        return await answer
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreError from error
