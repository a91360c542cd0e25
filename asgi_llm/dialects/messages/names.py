"""Identifiers as the Messages API takes them, by pure functions: the same name gives the same name, always.

Tool ids match ``^[a-zA-Z0-9_-]+$``, tool names ``^[a-zA-Z0-9_-]{1,128}$``. No table has to survive between requests,
so that a conversation of many turns is encoded to the same bytes every time.
"""

import re
from hashlib import sha256

__all__ = ["call_id", "flat_name", "tool_name"]

_LEGAL_ID = re.compile(r"[A-Za-z0-9_-]{1,256}\Z")
_LEGAL_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}\Z")
_ILLEGAL = re.compile(r"[^A-Za-z0-9_-]")


def call_id(original: str, occurrence: int = 0) -> str:
    """A legal tool id. ``occurrence`` counts earlier calls under the same id, which the API wants unique."""
    if occurrence == 0 and _LEGAL_ID.match(original):
        return original
    text = f"{original}\x00{occurrence}" if occurrence else original
    return "toolu_" + _digest(text)[:24]


def tool_name(original: str) -> str:
    """A legal tool name: the original, or what is legal of it with eight digits of its hash."""
    if _LEGAL_NAME.match(original):
        return original
    return f"{_ILLEGAL.sub('_', original)[:119]}_{_digest(original)[:8]}"


def flat_name(name: str, namespace: str | None) -> str:
    """The legal name of a tool that may live in a namespace."""
    return tool_name(f"{namespace}__{name}" if namespace else name)


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
