"""Neutral tools and tool choice -> the ``tools`` and ``tool_choice`` of a chat request."""

from typing import Any

from asgi_llm.dialects.examples import description_of
from asgi_llm.dialects.interface import Profile, Report, ToolShape
from asgi_llm.dialects.offered import merely_offered
from asgi_llm.dialects.typed_tools import typed_tool
from asgi_llm.dialects.web_search import search_wish
from asgi_llm.neutral.request import (
    CustomTool,
    FunctionTool,
    HostedTool,
    Request,
    Tool,
    ToolChoice,
    TypedTool,
)

from .models import searches
from .names import ToolNames, wire_name

__all__ = ["NO_ARGUMENTS", "WRAPPED_ARGUMENT", "ToolWriter"]

NO_ARGUMENTS = "{}"
"""What stands for no arguments: the origin never writes an empty string, and readers parse what they get."""

WRAPPED_ARGUMENT = "input"
"""Name of the one string that a wrapped free text tool takes."""


class ToolWriter:
    """Writes the tools of one request and remembers how to undo the changes in the answer."""

    __slots__ = ("_profile", "_report", "_request", "custom", "names", "search_options", "shapes")

    def __init__(self, request: Request, profile: Profile, report: Report) -> None:
        self._profile = profile
        self._report = report
        self._request = request
        self.names = ToolNames(request.tools)
        self.shapes: dict[str, ToolShape] = {}
        self.custom: set[str] = set()
        """Wire names of the tools written as custom tools."""
        self.search_options: object = None

    def write(self, tools: tuple[Tool, ...]) -> list[dict[str, Any]]:
        return [written for index, tool in enumerate(tools) if (written := self._tool(tool, index)) is not None]

    def _tool(self, tool: Tool, index: int) -> dict[str, Any] | None:
        match tool:
            case FunctionTool():
                name = self._named(tool.name, tool.namespace, "json")
                return self._function(tool, name)
            case CustomTool():
                return self._custom(tool)
            case TypedTool():
                return self._typed(tool, index)
            case HostedTool():
                self._hosted(tool, index)
                return None

    def _named(self, name: str, namespace: str | None, kind: str) -> str:
        wire = wire_name(name) if namespace is None else self.names.wire(name, namespace)
        if kind == "text":
            self.shapes[wire] = ToolShape(name, "text", namespace)
        elif wire != name or namespace is not None:
            self.shapes[wire] = ToolShape(name, "json", namespace)
        return wire

    def _function(self, tool: FunctionTool, name: str) -> dict[str, Any]:
        function: dict[str, Any] = {"name": name}
        if description := description_of(tool):
            function["description"] = description
        if tool.schema is not None:
            function["parameters"] = tool.schema
        if tool.strict is not None:
            if self._profile.strict_tools:
                function["strict"] = tool.strict
            elif tool.strict:
                self._report.lose("strict")
        written = {"type": "function", "function": function}
        if tool.cache is not None:
            self._report.lose("cache_control")
        return written

    def _custom(self, tool: CustomTool) -> dict[str, Any]:
        name = self._named(tool.name, tool.namespace, "text")
        if not self._profile.custom_tools:
            self._report.lose("tools.custom")
            return {"type": "function", "function": _wrapped(tool, name)}
        self.custom.add(name)
        custom: dict[str, Any] = {"name": name}
        if tool.description is not None:
            custom["description"] = tool.description
        if tool.grammar is not None:
            grammar = {"definition": tool.grammar, "syntax": tool.syntax or "lark"}
            custom["format"] = {"type": "grammar", "grammar": grammar}
        return {"type": "custom", "custom": custom}

    def _typed(self, tool: TypedTool, index: int) -> dict[str, Any] | None:
        known = typed_tool(tool.kind)
        if known is None:
            self._report.lose("tools.typed", f"tools[{index}].type")
            return None
        name = self.names.wire(tool.name, None)
        self.shapes[name] = ToolShape(tool.name, typed=tool.kind)
        return self._function(FunctionTool(tool.name, *known, cache=tool.cache), name)

    def _hosted(self, tool: HostedTool, index: int) -> None:
        if tool.kind == "tool_search":
            self._report.lose("tool_search")
        elif tool.kind == "web_search" and tool.dialect == "chat":
            self.search_options = tool.raw
        elif tool.kind == "web_search" and searches(self._profile, self._request.model):
            self.search_options = self._search(tool)
        elif merely_offered(tool, self._request, self._profile):
            self._report.lose("tools.offered")
        else:
            self._report.lose("tools.hosted", f"tools[{index}].type")

    def _search(self, tool: HostedTool) -> dict[str, Any]:
        wish = search_wish(tool)
        if wish.allowed or wish.blocked:
            self._report.lose("tools.web_search")
        options: dict[str, Any] = {} if wish.size is None else {"search_context_size": wish.size}
        if wish.place:
            options["user_location"] = {"type": "approximate", "approximate": wish.place}
        return options

    def choice(self, choice: ToolChoice) -> str | dict[str, Any] | None:
        """The ``tool_choice``; None leaves it out."""
        match choice.mode:
            case "auto":
                return self._auto()
            case "none":
                return "none"
            case "required":
                return self._required()
            case "tool":
                return self._named_tool(choice.name or "")
            case "allowed":
                return self._allowed(choice)
            case "hosted":
                self._report.lose("tool_choice.hosted", "tool_choice")
                return None

    def _auto(self) -> str | None:
        # What goes without saying is better not said to servers that know no choices, or none while they think.
        return "auto" if self._profile.tool_choices and self._profile.forced_tools_think else None

    def _required(self) -> str | None:
        if "required" in self._profile.tool_choices:
            return "required"
        self._report.lose("tool_choice.required")
        return None

    def _named_tool(self, name: str) -> str | dict[str, Any] | None:
        if "tool" in self._profile.tool_choices:
            return self._one(name)
        if "required" in self._profile.tool_choices and len(self._request.tools) == 1:
            return "required"
        self._report.lose("tool_choice.tool")
        return "required" if "required" in self._profile.tool_choices else None

    def _one(self, name: str) -> dict[str, Any]:
        wire = self._wire_of(name)
        kind = "custom" if wire in self.custom else "function"
        return {"type": kind, kind: {"name": wire}}

    def _wire_of(self, name: str) -> str:
        # A choice names a tool as its own dialect does, without its namespace: look the written tools up first.
        for wire, shape in self.shapes.items():
            if shape.name == name:
                return wire
        return self.names.wire(name, None)

    def _allowed(self, choice: ToolChoice) -> str | dict[str, Any] | None:
        if self._profile.allowed_tools:
            mode = "required" if choice.required else "auto"
            return {
                "type": "allowed_tools",
                "allowed_tools": {"mode": mode, "tools": [self._one(name) for name in choice.names]},
            }
        if choice.required and len(choice.names) == 1:
            return self._named_tool(choice.names[0])
        self._report.lose("tool_choice.allowed_tools")
        return self._required() if choice.required else self._auto()


def _wrapped(tool: CustomTool, name: str) -> dict[str, Any]:
    description = tool.description or ""
    if tool.grammar is not None:
        description = f"{description}\n\nThe input must match this {tool.syntax or 'lark'} grammar:\n{tool.grammar}"
    schema = {
        "type": "object",
        "properties": {WRAPPED_ARGUMENT: {"type": "string"}},
        "required": [WRAPPED_ARGUMENT],
        "additionalProperties": False,
    }
    return {"name": name, "description": description.strip(), "parameters": schema}
