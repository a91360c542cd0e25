"""The line that the log ``asgi_llm.access`` gets for each exchange, as text or as a JSON object.

No content, no header, no address stands in it. What callers choose themselves is written so that it cannot end a line.
"""

import datetime as dt
from typing import Any

import msgspec

from .record import ExchangeRecord

__all__ = ["as_json", "as_text", "fields"]


def fields(record: ExchangeRecord) -> dict[str, Any]:
    """What is known, by name; docs/observability.md says what each is."""
    first = record.first_token
    known: dict[str, Any] = {
        "time": dt.datetime.fromtimestamp(record.at, dt.UTC).isoformat(timespec="milliseconds"),
        "id": record.id,
        "tenant": record.tenant,
        "subject": record.subject,
        "key_id": record.key_id,
        "endpoint": record.endpoint,
        "dialect": record.dialect,
        "model": record.model,
        "served": record.served,
        "target": record.target,
        "worker": record.worker,
        "mode": record.mode,
        "rung": record.rung,
        "why": record.why if record.attempts else "",
        "cache": record.cache,
        "stream": record.stream,
        "status": record.status,
        "outcome": record.outcome,
        "error": record.error,
        "attempts": len(record.attempts),
        "input": record.input,
        "output": record.output,
        "cache_read": record.cache_read or None,
        "cache_write": record.cache_write or None,
        "reasoning": record.reasoning or None,
        "ms": round(1000 * record.seconds),
        "first_token_ms": None if first is None else round(1000 * first),
        "trace_id": record.trace_id,
    }
    return {name: value for name, value in known.items() if value is not None and value != ""}


def as_json(known: dict[str, Any]) -> str:
    return msgspec.json.encode(known).decode("utf-8")


def as_text(known: dict[str, Any]) -> str:
    """``name=value`` for each but the time, which logs say themselves."""
    return " ".join(f"{name}={_word(value)}" for name, value in known.items() if name != "time")


def _word(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if text.isprintable() and not set(text) & {" ", '"', "="}:
        return text
    return msgspec.json.encode(text).decode("utf-8") if text.isprintable() else ascii(text)
