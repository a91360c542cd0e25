"""How long an upstream asks to be left alone: ``retry-after-ms``, or ``retry-after`` in seconds or as a date
(RFC 9110, section 10.2.3)."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from asgi_llm.types import Headers

__all__ = ["retry_after", "seconds"]


def retry_after(headers: Headers) -> float | None:
    """Seconds, or None where nothing that can be read was said. A date is measured against the answer's own ``date``:
    there is no clock here, and the upstream's need not agree with ours."""
    fields = {name.lower(): value.decode("latin-1") for name, value in headers}
    if (millis := seconds(fields.get(b"retry-after-ms"))) is not None:
        return millis / 1000
    told = fields.get(b"retry-after")
    if (found := seconds(told)) is not None:
        return found
    until, sent = _moment(told), _moment(fields.get(b"date"))
    return None if until is None or sent is None else max(0.0, (until - sent).total_seconds())


def seconds(text: str | None) -> float | None:
    """A number of seconds as text; None if it is none, negative or absurd."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value < 1e9 else None


def _moment(text: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text or "")
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
