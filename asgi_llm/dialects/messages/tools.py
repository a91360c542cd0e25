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
from .wire import CacheControl, cache_mark

__all__ = ["CALLER_RUN", "Choice", "Tools", "WireTool", "choice_of", "tools_of"]

CALLER_RUN = ("bash_", "text_editor_", "memory_", "computer_", "browser_")


class WireTool(Struct):
    type: str | None = None
    name: str | None = None
    description: str | None = None
    input_schema: Raw = NULL
    strict: bool | None = None
    defer_loading: bool | None = None
    input_examples: Raw = NULL
    cache_control: CacheControl | None = None
    mcp_server_name: str | None = None


class Choice(Struct):
    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools, and those of them that can be told by name: typed ones, and hosted ones."""

    all: tuple[Tool, ...] = ()
    typed: dict[str, TypedTool] = field(default_factory=dict)
    hosted: dict[str, HostedTool] = field(default_factory=dict)


class _RawTools(Struct):
    tools: Raw


_RAW_TOOLS = msgspec.json.Decoder(_RawTools)
_RAWS = msgspec.json.Decoder(list[Raw])


def tools_of(wires: list[WireTool], body: bytes) -> Tools:
    """The tools in the caller's order. ``body`` is the whole body, in which typed tools are looked up as they came.

    Raises:
        ClientError: a tool is not one; the error names it.
    """
    functions = [
        _function(wire, index) for index, wire in enumerate(wires) if wire.type is None or wire.type == "custom"
    ]
    if len(functions) == len(wires):
        return Tools(tuple(functions))
    raws = _RAWS.decode(_RAW_TOOLS.decode(body).tools)
    tools = [
        _function(wire, index) if wire.type in (None, "custom") else _provided(wire, raws[index])
        for index, wire in enumerate(wires)
    ]
    return Tools(
        tuple(tools),
        {tool.name: tool for tool in tools if isinstance(tool, TypedTool)},
        {tool.name: tool for tool in tools if isinstance(tool, HostedTool) and tool.name},
    )


def _function(wire: WireTool, index: int) -> FunctionTool:
    if not wire.name:
        raise ClientError(f"tools.{index}.name: Field required", param=f"tools.{index}.name")
    schema = given(wire.input_schema)
    if schema is not None and bytes(memoryview(schema)[:1]) != b"{":
        path = f"tools.{index}.input_schema"
        raise ClientError(f"{path}: Input should be an object", param=path)
    return FunctionTool(
        wire.name,
        wire.description,
        schema,
        strict=wire.strict,
        defer_loading=wire.defer_loading,
        examples=given(wire.input_examples),
        cache=cache_mark(wire.cache_control),
    )


def _provided(wire: WireTool, raw: Raw) -> Tool:
    kind = wire.type or ""
    cache = cache_mark(wire.cache_control)
    if kind.startswith(CALLER_RUN):
        return TypedTool("messages", kind, wire.name or kind.rpartition("_")[0], raw, cache)
    return HostedTool("messages", server_kind(kind), wire.name or wire.mcp_server_name, raw, cache)


def choice_of(wire: Choice, tools: Tools) -> tuple[ToolChoice | None, bool | None]:
    """The tool choice, and whether calls may be parallel where that was said.

    Raises:
        ClientError: it is not one of the API's choices.
    """
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
