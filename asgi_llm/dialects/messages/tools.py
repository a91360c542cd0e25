"""Tools and tool choice of a Messages body -> neutral.

Tools without a type, or of type custom, are functions. Typed ones are run by the caller (bash, text editor, memory,
computer, browser) or by the provider (web search, web fetch, code execution, tool search, MCP).
"""

from dataclasses import dataclass, field

import msgspec
from msgspec import Raw, Struct

from asgi_llm.errors import ClientError
from asgi_llm.neutral.request import FunctionTool, HostedTool, Tool, ToolChoice, TypedTool

from .blocks import server_kind
from .raws import NULL, given
from .wire import CacheControl, cache_mark, typed

__all__ = ["Tools", "decode_choice", "decode_tools"]

_CALLER_RUN = ("bash_", "text_editor_", "memory_", "computer_", "browser_")


class _Tool(Struct):
    type: str | None = None
    name: str | None = None
    description: str | None = None
    input_schema: Raw = NULL
    strict: bool | None = None
    defer_loading: bool | None = None
    input_examples: Raw = NULL
    cache_control: CacheControl | None = None
    mcp_server_name: str | None = None


class _Choice(Struct):
    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools, and those of them that can be told by name: typed ones, and hosted ones."""

    all: tuple[Tool, ...] = ()
    typed: dict[str, TypedTool] = field(default_factory=dict)
    hosted: dict[str, HostedTool] = field(default_factory=dict)


_TOOLS = msgspec.json.Decoder(list[_Tool])
_RAWS = msgspec.json.Decoder(list[Raw])
_CHOICE = msgspec.json.Decoder(_Choice)


def decode_tools(raw: Raw | None) -> Tools:
    """The tools in the caller's order.

    Raises:
        ClientError: a tool is not one; the error names it.
    """
    if raw is None:
        return Tools()
    wires: list[_Tool] = typed(raw, _TOOLS, "tools")
    raws: list[Raw] = []
    if any(wire.type not in (None, "custom") for wire in wires):
        raws = _RAWS.decode(raw)
    tools = [
        _function(wire, f"tools.{index}") if wire.type in (None, "custom") else _provided(wire, raws[index])
        for index, wire in enumerate(wires)
    ]
    return Tools(
        tuple(tools),
        {tool.name: tool for tool in tools if isinstance(tool, TypedTool)},
        {tool.name: tool for tool in tools if isinstance(tool, HostedTool) and tool.name},
    )


def _function(wire: _Tool, path: str) -> FunctionTool:
    if not wire.name:
        raise ClientError(f"{path}.name: Field required", param=f"{path}.name")
    schema = given(wire.input_schema)
    if schema is not None and bytes(memoryview(schema)[:1]) != b"{":
        raise ClientError(f"{path}.input_schema: Input should be an object", param=f"{path}.input_schema")
    return FunctionTool(
        wire.name,
        wire.description,
        schema,
        strict=wire.strict,
        defer_loading=wire.defer_loading,
        examples=given(wire.input_examples),
        cache=cache_mark(wire.cache_control),
    )


def _provided(wire: _Tool, raw: Raw) -> Tool:
    kind = wire.type or ""
    cache = cache_mark(wire.cache_control)
    if kind.startswith(_CALLER_RUN):
        return TypedTool("messages", kind, wire.name or kind.rpartition("_")[0], raw, cache)
    return HostedTool("messages", server_kind(kind), wire.name or wire.mcp_server_name, raw, cache)


def decode_choice(raw: Raw | None, tools: Tools) -> tuple[ToolChoice | None, bool | None]:
    """The tool choice, and whether calls may be parallel where that was said.

    Raises:
        ClientError: it is not one of the API's choices.
    """
    if raw is None:
        return None, None
    wire: _Choice = typed(raw, _CHOICE, "tool_choice")
    parallel = None if wire.disable_parallel_tool_use is None else not wire.disable_parallel_tool_use
    match wire.type:
        case "auto" | "none":
            return ToolChoice(wire.type), parallel
        case "any":
            return ToolChoice("required"), parallel
        case "tool":
            if not wire.name:
                raise ClientError("tool_choice.name: Field required", param="tool_choice.name")
            if hosted := tools.hosted.get(wire.name):
                return ToolChoice("hosted", name=wire.name, hosted=hosted.kind), parallel
            return ToolChoice("tool", name=wire.name), parallel
        case _:
            raise ClientError(
                "tool_choice.type: Input should be 'auto', 'any', 'tool' or 'none'", param="tool_choice.type"
            )
