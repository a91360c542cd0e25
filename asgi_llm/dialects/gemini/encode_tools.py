"""Neutral tools and tool choice -> ``tools`` and ``toolConfig``.

All functions are declared in one entry. Names are made legal by a pure function, free-text tools and tools that
another API defines become functions; ``Restore`` remembers what they were.
Spec: Gemini API, "Tool", "FunctionDeclaration", "ToolConfig".
"""

from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import Raw

from asgi_llm.dialects.examples import description_of
from asgi_llm.dialects.interface import Profile, Report, ToolShape
from asgi_llm.dialects.offered import merely_offered
from asgi_llm.dialects.typed_tools import typed_tool
from asgi_llm.dialects.web_search import SearchWish, search_wish
from asgi_llm.neutral.request import CustomTool, FunctionTool, HostedTool, Request, Tool, ToolChoice, TypedTool

from .models import Capabilities
from .names import flat_name, tool_name
from .schemas import to_json_schema

__all__ = ["WireTools", "encode_tools", "tool_config"]

_FREE_TEXT = Raw(
    b'{"type":"object","properties":{"input":{"type":"string","description":"The whole input of the tool, as text."}},'
    b'"required":["input"]}'
)
_HOSTED = {"web_search": "googleSearch", "web_fetch": "urlContext", "code": "codeExecution"}


@dataclass(slots=True)
class WireTools:
    """The tools as they go out, and what they were by their name on the wire. ``strict`` says whether all functions
    (and there are some) ask for their schema to be enforced."""

    functions: list[dict[str, Any]] = field(default_factory=list)
    hosted: list[Any] = field(default_factory=list)
    shapes: dict[str, ToolShape] = field(default_factory=dict)
    strict: bool = False

    @property
    def entries(self) -> list[Any]:
        return [*([{"functionDeclarations": self.functions}] if self.functions else []), *self.hosted]


def encode_tools(request: Request, model: Capabilities, profile: Profile, report: Report) -> WireTools:
    """The tools in the caller's order.

    Raises:
        TranslationError: a tool that another provider runs has no counterpart here.
    """
    wire = WireTools()
    for index, tool in enumerate(request.tools):
        match tool:
            case FunctionTool():
                wire.functions.append(_function(tool, report))
                _remember(wire, tool)
            case CustomTool():
                report.lose("custom_tool")
                wire.functions.append(_custom(tool))
                _remember(wire, tool)
            case TypedTool():
                _typed(wire, tool, report, f"tools[{index}]")
            case HostedTool():
                if _hosted(wire, tool, report):
                    continue
                if merely_offered(tool, request, profile):
                    report.lose("tools.offered")
                else:
                    report.lose("tools", f"tools[{index}]")
    strict = [tool.strict for tool in request.tools if isinstance(tool, FunctionTool)]
    wire.strict = model.mixed_tools and bool(strict) and all(strict) and len(strict) == len(wire.functions)
    if any(strict) and not wire.strict:
        report.lose("tools.strict")
    return wire


def _remember(wire: WireTools, tool: FunctionTool | CustomTool) -> None:
    """Note what the answer must turn back: another name, a namespace, free text."""
    name = flat_name(tool.name, tool.namespace)
    if isinstance(tool, CustomTool):
        wire.shapes[name] = ToolShape(tool.name, "text", tool.namespace)
    elif name != tool.name:
        wire.shapes[name] = ToolShape(tool.name, namespace=tool.namespace)


def _function(tool: FunctionTool, report: Report) -> dict[str, Any]:
    if tool.namespace_description:
        report.lose("tools.namespace")
    if tool.defer_loading:
        report.lose("tools.defer_loading")
    if tool.cache is not None:
        report.lose("cache")
    return _declared(flat_name(tool.name, tool.namespace), description_of(tool), to_json_schema(tool.schema))


def _custom(tool: CustomTool) -> dict[str, Any]:
    description = tool.description or ""
    if tool.grammar:
        bound = f"The input must match this {tool.syntax or 'lark'} grammar:\n{tool.grammar}"
        description = f"{description}\n\n{bound}" if description else bound
    return _declared(flat_name(tool.name, tool.namespace), description, _FREE_TEXT)


def _declared(name: str, description: str | None, schema: Raw | None) -> dict[str, Any]:
    wire: dict[str, Any] = {"name": name}
    if description:
        wire["description"] = description
    if schema is not None:
        wire["parametersJsonSchema"] = schema
    return wire


def _typed(wire: WireTools, tool: TypedTool, report: Report, where: str) -> None:
    if tool.dialect == "gemini" and tool.raw is not None:
        wire.hosted.append(tool.raw)
        return
    known = typed_tool(tool.kind)
    if known is None:
        report.lose("tools", where)
        return
    name = tool_name(tool.name)
    wire.functions.append(_declared(name, *known))
    wire.shapes[name] = ToolShape(tool.name, typed=tool.kind)


def _hosted(wire: WireTools, tool: HostedTool, report: Report) -> bool:
    """False where nobody would run it."""
    if tool.dialect == "gemini" and tool.raw is not None:
        wire.hosted.append(tool.raw)
    elif tool.kind == "tool_search":
        report.lose("tools.defer_loading")
    elif tool.kind in _HOSTED:
        if tool.kind == "web_search" and search_wish(tool) not in (SearchWish(), SearchWish(size="medium")):
            report.lose("tools.web_search")
        wire.hosted.append({_HOSTED[tool.kind]: {}})
    else:
        return False
    return True


def tool_config(request: Request, tools: WireTools, model: Capabilities, report: Report) -> dict[str, Any]:
    """``toolConfig``; empty where there is nothing to say."""
    config: dict[str, Any] = {}
    if request.dialect == "gemini" and (kept := request.ext.get("toolConfig")) is not None:
        config.update(msgspec.json.decode(kept, type=dict[str, Raw]))
    if tools.functions and (calling := _calling(request, tools, report)):
        config["functionCallingConfig"] = calling
    if not tools.functions and request.tool_choice is not None and request.tool_choice.mode == "hosted":
        report.lose("tool_choice.hosted")
    if tools.functions and tools.hosted and model.mixed_tools:
        config.setdefault("includeServerSideToolInvocations", True)
    if request.parallel_tools is False and tools.functions:
        report.lose("parallel_tools")
    return config


def _calling(request: Request, tools: WireTools, report: Report) -> dict[str, Any] | None:
    choice = request.tool_choice
    if choice is None:
        return {"mode": "VALIDATED"} if tools.strict else None
    match choice.mode:
        case "auto":
            return {"mode": "VALIDATED" if tools.strict else "AUTO"}
        case "none":
            return {"mode": "NONE"}
        case "required":
            return {"mode": "ANY"}
        case "tool":
            return {"mode": "ANY", "allowedFunctionNames": [_wire_name(choice.name or "", request.tools)]}
        case "allowed":
            return _allowed(choice, request)
        case "hosted":
            report.lose("tool_choice.hosted")
            return None


def _allowed(choice: ToolChoice, request: Request) -> dict[str, Any]:
    names = [_wire_name(name, request.tools) for name in choice.names]
    return {"mode": "ANY" if choice.required else "VALIDATED", "allowedFunctionNames": names}


def _wire_name(name: str, tools: tuple[Tool, ...]) -> str:
    """The name on the wire of the tool that the caller calls ``name``, which may live in a namespace."""
    for tool in tools:
        if tool.name == name and isinstance(tool, FunctionTool | CustomTool):
            return flat_name(name, tool.namespace)
    return tool_name(name)
