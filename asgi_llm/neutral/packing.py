"""Neutral values as bytes and back, for whoever keeps them. Values alone: nothing that is read can become code."""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from . import request, response, usage

__all__ = ["pack", "unpack"]

_KIND, _RAW, _MAP = "$", "$raw", "$map"
_KINDS: dict[str, type[Struct]] = {
    name: kind
    for module in (request, response, usage)
    for name in module.__all__
    if isinstance(kind := getattr(module, name), type) and issubclass(kind, Struct)
}


def pack(value: Struct) -> bytes:
    """``value``, a struct of this room, as JSON."""
    return msgspec.json.encode(_packed(value))


def unpack(data: bytes) -> Any:
    """What was packed.

    Raises:
        ValueError: that is not what it is, or an earlier version packed it.
    """
    try:
        return _unpacked(msgspec.json.decode(data))
    except (msgspec.DecodeError, TypeError, KeyError, RecursionError) as error:
        raise ValueError("these are no packed values of this version") from error


def _packed(value: Any) -> Any:
    match value:
        case Raw():
            return {_RAW: bytes(value).decode()}
        case Struct():
            said = ((name, getattr(value, name)) for name in value.__struct_fields__)
            return {_KIND: type(value).__name__} | {name: _packed(field) for name, field in said if field is not None}
        case tuple() | list():
            return [_packed(item) for item in value]
        case dict():
            return {_MAP: {name: _packed(item) for name, item in value.items()}}
    return value


def _unpacked(value: Any) -> Any:
    match value:
        case list():
            return tuple(_unpacked(item) for item in value)
        case {"$raw": str(text)}:
            return Raw(text.encode())
        case {"$map": dict(items)}:
            return {name: _unpacked(item) for name, item in items.items()}
        case {"$": str(kind)}:
            return _KINDS[kind](**{name: _unpacked(field) for name, field in value.items() if name != _KIND})
        case dict():
            raise ValueError("a value of no kind")
    return value
