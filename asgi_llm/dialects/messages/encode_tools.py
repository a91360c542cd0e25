"""Neutral tools and tool choice -> ``tools`` and ``tool_choice`` of a Messages body.

Names are made legal by a pure function, free-text tools and tools that another API defines become functions;
``Restore`` remembers what they were. Spec: Anthropic Messages API, tool definitions and server tools.
"""

from typing import Any

from msgspec import Raw, Struct

from asgi_llm.dialects.interface import Profile, Report, ToolShape
from asgi_llm.dialects.offered import merely_offered
from asgi_llm.dialects.typed_tools import typed_tool
from asgi_llm.dialects.web_search import search_wish
from asgi_llm.neutral.request import CustomTool, FunctionTool, HostedTool, Request, Tool, ToolChoice, TypedTool

from .models import Capabilities
from .names import flat_name, tool_name
from .parts import Block, cache_control
from .schemas import OPEN_OBJECT, closed_schema, tool_schema

__all__ = ["WireTools", "declare", "encode_tools", "wire_choice"]

_FREE_TEXT = Raw(
    b'{"type":"object","properties":{"input":{"type":"string","description":"The whole input of the tool, as text."}},'
    b'"required":["input"],"additionalProperties":false}'
)


class WireTools(Struct):
    """The tools as they go out, and what they were by their name on the wire. ``hosted``: the provider runs one."""

    tools: list[Block] = []
    shapes: dict[str, ToolShape] = {}
    hosted: bool = False


def encode_tools(request: Request, model: Capabilities, profile: Profile, report: Report) -> WireTools:
    """The tools in the caller's order.

    Raises:
        TranslationError: a tool that another provider runs has no counterpart here.
    """
    wire = WireTools()
    if not request.tools:
        return wire
    native = _native(model, profile)
    deferrable = native and any(isinstance(tool, HostedTool) and tool.kind == "tool_search" for tool in request.tools)
    for index, tool in enumerate(request.tools):
        match tool:
            case FunctionTool():
                if tool.namespace_description:
                    report.lose("tools.namespace")
                name = flat_name(tool.name, tool.namespace)
                wire.tools.append(_function(tool, name, model, report, deferrable=deferrable))
                if name != tool.name:
                    wire.shapes[name] = ToolShape(tool.name, namespace=tool.namespace)
            case CustomTool():
                if tool.namespace_description:
                    report.lose("tools.namespace")
                report.lose("custom_tool")
                wire.tools.append(_custom(tool))
                _remember(wire, tool)
            case TypedTool():
                wire.tools.append(_typed(tool, native=native))
                _remember(wire, tool)
            case HostedTool():
                if (hosted := _hosted(tool, report, native=native)) is not None:
                    wire.tools.append(hosted)
                    wire.hosted = True
                elif merely_offered(tool, request, profile):
                    report.lose("tools.offered")
                else:
                    report.lose("tools", f"tools.{index}")
    return wire


def _remember(wire: WireTools, tool: CustomTool | TypedTool) -> None:
    """Note what the answer must turn back: free text, a typed tool."""
    match tool:
        case TypedTool():
            wire.shapes[tool_name(tool.name)] = ToolShape(tool.name, typed=tool.kind)
        case CustomTool():
            wire.shapes[flat_name(tool.name, tool.namespace)] = ToolShape(tool.name, "text", tool.namespace)


def _function(
    tool: FunctionTool, name: str, model: Capabilities, report: Report, *, deferrable: bool
) -> dict[str, Any]:
    schema, rewritten = tool_schema(tool.schema)
    if rewritten:
        report.lose("tool_schema")
    wire: dict[str, Any] = {"name": name}
    if tool.description:
        wire["description"] = tool.description
    wire["input_schema"] = schema
    if tool.strict:
        if model.structured:
            wire["strict"] = True
            wire["input_schema"] = Raw(closed_schema(bytes(schema)))
        else:
            report.lose("tools.strict")
    elif tool.strict is False and model.structured:
        wire["strict"] = False
    if tool.examples is not None and model.known:
        wire["input_examples"] = tool.examples
    if tool.defer_loading is not None:
        if deferrable:
            wire["defer_loading"] = tool.defer_loading
        else:
            report.lose("tools.defer_loading")
    return _marked(wire, tool)


