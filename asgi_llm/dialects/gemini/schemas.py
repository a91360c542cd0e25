"""Schemas: the OpenAPI subset of ``parameters`` and ``responseSchema`` -> JSON schema, and JSON schema as
``parametersJsonSchema`` and ``responseJsonSchema`` take it.

Schemas that fit are passed on byte for byte; others are rewritten once per schema. Key order stays.
Spec: Gemini API, "Schema", "Structured outputs: JSON Schema support".
"""

from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Raw

__all__ = ["from_openapi", "to_json_schema"]

_COUNTS = frozenset({"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"})


def from_openapi(schema: Raw) -> Raw:
    """The schema as JSON schema says it: types in lower case, ``nullable`` as a type, counts as numbers."""
    return Raw(_from_openapi(bytes(schema)))


@lru_cache(maxsize=256)
def _from_openapi(schema: bytes) -> bytes:
    try:
        value = msgspec.json.decode(schema)
        lowered = _lowered(value)
        return schema if lowered == value else msgspec.json.encode(lowered)
    except (msgspec.DecodeError, RecursionError):
        return schema


def _lowered(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    lowered: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "type":
            if (kind := _type(value)) is not None:
                lowered["type"] = kind
        elif key in ("properties", "defs", "$defs") and isinstance(value, dict):
            inner = {name: _lowered(inner) for name, inner in value.items()}
            lowered["$defs" if key == "defs" else key] = inner
        elif key in ("anyOf", "allOf", "oneOf", "prefixItems") and isinstance(value, list):
            lowered[key] = [_lowered(inner) for inner in value]
        elif key in ("items", "additionalProperties"):
            lowered[key] = _lowered(value)
        elif key == "ref":
            lowered["$ref"] = value
        elif key == "example":
            lowered["examples"] = [value]
        elif key in _COUNTS and isinstance(value, str) and value.isdigit():
            lowered[key] = int(value)
        elif not (key in ("nullable", "propertyOrdering") or (key == "format" and value == "enum")):
            lowered[key] = value
    return _nullable(lowered) if schema.get("nullable") is True else lowered


def _type(value: Any) -> Any:
    if isinstance(value, list):
        return [_type(kind) for kind in value]
    if not isinstance(value, str):
        return value
    return None if value.upper() == "TYPE_UNSPECIFIED" else value.lower()


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    kind = schema.get("type")
    if isinstance(kind, str) and kind != "null":
        schema["type"] = [kind, "null"]
        if isinstance(values := schema.get("enum"), list) and None not in values:
            schema["enum"] = [*values, None]
    elif kind is None and isinstance(branches := schema.get("anyOf"), list):
        schema["anyOf"] = [*branches, {"type": "null"}]
    return schema


def to_json_schema(schema: Raw | None) -> Raw | None:
    """The schema as this API takes it; None where it says nothing, for then the API wants no schema at all."""
    if schema is None:
        return None
    fit = _to_json_schema(bytes(schema))
    return None if fit is None else Raw(fit)


@lru_cache(maxsize=256)
def _to_json_schema(schema: bytes) -> bytes | None:
    try:
        value = msgspec.json.decode(schema)
        if not isinstance(value, dict):
            return None
        if _says_nothing(value):
            return None
        fit = _fit(value)
        return schema if fit == value else msgspec.json.encode(fit)
    except (msgspec.DecodeError, RecursionError):
        return None


def _says_nothing(schema: dict[str, Any]) -> bool:
    """Whether the schema is that of any object, which the API refuses to be told."""
    if schema.keys() - {"type", "properties", "additionalProperties", "required", "$schema"}:
        return False
    return schema.get("type", "object") == "object" and not schema.get("properties")


_SCHEMA_MAPS = frozenset({"properties", "$defs", "definitions"})
_SCHEMA_LISTS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_SCHEMAS = frozenset({"items", "additionalProperties"})


def _fit(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    fit: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "$schema":
            continue
        if key == "const" and "enum" not in schema:
            fit["enum"] = [value]
        elif key in _SCHEMA_MAPS and isinstance(value, dict):
            fit[key] = {name: _fit(inner) for name, inner in value.items()}
        elif key in _SCHEMA_LISTS and isinstance(value, list):
            fit[key] = [_fit(inner) for inner in value]
        else:
            fit[key] = _fit(value) if key in _SCHEMAS else value
    return fit
