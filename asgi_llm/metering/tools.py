"""Which tools a request offers, and which its conversation used: labels for the ledger.

``function:name``, ``custom:name``, ``typed:name`` (defined by a provider, run by the caller), and the bare kind of
those that a provider runs (``web_search``; ``mcp:label`` where that is named).
"""

from collections.abc import Iterable

from asgi_llm.neutral.request import (
    CustomTool,
    FunctionTool,
    HostedTool,
    Request,
    ServerCall,
    Tool,
    ToolCall,
    TypedTool,
)

__all__ = ["offered", "used"]

_MOST = 128
_LONGEST = 200


def offered(request: Request) -> tuple[str, ...]:
    """Labels of the tools, each once, in order."""
    return _distinct(_label(tool) for tool in request.tools)


def used(request: Request) -> tuple[str, ...]:
    """Labels of the tools that were called in the conversation so far, each once, in order."""
    return _distinct(_call(part) for turn in request.turns for part in turn.parts)


def _label(tool: Tool) -> str:
    match tool:
        case FunctionTool():
            return f"function:{tool.name}"
        case CustomTool():
            return f"custom:{tool.name}"
        case TypedTool():
            return f"typed:{tool.name}"
        case HostedTool():
            return f"{tool.kind}:{tool.name}" if tool.kind == "mcp" and tool.name else tool.kind


def _call(part: object) -> str | None:
    match part:
        case ToolCall():
            kind = "typed" if part.typed else "custom" if part.kind == "text" else "function"
            return f"{kind}:{part.name}"
        case ServerCall():
            return part.kind
    return None


def _distinct(labels: Iterable[str | None]) -> tuple[str, ...]:
    found = dict.fromkeys(label[:_LONGEST] for label in labels if label)
    return tuple(found)[:_MOST]
