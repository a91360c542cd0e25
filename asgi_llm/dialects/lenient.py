"""Structs out of JSON that is partly wrong: what fits is taken, what does not is left at its default.

For reports like usage, where one odd field must not cost all the others. Slow, so only after the strict way failed.
"""

from typing import Any, TypeVar

import msgspec

__all__ = ["MOST", "lenient"]

T = TypeVar("T", bound=msgspec.Struct)
MOST = 2**53 - 1
"""The largest count that is believed; JSON's numbers are exact up to here."""


def lenient(raw: bytes | msgspec.Raw, kind: type[T]) -> T | None:
    """A ``kind`` (all of whose fields have defaults), or None where ``raw`` has nothing that fits. Never raises."""
    try:
        said = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        return None
    return _struct(said, kind) if isinstance(said, dict) else None


def _struct(said: dict[str, Any], kind: type[T]) -> T | None:
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        if field.encode_name in said:
            try:
                found[field.name] = msgspec.convert(said[field.encode_name], field.type, strict=False)
            except (msgspec.ValidationError, ValueError, OverflowError):
                continue
    return kind(**found) if found else None
