"""What the model is told of a tool that ran: the same text when it ran and whenever it is looked up in the history."""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from asgi_llm.neutral.ran import Page, Ran
from asgi_llm.neutral.request import Text, ToolCall, ToolResult

__all__ = ["asked", "cut", "told", "unapproved"]

_CUT = "\n[The rest is left out.]"


class _Error(Struct):
    message: str = ""
    content: Raw = Raw(b"null")


class _Text(Struct):
    text: str = ""


def cut(text: str, limit: int) -> str:
    """``text`` in at most ``limit`` bytes."""
    data = text.encode("utf-8", "replace")
    return text if len(data) <= limit else data[:limit].decode("utf-8", "ignore") + _CUT


def asked(ran: Ran, name: str) -> ToolCall:
    """The call as the model made it. ``name`` is what the tool is called towards upstreams."""
    return ToolCall(ran.id, name, ran.arguments or "{}", carriers=ran.carriers)


def told(ran: Ran) -> ToolResult:
    failed = ran.end == "failed"
    text = _pages(ran.pages) if ran.kind == "web_search" else ran.output
    if text is None or (failed and not text):
        text = _error(ran.error)
    return ToolResult(ran.id, (Text(text),), is_error=True if failed else None)


def unapproved(name: str, reason: str) -> ToolResult:
    said = "The user did not approve this call."
    return ToolResult(name, (Text(f"{said} {reason}" if reason else said),), is_error=True)


def _pages(pages: tuple[Page, ...]) -> str | None:
    if not pages:
        return None
    return "\n\n".join("\n".join(filter(None, (page.title, page.url, page.text))) for page in pages)


def _error(raw: Raw | None) -> str:
    if raw is None:
        return "Nothing was found."
    try:
        error = msgspec.json.decode(raw, type=_Error)
        blocks: list[Any] = msgspec.json.decode(error.content, type=list[_Text] | None) or []
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return "The call failed."
    return "\n".join(block.text for block in blocks if block.text) or error.message or "The call failed."