def _custom(tool: CustomTool) -> dict[str, Any]:
    description = tool.description or ""
    if tool.grammar:
        bound = f"The input must match this {tool.syntax or 'lark'} grammar:\n{tool.grammar}"
        description = f"{description}\n\n{bound}" if description else bound
    wire: dict[str, Any] = {"name": flat_name(tool.name, tool.namespace)}
    if description:
        wire["description"] = description
    wire["input_schema"] = _FREE_TEXT
    return _marked(wire, tool)


def _typed(tool: TypedTool, *, native: bool) -> Block:
    """``native``: the provider knows its own typed tools."""
    if native and tool.dialect == "messages" and tool.raw is not None:
        return tool.raw
    known = typed_tool(tool.kind)
    if known is None:
        return _marked({"name": tool_name(tool.name), "input_schema": OPEN_OBJECT}, tool)
    description, schema = known
    return _marked({"name": tool_name(tool.name), "description": description, "input_schema": schema}, tool)


def _hosted(tool: HostedTool, report: Report, *, native: bool) -> Block | None:
    """The definition; None where nobody would run it."""
    if not native:
        return None
    if tool.dialect == "messages" and tool.raw is not None:
        return tool.raw
    match tool.kind:
        case "web_search":
            return _marked(_web_search(tool, report), tool)
        case "web_fetch":
            return _marked({"type": "web_fetch_20250910", "name": "web_fetch"}, tool)
        case "code":
            return _marked({"type": "code_execution_20250825", "name": "code_execution"}, tool)
        case "tool_search":
            return _marked({"type": "tool_search_tool_bm25_20251119", "name": "tool_search_tool_bm25"}, tool)
        case _:
            return None


def _native(model: Capabilities, profile: Profile) -> bool:
    """Whether typed tools mean something to the upstream. Other servers behind this API take them without a word and
    never run them, which sends agents in circles."""
    return model.known or profile.origin


def _web_search(tool: HostedTool, report: Report) -> dict[str, Any]:
    wire: dict[str, Any] = {"type": "web_search_20250305", "name": "web_search"}
    wish = search_wish(tool)
    if wish.allowed:
        wire["allowed_domains"] = wish.allowed
    elif wish.blocked:
        wire["blocked_domains"] = wish.blocked
    if wish.place:
        wire["user_location"] = {"type": "approximate", **wish.place}
    if wish.size not in (None, "medium"):
        report.lose("tools.web_search")
    return wire


def _marked(wire: dict[str, Any], tool: Tool) -> dict[str, Any]:
    if tool.cache is not None:
        wire["cache_control"] = cache_control(tool.cache)
    return wire


def declare(names: list[str]) -> list[Block]:
    """Tools that the history calls and nobody declares: the API wants them declared, open and not to be used."""
    return [{"name": name, "input_schema": OPEN_OBJECT} for name in names]


def wire_choice(request: Request, report: Report) -> dict[str, Any] | None:
    """``tool_choice`` for declared tools; None where there is nothing to say."""
    choice = request.tool_choice
    wire = {"type": "auto"} if choice is None else _choice(choice, request, report)
    if request.parallel_tools is False and wire["type"] != "none":
        return {**wire, "disable_parallel_tool_use": True}
    return None if choice is None else wire


def _choice(choice: ToolChoice, request: Request, report: Report) -> dict[str, Any]:
    match choice.mode:
        case "auto" | "none":
            return {"type": choice.mode}
        case "required":
            return {"type": "any"}
        case "tool":
            return {"type": "tool", "name": _declared(choice.name or "", request)}
        case "hosted":
            names = {"code": "code_execution", "tool_search": "tool_search_tool_bm25"}
            return {"type": "tool", "name": choice.name or names.get(choice.hosted or "", choice.hosted or "")}
        case "allowed":
            if len(choice.names) == 1 and choice.required:
                return {"type": "tool", "name": _declared(choice.names[0], request)}
            report.lose("tool_choice.allowed")
            return {"type": "any" if choice.required else "auto"}


def _declared(name: str, request: Request) -> str:
    """The name on the wire of the tool that the caller calls ``name``, which may live in a namespace."""
    for tool in request.tools:
        if tool.name == name and isinstance(tool, FunctionTool | CustomTool):
            return flat_name(name, tool.namespace)
    return tool_name(name)
