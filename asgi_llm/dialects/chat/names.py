"""Tool names and tool call ids as the upstream takes them.

Pure functions of what they replace, so that no table has to survive between requests and history is always written
the same: what is illegal or too long becomes a prefix and a hash.
"""

import re
from collections.abc import Iterable
from hashlib import sha256

from asgi_llm.neutral.request import CustomTool, FunctionTool, Tool, TypedTool

__all__ = ["NAME_LIMIT", "ToolNames", "legal_id", "wire_id", "wire_name"]

NAME_LIMIT = 64
_HASHED = 8
_ILLEGAL = re.compile(r"[^A-Za-z0-9_-]")
_LEGAL = re.compile(r"[A-Za-z0-9_-]+")
_EXACT = 16
"""An id limit this short (Mistral's 9) is an exact length, of letters and digits only."""


def wire_name(name: str) -> str:
    """The name itself where it is legal (``[A-Za-z0-9_-]{1,64}``), else its beginning and a hash of the whole."""
    if len(name) <= NAME_LIMIT and _LEGAL.fullmatch(name):
        return name
    return _shorten(name, name)


def _shorten(name: str, hashed: str) -> str:
    digest = sha256(hashed.encode()).hexdigest()[:_HASHED]
    return f"{_ILLEGAL.sub('_', name[: NAME_LIMIT - _HASHED - 1])}_{digest}"


def wire_id(call_id: str, limit: int) -> str:
    """The tool call id as the upstream takes it."""
    if limit <= _EXACT:
        if len(call_id) == limit and call_id.isascii() and call_id.isalnum():
            return call_id
        return sha256(call_id.encode()).hexdigest()[:limit]
    if len(call_id) <= limit and _LEGAL.fullmatch(call_id):
        return call_id
    return f"call_{sha256(call_id.encode()).hexdigest()[:24]}"[:limit]


def legal_id(call_id: str, limit: int = 64) -> bool:
    """Whether a tool call id is legal in Chat Completions."""
    return len(call_id) <= limit and _LEGAL.fullmatch(call_id) is not None


class ToolNames:
    """Flat, legal names for one request's tools, and for the calls of them in its history."""

    __slots__ = ("_plain", "_tools")

    def __init__(self, tools: Iterable[Tool]) -> None:
        self._tools = tools
        self._plain: frozenset[str] | None = None
        """Names of the tools without namespace, once one with a namespace asks."""

    def wire(self, name: str, namespace: str | None) -> str:
        """``namespace__name``, unless a tool without namespace has that very name: then a hash tells them apart."""
        if namespace is None:
            return wire_name(name)
        flat = f"{namespace}__{name}"
        if self._plain is None:
            self._plain = _plain_names(self._tools)
        if flat in self._plain:
            return _shorten(flat, f"{namespace}\0{name}")
        return wire_name(flat)


def _plain_names(tools: Iterable[Tool]) -> frozenset[str]:
    return frozenset(
        tool.name
        for tool in tools
        if isinstance(tool, TypedTool) or (isinstance(tool, FunctionTool | CustomTool) and tool.namespace is None)
    )
