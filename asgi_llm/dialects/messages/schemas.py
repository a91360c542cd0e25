"""JSON schemas as the Messages API takes them, and JSON text as its objects.

A tool's ``input_schema`` is open but must be one plain object at its root. Structured output and strict tools need
closed objects and know a subset of JSON Schema; what they do not know moves into the description. Schemas that fit are
passed on byte for byte; others are rewritten once per schema.
Spec: Anthropic Messages API, "Structured outputs", JSON Schema limitations.
"""

from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Raw, Struct

from .raws import NULL

__all__ = ["OPEN_OBJECT", "closed_schema", "object_text", "root_is_object", "tool_schema"]

OPEN_OBJECT = Raw(b'{"type":"object","properties":{}}')
_ANYTHING = Raw(b"{}")

_ANY_OBJECT: msgspec.json.Decoder[dict[str, Raw]] = msgspec.json.Decoder(dict[str, Raw])


class _Root(Struct):
    type: Any = None
    one_of: Raw = msgspec.field(name="oneOf", default=NULL)
    any_of: Raw = msgspec.field(name="anyOf", default=NULL)
    all_of: Raw = msgspec.field(name="allOf", default=NULL)


_ROOT = msgspec.json.Decoder(_Root)


def object_text(text: str) -> Raw:
    """JSON text as an object: itself where it is one, ``{}`` where it is blank, else ``{"_raw": text}``.

    Nothing is repaired: what the model wrote stays readable.
    """
    stripped = text.strip()
    if not stripped:
        return Raw(b"{}")
    try:
        data = stripped.encode()
        _ANY_OBJECT.decode(data)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        clean = text.encode("utf-8", "replace").decode()
        return Raw(msgspec.json.encode({"_raw": clean}))
    return Raw(data)


def root_is_object(schema: Raw) -> bool:
    """Whether the schema describes one plain object."""
    try:
        root = _ROOT.decode(schema)
    except (msgspec.DecodeError, RecursionError):
        return False
    return root.type == "object" and root.one_of == NULL and root.any_of == NULL and root.all_of == NULL


def tool_schema(schema: Raw | None) -> tuple[Raw, bool]:
    """The schema as ``input_schema``, and whether it had to be rewritten."""
    if schema is None or schema in (NULL, _ANYTHING):
        return OPEN_OBJECT, False
    if root_is_object(schema):
        return schema, False
    return Raw(_as_object(bytes(schema))), True


@lru_cache(maxsize=256)
def _as_object(schema: bytes) -> bytes:
    """A root without a type gets one; alternatives at the root become one object with all their properties."""
    try:
        root = msgspec.json.decode(schema)
    except (msgspec.DecodeError, RecursionError):
        return bytes(OPEN_OBJECT)
    if not isinstance(root, dict) or root.get("type", "object") not in ("object", ["object"], ["object", "null"]):
        return bytes(OPEN_OBJECT)
    properties: dict[str, Any] = {}
    for key in ("allOf", "anyOf", "oneOf"):
        for branch in _branches(root.pop(key, None)):
            properties.update(_properties(branch))
    properties.update(_properties(root))
    return msgspec.json.encode({**root, "type": "object", "properties": properties})


def _branches(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _properties(schema: Any) -> dict[str, Any]:
    found = schema.get("properties") if isinstance(schema, dict) else None
    return found if isinstance(found, dict) else {}


@lru_cache(maxsize=256)
def closed_schema(schema: bytes) -> bytes:
    """The schema as structured output and strict tools take it: objects closed, unknown limits in descriptions.

    Bytes that need no change come back as they are.
    """
    try:
        value = msgspec.json.decode(schema)
        closed = _closed(value)
        return schema if closed == value else msgspec.json.encode(closed)
    except (msgspec.DecodeError, RecursionError):
        return schema


_LIMITS = (
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
)
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"})
_SCHEMA_MAPS = ("properties", "$defs", "definitions")
_SCHEMA_LISTS = ("anyOf", "allOf")


def _closed(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    closed: dict[str, Any] = {}
    moved: list[str] = []
    for key, value in schema.items():
        if key in _LIMITS or (key == "minItems" and value not in (0, 1)) or _bad_format(key, value):
            moved.append(f"{key}: {msgspec.json.encode(value).decode()}")
        elif key in _SCHEMA_MAPS and isinstance(value, dict):
            closed[key] = {name: _closed(inner) for name, inner in value.items()}
        elif key == "oneOf" and "anyOf" not in schema:
            closed["anyOf"] = [_closed(inner) for inner in _branches(value)]
        elif key in _SCHEMA_LISTS:
            closed[key] = [_closed(inner) for inner in _branches(value)]
        else:
            closed[key] = _closed(value) if key == "items" else value
    if _is_object(closed) and closed.get("additionalProperties") is not False:
        closed["additionalProperties"] = False
    if moved:
        closed["description"] = "; ".join(filter(None, [_string(closed.get("description")), *moved]))
    return closed


def _bad_format(key: str, value: Any) -> bool:
    return key == "format" and not (isinstance(value, str) and value in _FORMATS)


def _is_object(schema: dict[str, Any]) -> bool:
    kind = schema.get("type")
    return kind == "object" or (isinstance(kind, list) and "object" in kind) or ("properties" in schema and not kind)


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""
