"""What a store of answers does: bytes under a key, within a scope, for a time."""

from typing import Protocol

from .scope import Scope

__all__ = ["AnswerStore"]


class AnswerStore(Protocol):
    """May lose anything at any time: a cache. ``shared`` says whether other processes see the same."""

    async def get(self, scope: Scope, key: str, now: float) -> bytes | None:
        """What is kept there; ``now`` is seconds since the epoch.

        Raises:
            StoreError: the store cannot be asked.
        """
        ...

    async def put(self, scope: Scope, key: str, value: bytes, now: float, ttl: float) -> None:
        """Keeps ``value`` for ``ttl`` seconds.

        Raises:
            StoreError: the store cannot be asked.
        """
        ...

    async def aclose(self) -> None: ...
