"""What was used and what it cost, for people and programs: the ledger's sums and rows as a table, JSON or CSV."""

import csv
import datetime as dt
import io
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from msgspec import structs

from asgi_llm.errors import ConfigError, Problem
from asgi_llm.settings import Settings
from asgi_llm.stores.host import host_stores
from asgi_llm.stores.ledger import Dimension, Ledger, Query, Sum
from asgi_llm.stores.opening import database_opener
from asgi_llm.stores.owner import ANYBODY

__all__ = ["Format", "read_report", "rendered"]

Format = Literal["table", "json", "csv"]
_COLUMNS = ("requests", "failed", "input", "cache_read", "output", "reasoning", "cost", "unpriced")
_ROWS = ("at", "id", "tenant", "subject", "model", "target", "outcome", "input", "output", "cost")
_MICRO = 1_000_000


async def read_report(
    settings: Settings, by: Sequence[Dimension], query: Query, *, limit: int, rows: bool = False
) -> list[dict[str, Any]]:
    """Sums by ``by``, or the latest ``rows``, as JSON values.

    Raises:
        ConfigError: nothing is kept where another process could read it.
        StoreError: it cannot be read.
    """
    host, opener = host_stores(settings.store), database_opener(settings.store)
    if host is not None:
        return await _read(host.ledger(), by, query, limit, rows=rows)
    if opener is None:
        raise ConfigError([Problem("store.url", "names no database to read from: set one, as in sqlite:///llm.db")])
    from asgi_llm.stores.sql.ledger import SQLLedger

    database = opener()
    try:
        return await _read(SQLLedger(database), by, query, limit, rows=rows)
    finally:
        await database.aclose()


async def _read(
    ledger: Ledger, by: Sequence[Dimension], query: Query, limit: int, *, rows: bool
) -> list[dict[str, Any]]:
    if rows:
        return [row.told() for row in await ledger.rows(ANYBODY, query, limit=limit)]
    return [_told(item) for item in await ledger.sums(ANYBODY, by, query, limit=limit)]


def _told(item: Sum) -> dict[str, Any]:
    fields = structs.asdict(item)
    group: dict[str, Any] = fields.pop("group")
    return group | fields | {"input": item.input, "output": item.output}


def rendered(data: list[dict[str, Any]], form: Format, by: Sequence[str], *, rows: bool = False) -> str:
    """The report, without a line's end behind it. JSON and CSV have every field, in microdollars and milliseconds; a
    table has the most important ones, in dollars and as times in UTC, and of several groups their total."""
    if form == "json":
        return msgspec.json.format(msgspec.json.encode(data)).decode()
    if form == "csv":
        return _csv(data)
    if rows:
        return _table(data, _ROWS)
    if len(data) > 1:
        total = {name: sum(item[name] for item in data) for name in _COLUMNS}
        data = [*data, dict.fromkeys(by, "") | {by[0]: "total"} | total]
    return _table(data, (*by, *_COLUMNS))


def _csv(data: list[dict[str, Any]]) -> str:
    if not data:
        return ""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(data[0])
    writer.writerows([[_cell(value) for value in item.values()] for item in data])
    return text.getvalue().rstrip("\n")


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"  # a spreadsheet would run it, and names of models are the callers' to invent
    if isinstance(value, list | tuple | dict):
        return msgspec.json.encode(value).decode()
    return value


def _table(data: list[dict[str, Any]], columns: Sequence[str]) -> str:
    lines = [list(columns), *([_shown(name, item[name]) for name in columns] for item in data)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    right = [bool(data) and all(isinstance(item[name], int | None) for item in data) for name in columns]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name == "at":
        return dt.datetime.fromtimestamp(value // 1000, dt.UTC).strftime("%Y-%m-%d %H:%M:%S")
    if name == "cost":
        return f"{value // _MICRO}.{value % _MICRO:06}"
    # Whatever a caller put into a name must not move the cursor of whoever reads it.
    return "".join(char if char.isprintable() else "?" for char in str(value))
