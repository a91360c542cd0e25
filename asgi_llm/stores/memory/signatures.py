"""Proofs of thought in the memory of this process. Bounded: beyond its size the oldest go first."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping

from asgi_llm.stores.scope import Scope

__all__ = ["MemorySignatures"]


class MemorySignatures:
    """See ``SignatureStore``. ``size`` is the most bytes that it keeps."""

    def __init__(self, size: int = 64 * 1024 * 1024) -> None:
        self._most = size
        self._size = 0
        self._kept: OrderedDict[tuple[Scope, str], tuple[bytes, float]] = OrderedDict()

    async def remember(self, scope: Scope, proofs: Mapping[str, bytes], expires: float) -> None:
        for name, data in proofs.items():
            self._drop((scope, name))
            self._kept[scope, name] = (data, expires)
            self._size += len(data)
        while self._size > self._most:
            self._drop(next(iter(self._kept)))

    async def recall(self, scope: Scope, call_ids: Iterable[str], now: float) -> dict[str, bytes]:
        found = {name: self._kept.get((scope, name)) for name in call_ids}
        return {name: kept[0] for name, kept in found.items() if kept is not None and kept[1] > now}

    async def forget(self, scope: Scope) -> int:
        gone = [key for key in self._kept if key[0] == scope]
        for key in gone:
            self._drop(key)
        return len(gone)

    async def purge(self, now: float) -> int:
        gone = [key for key, kept in self._kept.items() if kept[1] <= now]
        for key in gone:
            self._drop(key)
        return len(gone)

    def _drop(self, key: tuple[Scope, str]) -> None:
        if (kept := self._kept.pop(key, None)) is not None:
            self._size -= len(kept[0])
