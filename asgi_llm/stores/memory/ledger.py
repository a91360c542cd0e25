"""The ledger in memory: the latest rows, so many and no more."""

import datetime as dt
from collections import OrderedDict
from collections.abc import Iterable, Sequence

from asgi_llm.metering.row import COUNTS, Row
from asgi_llm.stores.ledger import DAY, EVERYTHING, SUMMED, Cursor, Dimension, Query, Sum
from asgi_llm.stores.owner import Owner

__all__ = ["MemoryLedger"]

_EQUAL = ("model", "served", "target", "subject", "tenant", "key_id", "outcome")


class MemoryLedger:
    """See ``Ledger``. Keeps ``most`` rows; the first to come are the first to go."""

    __slots__ = ("_rows", "most")

    def __init__(self, most: int = 10_000) -> None:
        self.most = most
        self._rows: OrderedDict[str, Row] = OrderedDict()

    async def add(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self._rows.setdefault(row.id, row)
        while len(self._rows) > self.most:
            self._rows.popitem(last=False)

    async def rows(
        self, owner: Owner, query: Query = EVERYTHING, *, limit: int = 100, after: Cursor | None = None
    ) -> list[Row]:
        found = [row for row in self._matching(owner, query) if after is None or (row.at, row.id) < after]
        return sorted(found, key=lambda row: (row.at, row.id), reverse=True)[:limit]

    async def sums(
        self,
        owner: Owner,
        by: Sequence[Dimension] = (),
        query: Query = EVERYTHING,
        *,
        limit: int = 1000,
        offset: int = 0,
    ) -> list[Sum]:
        groups: dict[tuple[str | None, ...], list[Row]] = {}
        for row in self._matching(owner, query):
            groups.setdefault(tuple(_value(row, name) for name in by), []).append(row)
        if not by:
            groups.setdefault((), [])
        keys = sorted(groups, key=lambda key: [(value is not None, value or "") for value in key])
        return [_sum(dict(zip(by, key, strict=True)), groups[key]) for key in keys[offset : offset + limit]]

    async def aclose(self) -> None:
        return None

    def _matching(self, owner: Owner, query: Query) -> list[Row]:
        return [row for row in self._rows.values() if _owned(row, owner) and _matches(row, query)]


def _owned(row: Row, owner: Owner) -> bool:
    return (owner.tenant is None or row.tenant == owner.tenant) and (
        owner.subject is None or row.subject == owner.subject
    )


def _matches(row: Row, query: Query) -> bool:
    if (query.since is not None and row.at < query.since) or (query.until is not None and row.at >= query.until):
        return False
    return all((wanted := getattr(query, name)) is None or getattr(row, name) == wanted for name in _EQUAL)


def _value(row: Row, name: Dimension) -> str | None:
    if name == "day":
        return dt.datetime.fromtimestamp(row.at // DAY * DAY // 1000, dt.UTC).date().isoformat()
    value: str | None = getattr(row, name)
    return value


def _sum(group: dict[str, str | None], rows: Iterable[Row]) -> Sum:
    rows = list(rows)
    return Sum(
        group=group,
        requests=len(rows),
        failed=sum(row.outcome != "ok" for row in rows),
        unpriced=sum(row.cost is None and any(getattr(row, name) for name in COUNTS) for row in rows),
        estimated=sum(row.estimated for row in rows),
        **{name: sum(getattr(row, name) or 0 for row in rows) for name in SUMMED},
    )
