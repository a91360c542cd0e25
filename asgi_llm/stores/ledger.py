"""The ledger: a row for each request, added once and never changed; rows and sums of rows are read."""

import datetime as dt
from collections.abc import Sequence
from typing import Literal, Protocol, get_args

from msgspec import Struct

from asgi_llm.metering.row import Row

from .owner import Owner

__all__ = ["DAY", "DIMENSIONS", "EVERYTHING", "SUMMED", "Cursor", "Dimension", "Ledger", "Query", "Sum", "milliseconds"]

Dimension = Literal["day", "tenant", "subject", "key_id", "model", "served", "target", "endpoint", "dialect", "outcome"]
DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)
"""By what can be grouped. A day is one of UTC, as ``2026-11-21``."""

DAY = 86_400_000
"""Milliseconds."""

SUMMED = (
    "fresh",
    "cache_read",
    "cache_write",
    "cache_write_5m",
    "cache_write_1h",
    "tool_prompt",
    "visible",
    "reasoning",
    "audio_in",
    "audio_out",
    "cost",
    "market",
)
"""The fields of a row that are summed up."""


def milliseconds(text: str) -> int:
    """A day (its beginning, in UTC) or a time in ISO 8601 -> milliseconds since the epoch.

    Raises:
        ValueError: it is neither.
    """
    when = dt.datetime.fromisoformat(text)
    when = when if when.tzinfo is not None else when.replace(tzinfo=dt.UTC)
    return int(when.timestamp() * 1000)


Cursor = tuple[int, str]
"""Where a page ended: ``at`` and ``id`` of its last row."""


class Query(Struct, frozen=True, kw_only=True):
    """Which rows. Times are milliseconds since the epoch: ``since`` itself counts, ``until`` itself does not."""

    since: int | None = None
    until: int | None = None
    model: str | None = None
    served: str | None = None
    target: str | None = None
    subject: str | None = None
    tenant: str | None = None
    key_id: str | None = None
    outcome: str | None = None


EVERYTHING = Query()


class Sum(Struct, frozen=True, kw_only=True):
    """Rows summed up. ``group`` is the value of each dimension asked for. ``failed`` counts those with another outcome
    than ``ok``, ``unpriced`` those that used something whose cost is not known, ``estimated`` those whose tokens were
    guessed. What nobody knew counts as nothing in the sums."""

    group: dict[str, str | None] = {}
    requests: int = 0
    failed: int = 0
    unpriced: int = 0
    estimated: int = 0
    fresh: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    tool_prompt: int = 0
    visible: int = 0
    reasoning: int = 0
    audio_in: int = 0
    audio_out: int = 0
    cost: int = 0
    market: int = 0

    @property
    def input(self) -> int:
        """All input, in tokens."""
        written = self.cache_write + self.cache_write_5m + self.cache_write_1h
        return self.fresh + self.cache_read + written + self.tool_prompt

    @property
    def output(self) -> int:
        """All output, in tokens."""
        return self.visible + self.reasoning


class Ledger(Protocol):
    """Implementations are for one event loop. Each method raises ``StoreError`` where the store does not work."""

    async def add(self, rows: Sequence[Row]) -> None:
        """Adds rows; those whose id is there already are left as they are."""
        ...

    async def rows(
        self, owner: Owner, query: Query = EVERYTHING, *, limit: int = 100, after: Cursor | None = None
    ) -> list[Row]:
        """The owner's rows, the latest first, at most ``limit``; ``after`` is the last one of the page before."""
        ...

    async def sums(
        self,
        owner: Owner,
        by: Sequence[Dimension] = (),
        query: Query = EVERYTHING,
        *,
        limit: int = 1000,
        offset: int = 0,
    ) -> list[Sum]:
        """The owner's rows summed up for each value of ``by``, in the order of those values, nothing first."""
        ...

    async def aclose(self) -> None: ...
