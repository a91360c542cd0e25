"""``asgi-llm usage``: what was used and what it cost, from the ledger of the settings."""

import argparse
import asyncio
from collections.abc import Callable
from typing import Any

from asgi_llm.errors import StoreError
from asgi_llm.report import read_report, rendered
from asgi_llm.settings import Settings
from asgi_llm.source import METAVAR, settings_of
from asgi_llm.stores.ledger import DIMENSIONS, Dimension, Query, milliseconds

__all__ = ["add_usage"]


def add_usage(commands: Any, settings: Callable[[], Settings] | None = None) -> None:
    """Adds the command to a parser's ``commands``. ``settings`` are a host's; without them it asks for a file."""
    usage = commands.add_parser("usage", help="say what was used and what it cost")
    usage.set_defaults(run=lambda options: _usage(options, settings() if settings else settings_of(options.source)))
    if settings is None:
        usage.add_argument("source", metavar=METAVAR)
    usage.add_argument("--by", default="", type=_dimensions, help=f"grouped by: {','.join(DIMENSIONS)}")
    usage.add_argument("--rows", action="store_true", help="single requests, the latest first")
    for name in ("since", "until"):
        usage.add_argument(f"--{name}", type=_time, metavar="TIME", help="a day or a time, as 2026-11-21")
    for name in ("tenant", "subject", "model", "target", "key-id", "outcome"):
        usage.add_argument(f"--{name}", help=f"of this {name} only")
    usage.add_argument("--limit", default=1000, type=_limit, help="most lines (default: %(default)s)")
    usage.add_argument("--format", choices=("table", "json", "csv"), default="table")


def _dimensions(text: str) -> tuple[Dimension, ...]:
    names = [name for name in text.split(",") if name]
    found = tuple(known for name in names for known in DIMENSIONS if known == name)
    if len(found) == len(names) == len(set(names)):
        return found
    raise argparse.ArgumentTypeError(f"must be different ones of {', '.join(DIMENSIONS)}")


def _limit(text: str) -> int:
    if text.isdigit() and int(text):
        return int(text)
    raise argparse.ArgumentTypeError("must be a number from 1 on")


def _time(text: str) -> int:
    try:
        return milliseconds(text)
    except ValueError:
        raise argparse.ArgumentTypeError("must be a day or a time, as 2026-11-21 or 2026-11-21T08:30:00Z") from None


def _usage(options: argparse.Namespace, settings: Settings) -> int:
    names = ("since", "until", "tenant", "subject", "model", "target", "key_id", "outcome")
    query = Query(**{name: getattr(options, name) for name in names})
    try:
        report = read_report(settings, options.by, query, limit=options.limit, rows=options.rows)
        data = asyncio.run(report)
    except StoreError as error:
        raise StoreError(f"the ledger cannot be read: {error.reason}") from None
    print(rendered(data, options.format, options.by, rows=options.rows))
    return 0
