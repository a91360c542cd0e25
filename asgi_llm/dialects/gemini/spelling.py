"""The spellings that protobuf JSON allows: snake_case keys become camelCase, URL-safe base64 becomes standard.

Spec: Protocol Buffers, "ProtoJSON format". Nearly all bodies are camelCase already and are not touched; Python clients
mix both at every level. What the caller owns (arguments, results, JSON schemas, labels) keeps its keys.
"""

import re

import msgspec
from msgspec import Raw

__all__ = ["camel", "is_base64", "standard_base64"]

_SNAKE_KEY = re.compile(rb'"[a-z][a-z0-9]*_[a-z0-9_]+"\s*:')
_UNDERSCORE = re.compile(r"(?<=[a-z0-9])_([a-z0-9])")
_OWNED = frozenset(
    {
        "args", "response", "parametersJsonSchema", "responseJsonSchema", "labels", "partMetadata", "default",
        "example", "enum", "mcpServers", "metadata",
    }
)  # fmt: skip
"""Members whose value the caller made up."""
_NAMED = frozenset({"properties", "defs"})
"""Members that map names the caller made up to schemas."""
_DEEPEST = 40
"""Levels looked at; the messages of this API are not so deep, schemas hardly."""

_OBJECT: msgspec.json.Decoder[dict[str, Raw]] = msgspec.json.Decoder(dict[str, Raw])
_LIST: msgspec.json.Decoder[list[Raw]] = msgspec.json.Decoder(list[Raw])


def camel(body: bytes) -> bytes:
    """The body with its keys in camelCase; the same bytes where they are already.

    Raises:
        msgspec.DecodeError: it is not JSON.
        RecursionError: it is nested too deeply.
    """
    if b"_" not in body or _SNAKE_KEY.search(body) is None:
        return body
    return bytes(_walk(Raw(body.strip()), 0))


def _walk(raw: Raw, depth: int) -> Raw:
    first = bytes(memoryview(raw)[:1])
    if depth > _DEEPEST or first not in (b"{", b"["):
        return raw
    if first == b"[":
        return Raw(msgspec.json.encode([_walk(item, depth + 1) for item in _LIST.decode(raw)]))
    renamed: dict[str, Raw] = {}
    for key, value in _OBJECT.decode(raw).items():
        name = _UNDERSCORE.sub(_upper, key) if "_" in key else key
        if name != key and name in renamed:
            continue  # said in both spellings: the API's own counts
        renamed[name] = value if name in _OWNED else _names(value, depth) if name in _NAMED else _walk(value, depth + 1)
    return Raw(msgspec.json.encode(renamed))


def _names(raw: Raw, depth: int) -> Raw:
    if bytes(memoryview(raw)[:1]) != b"{":
        return raw
    return Raw(msgspec.json.encode({name: _walk(value, depth + 1) for name, value in _OBJECT.decode(raw).items()}))


def _upper(found: "re.Match[str]") -> str:
    return found.group(1).upper()


_URL_SAFE = str.maketrans("-_", "+/")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}\Z")


def standard_base64(data: str) -> str:
    """Base64 of either alphabet, padded or not, on one line or several, as standard base64. The bytes are never
    decoded."""
    if "\n" in data or "\r" in data:
        data = data.replace("\r", "").replace("\n", "")
    if "-" in data or "_" in data:
        data = data.translate(_URL_SAFE)
    return data + "=" * (-len(data) % 4) if len(data) % 4 else data


def is_base64(data: str) -> bool:
    """Whether the text is standard base64 that says something."""
    return len(data) % 4 == 0 and _BASE64.match(data) is not None
