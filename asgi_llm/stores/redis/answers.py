"""Answers on a Redis, which forgets them itself. Keys, below a prefix: ``SCOPE:KEY``, the scope as a digest."""

from collections.abc import Awaitable
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from asgi_llm.errors import StoreError
from asgi_llm.stores.scope import Scope

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["RedisAnswers"]


class RedisAnswers:
    """Implements ``AnswerStore`` on a client of redis-py, which it owns. Serves one event loop."""

    def __init__(self, redis: "Redis", prefix: str) -> None:
        self._redis = redis
        self._prefix = prefix

    async def get(self, scope: Scope, key: str, now: float) -> bytes | None:
        found: bytes | None = await _told(self._redis.get(self._place(scope, key)))
        return found

    async def put(self, scope: Scope, key: str, value: bytes, now: float, ttl: float) -> None:
        await _told(self._redis.set(self._place(scope, key), value, px=max(1, round(ttl * 1000))))

    async def aclose(self) -> None:
        await self._redis.aclose()

    def _place(self, scope: Scope, key: str) -> str:
        # Names of tenants and subjects are anybody's; joined with a mark they could be taken for others.
        whose = sha256(f"{len(scope.tenant)}\n{scope.tenant}{scope.subject}".encode("utf-8", "surrogatepass"))
        return f"{self._prefix}{whose.hexdigest()[:32]}:{key}"


async def _told(answer: Awaitable[Any]) -> Any:
    from redis.exceptions import RedisError

    try:
        return await answer
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreError from error
