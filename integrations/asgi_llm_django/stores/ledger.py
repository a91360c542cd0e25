"""The ledger. Rows are added and read, and never changed."""

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from django.db import connections
from django.db.models import BigIntegerField, Case, Count, F, Q, QuerySet, Value, When
from django.db.models import Sum as SumOf
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce, Collate

from asgi_llm.metering.row import COUNTS, Row
from asgi_llm.stores.ledger import EVERYTHING, SUMMED, Cursor, Dimension, Query, Sum
from asgi_llm.stores.owner import Owner
from asgi_llm_django.models import Usage

from .desk import Desk

__all__ = ["ORMLedger", "add_rows", "summed", "totals"]

_FIELDS = Row.__struct_fields__
_JSON = ("server_tools", "flags", "tools_offered", "tools_used", "warnings")
_EQUAL = ("model", "served", "target", "subject", "tenant", "key_id", "outcome")


class ORMLedger:
    """Implements ``Ledger``."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def add(self, rows: Sequence[Row]) -> None:
        if rows:
            await self._desk.write(add_rows, rows)

    async def rows(
        self, owner: Owner, query: Query = EVERYTHING, *, limit: int = 100, after: Cursor | None = None
    ) -> list[Row]:
        return await self._desk.read(_rows, owner, query, limit, after)

    async def sums(
        self,
        owner: Owner,
        by: Sequence[Dimension] = (),
        query: Query = EVERYTHING,
        *,
        limit: int = 1000,
        offset: int = 0,
    ) -> list[Sum]:
        return await self._desk.read(_sums, owner, by, query, limit, offset)

    async def aclose(self) -> None:
        """Its threads belong to the process."""


def add_rows(database: str, rows: Sequence[Row]) -> None:
    Usage.objects.using(database).bulk_create([_usage(row) for row in rows], ignore_conflicts=True)


def _rows(database: str, owner: Owner, query: Query, limit: int, after: Cursor | None) -> list[Row]:
    found = _matching(database, owner, query)
    name = _by_bytes(database, "id")
    if after is not None:
        at, last = after
        found = found.annotate(name=name).filter(Q(at__lt=at) | Q(at=at, name__lt=last))
    return [_row(values) for values in found.order_by("-at", name.desc()).values_list(*_FIELDS)[:limit]]


def _sums(database: str, owner: Owner, by: Sequence[Dimension], query: Query, limit: int, offset: int) -> list[Sum]:
    found = _matching(database, owner, query)
    if not by:
        return [summed((), found.aggregate(**totals()))][offset : offset + limit]
    order = [_by_bytes(database, name).asc(nulls_first=True) for name in by]
    groups = found.order_by().values(*by).annotate(**totals()).order_by(*order)[offset : offset + limit]
    return [summed(by, dict(group)) for group in groups]


def _matching(database: str, owner: Owner, query: Query) -> QuerySet[Usage]:
    said: dict[str, Any] = {name: value for name in _EQUAL if (value := getattr(query, name)) is not None}
    if query.since is not None:
        said["at__gte"] = query.since
    if query.until is not None:
        said["at__lt"] = query.until
    owned = {name: value for name in ("tenant", "subject") if (value := getattr(owner, name)) is not None}
    return Usage.objects.using(database).filter(**said).filter(**owned)


def _by_bytes(database: str, name: str) -> Any:
    """A column compared by its bytes, as everywhere else; by other rules pages and groups had another order in each
    database."""
    if connections[database].vendor != "postgresql" or name == "day":
        return F(name)
    return Collate(name, "C")


def totals() -> dict[str, Combinable]:
    """The aggregates that make a ``Sum``. Their names begin with ``all_``, since columns have the others."""
    used = Q()
    for name in COUNTS:
        used |= Q(**{f"{name}__gt": 0})
    counted: dict[str, Combinable] = {
        "all_requests": Count("pk"),
        "all_failed": _count(~Q(outcome="ok")),
        "all_unpriced": _count(Q(used, cost=None)),
        "all_estimated": _count(Q(estimated=True)),
    }
    return counted | {f"all_{name}": _total(name) for name in SUMMED}


def _count(said: Q) -> Combinable:
    return Count(Case(When(said, then=Value(1))))


def _total(name: str) -> Combinable:
    return Coalesce(SumOf(name), Value(0), output_field=BigIntegerField())


def summed(by: Sequence[Dimension], found: dict[str, Any]) -> Sum:
    """What ``totals`` found, for one group."""
    group: dict[str, str | None] = {name: _shown(found[name]) for name in by}
    return Sum(group=group, **{name[4:]: int(value) for name, value in found.items() if name.startswith("all_")})


def _shown(value: Any) -> str | None:
    return value.isoformat() if isinstance(value, dt.date) else value


def _usage(row: Row) -> Usage:
    values = {name: getattr(row, name) for name in _FIELDS}
    for name in _JSON:
        if values[name] is not None:
            values[name] = msgspec.json.encode(values[name]).decode()
    return Usage(**values, day=dt.datetime.fromtimestamp(row.at // 1000, dt.UTC).date())


def _row(found: Iterable[Any]) -> Row:
    values = dict(zip(_FIELDS, found, strict=True))
    for name in _JSON:
        if values[name] is not None:
            values[name] = msgspec.json.decode(values[name])
    return msgspec.convert(values, Row)
