"""Answers in memory: for one process, and any number of event loops and threads of it."""

import threading
from collections import OrderedDict

from asgi_llm.stores.scope import Scope

__all__ = ["MemoryAnswers"]

_OVERHEAD = 400
"""Bytes that an entry takes beside its value, roughly."""


class MemoryAnswers:
    """Implements ``AnswerStore``. ``most`` is how many bytes are kept; what was not asked for longest goes first."""

    def __init__(self, most: int = 64 * 1024 * 1024) -> None:
        self.most = most
        self._lock = threading.Lock()
        self._size = 0
        self._entries: OrderedDict[tuple[Scope, str], tuple[float, bytes]] = OrderedDict()

    async def get(self, scope: Scope, key: str, now: float) -> bytes | None:
        place = (scope, key)
        with self._lock:
            found = self._entries.get(place)
            if found is None:
                return None
            expires, value = found
            if expires <= now:
                self._drop(place)
                return None
            self._entries.move_to_end(place)
            return value

    async def put(self, scope: Scope, key: str, value: bytes, now: float, ttl: float) -> None:
        place = (scope, key)
        with self._lock:
            if place in self._entries:
                self._drop(place)
            self._entries[place] = (now + ttl, value)
            self._size += len(value) + _OVERHEAD
            while self._size > self.most and self._entries:
                self._drop(next(iter(self._entries)))

    async def aclose(self) -> None:
        pass

    def _drop(self, place: tuple[Scope, str]) -> None:
        _, value = self._entries.pop(place)
        self._size -= len(value) + _OVERHEAD
