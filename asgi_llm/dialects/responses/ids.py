"""Ids and names that the Responses API takes. Pure functions: the same input gives the same id in every request.

OpenAI Responses API: item ids and call ids are at most 64 of ``[A-Za-z0-9_-]``, an item id begins with its kind's
prefix; tool names likewise.
"""

import hashlib
import re

__all__ = ["call_id", "derived", "legal_item_id", "own_search_id", "tool_name"]

_LEGAL = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ILLEGAL = re.compile(r"[^A-Za-z0-9_-]")


def legal_item_id(value: str | None, prefix: str) -> str | None:
    """The id itself where it is one of this kind, else None."""
    return value if value and value.startswith(prefix) and _LEGAL.fullmatch(value) else None


def own_search_id(value: str | None) -> str | None:
    """The id of the web search's item, where ``value`` is what callers of the Messages API are told for it."""
    return legal_item_id((value or "").removeprefix("srvtoolu_"), "ws_")


def derived(prefix: str, *parts: str) -> str:
    """An id that follows from what it names."""
    return prefix + hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def call_id(value: str, limit: int = 64) -> str:
    """A call id that the API takes: the id itself, or a hash of it. The same for a call and its result."""
    limit = max(16, min(limit, 64))
    if len(value) <= limit and _LEGAL.fullmatch(value):
        return value
    return derived("call_", value)[:limit]


def tool_name(value: str) -> str:
    """A tool name that the API takes: the name itself, or its beginning and eight digits of its hash."""
    if _LEGAL.fullmatch(value):
        return value
    digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{_ILLEGAL.sub('_', value)[:55]}_{digest}"
