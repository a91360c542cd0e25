"""Where proofs of thought are kept, by the tool call that they stand before. A protocol; the behaviour suite in the
tests holds for each implementation. ``data`` is bytes that a store does not look into."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from .scope import Scope

__all__ = ["SignatureStore"]


class SignatureStore(Protocol):
    """Times are seconds since the epoch.

    Raises (all methods):
        StoreError: the store cannot be reached or failed.
    """

    async def remember(self, scope: Scope, proofs: Mapping[str, bytes], expires: float) -> None:
        """Keeps them under the ids of their calls, in place of what was there."""
        ...

    async def recall(self, scope: Scope, call_ids: Iterable[str], now: float) -> dict[str, bytes]: ...

    async def forget(self, scope: Scope) -> int:
        """Deletes everything of the scope; how many there were."""
        ...

    async def purge(self, now: float) -> int:
        """Deletes what has expired; how many."""
        ...
