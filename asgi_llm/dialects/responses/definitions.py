"""Tool definitions and choices, written in the Responses API's flat form.

The table remembers how each tool was written, so that calls in the history and the choice agree with it, and how to
undo it in the answer.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
from msgspec import Raw

from asgi_llm.dialects.examples import description_of
from asgi_llm.dialects.interface import Profile, Report, ToolShape
from asgi_llm.dialects.typed_tools import typed_tool
from asgi_llm.neutral.request import CustomTool, FunctionTool, HostedTool, Request, ToolCall, ToolChoice, TypedTool

from .hosted import hosted_tool
from .ids import tool_name
from .wire import is_json

__all__ = ["Form", "ToolTable", "echo_choice", "echo_tools", "write_choice", "write_tools"]

_OPEN_SCHEMA = Raw(b'{"type":"object","properties":{}}')
_TEXT_SCHEMA = Raw(
    b'{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}'
)


@dataclass(frozen=True, slots=True)
class Form:
    """How a tool is called on the wire. ``wrapped`` is a free-text tool sent as a function with one string."""

    name: str
    kind: Literal["function", "custom", "wrapped", "typed"]
    namespace: str | None = None
    typed: str | None = None


def _is_structured(call: ToolCall) -> bool:
    """Whether a call can be one of a typed tool: a free text or broken JSON under such a tool's name is none."""
    return call.kind != "text" and (not call.arguments.strip() or is_json(call.arguments, "{["))


@dataclass(slots=True)
class ToolTable:
    """The tools of one request as written. ``forms`` goes by (namespace, name) of the neutral tool."""

    profile: Profile
    entries: list[Any] = field(default_factory=list)
    forms: dict[tuple[str | None, str], Form] = field(default_factory=dict)
    restore: dict[str, ToolShape] = field(default_factory=dict)

    def form(self, call: ToolCall) -> Form:
        """The form of a call in the history, also of a tool that is no longer offered."""
        known = self.forms.get((call.namespace, call.name))
        if known is not None and (known.kind != "typed" or _is_structured(call)):
            return known
        if call.typed in _TYPED_NATIVE and self.profile.origin and _is_structured(call):
            return Form(call.name, "typed", typed=call.typed)
        kind: Literal["function", "custom", "wrapped"] = "function"
        if call.kind == "text":
            kind = "custom" if self.profile.custom_tools else "wrapped"
        return self.place(call.name, call.namespace, kind)

    def place(self, name: str, namespace: str | None, kind: Literal["function", "custom", "wrapped"]) -> Form:
        if namespace is None or self.profile.origin:
            return Form(tool_name(name), kind, namespace)
        return Form(tool_name(f"{namespace}__{name}"), kind)


_TYPED_NATIVE = frozenset({"apply_patch", "shell", "local_shell", "computer"})


def write_tools(request: Request, profile: Profile, report: Report) -> ToolTable:
    """All tools in their order, members of a namespace where the first of them stands.

    Raises:
        TranslationError: a tool that exists only at another provider.
    """
    table = ToolTable(profile)
    own = request.dialect == "responses"
    namespaces: dict[str, list[Any]] = {}
    for tool in request.tools:
        match tool:
            case FunctionTool() | CustomTool():
                form = _form(tool, table, report)
                entry = _entry(tool, form, own=own, profile=profile, report=report)
                table.forms[tool.namespace, tool.name] = form
                _remember(tool, form, table)
                if form.namespace is None:
                    table.entries.append(entry)
                    continue
                if form.namespace not in namespaces:
                    namespaces[form.namespace] = []
                    table.entries.append(_namespace(form.namespace, tool, namespaces[form.namespace]))
                namespaces[form.namespace].append(entry)
            case HostedTool():
                if (written := hosted_tool(tool, request, profile, report)) is not None:
                    table.entries.append(written)
            case TypedTool():
                _typed(tool, table, report)
    return table


def _form(tool: FunctionTool | CustomTool, table: ToolTable, report: Report) -> Form:
    if isinstance(tool, FunctionTool):
        return table.place(tool.name, tool.namespace, "function")
    if table.profile.custom_tools:
        return table.place(tool.name, tool.namespace, "custom")
    report.lose("custom_tool")
    return table.place(tool.name, tool.namespace, "wrapped")


def _entry(
    tool: FunctionTool | CustomTool, form: Form, *, own: bool, profile: Profile, report: Report
) -> dict[str, Any]:
    if isinstance(tool, CustomTool):
        return _custom(tool, form)
    entry: dict[str, Any] = {"type": "function", "name": form.name}
    if (description := description_of(tool)) is not None:
        entry["description"] = description
    entry["parameters"] = tool.schema if tool.schema is not None or own else _OPEN_SCHEMA
    if not profile.strict_tools:
        if tool.strict:
            report.lose("strict")
    elif tool.strict is not None or not own:
        # Left out, strict means "try it" here; in every other dialect it means false.
        entry["strict"] = bool(tool.strict)
    if tool.defer_loading is not None and own:
        entry["defer_loading"] = tool.defer_loading
    return entry


def _custom(tool: CustomTool, form: Form) -> dict[str, Any]:
    if form.kind == "wrapped":
        about = [tool.description] if tool.description else []
        if tool.grammar:
            about.append(f"The input must match this {tool.syntax or ''} grammar:\n{tool.grammar}".replace("  ", " "))
        return {
            "type": "function",
            "name": form.name,
            "description": "\n\n".join(about),
            "parameters": _TEXT_SCHEMA,
            "strict": False,
        }
    entry: dict[str, Any] = {"type": "custom", "name": form.name}
    if tool.description is not None:
        entry["description"] = tool.description
    if tool.grammar is not None:
        entry["format"] = {"type": "grammar", "definition": tool.grammar, "syntax": tool.syntax or "lark"}
    return entry


def _namespace(name: str, tool: FunctionTool | CustomTool, members: list[Any]) -> dict[str, Any]:
    return {"type": "namespace", "name": name, "description": tool.namespace_description or name, "tools": members}


def _remember(tool: FunctionTool | CustomTool, form: Form, table: ToolTable) -> None:
    kind: Literal["json", "text"] = "text" if form.kind == "wrapped" else "json"
    if form.name != tool.name or form.namespace != tool.namespace or kind == "text":
        table.restore[form.name] = ToolShape(tool.name, kind, tool.namespace)


def _typed(tool: TypedTool, table: ToolTable, report: Report) -> None:
    if tool.dialect == "responses":
        table.entries.append(tool.raw if tool.raw is not None else {"type": tool.kind})
        table.forms[None, tool.name] = Form(tool.name, "typed", typed=tool.name)
        return
    known = typed_tool(tool.kind)
    if known is None:
        report.lose("typed_tool", f"tools ({tool.name})")
        return
    form = Form(tool_name(tool.name), "function")
    description, schema = known
    entry = {"type": "function", "name": form.name, "description": description, "parameters": schema, "strict": False}
    table.entries.append(entry)
    table.forms[None, tool.name] = form
    table.restore[form.name] = ToolShape(tool.name, typed=tool.kind)


def write_choice(choice: ToolChoice | None, table: ToolTable, report: Report) -> Any:
    """The choice as the API takes it, or None to leave it out (it is refused without tools)."""
    if choice is None or not table.entries:
        return None
    match choice.mode:
        case "auto" | "none" | "required":
            return choice.mode
        case "tool":
            return _one(choice.name or "", table)
        case "allowed":
            if not table.profile.allowed_tools:
                report.lose("allowed_tools")
                return "required" if choice.required else "auto"
            tools = [_one(name, table) for name in choice.names]
            return {"type": "allowed_tools", "mode": "required" if choice.required else "auto", "tools": tools}
        case "hosted":
            return {"type": _HOSTED_TYPES.get(choice.hosted or "", choice.hosted or "")}


_HOSTED_TYPES = {"code": "code_interpreter", "image": "image_generation"}


def _one(name: str, table: ToolTable) -> dict[str, Any]:
    form = next((form for (_, known), form in table.forms.items() if known == name), None)
    if form is None:
        hosted = name not in ("function", "custom")
        if hosted and any(isinstance(entry, dict) and entry.get("type") == name for entry in table.entries):
            return {"type": name}
        return {"type": "function", "name": tool_name(name)}
    if form.kind == "typed":
        return {"type": form.typed}
    return {"type": "custom" if form.kind == "custom" else "function", "name": form.name}


def echo_tools(request: Request | None) -> list[Any]:
    """The tools as the caller gave them, for the answer; keys that typed clients demand are all there."""
    if request is None:
        return []
    entries: list[Any] = []
    namespaces: dict[str, list[Any]] = {}
    for tool in request.tools:
        if isinstance(tool, HostedTool | TypedTool):
            own = tool.dialect == "responses" and tool.raw is not None
            entries.append(_without_secrets(tool) if own else {"type": tool.kind})
            continue
        entry = _echo(tool)
        if tool.namespace is None:
            entries.append(entry)
            continue
        if tool.namespace not in namespaces:
            namespaces[tool.namespace] = []
            entries.append(_namespace(tool.namespace, tool, namespaces[tool.namespace]))
        namespaces[tool.namespace].append(entry)
    return entries


def _without_secrets(tool: HostedTool | TypedTool) -> Any:
    """The definition without what is only for the server that it names; the answer may be kept."""
    if tool.kind != "mcp" or tool.raw is None:
        return tool.raw
    try:
        said = msgspec.json.decode(tool.raw, type=dict[str, Raw])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return {"type": "mcp"}
    return {name: value for name, value in said.items() if name not in ("authorization", "headers")}


def _echo(tool: FunctionTool | CustomTool) -> dict[str, Any]:
    if isinstance(tool, CustomTool):
        return _custom(tool, Form(tool.name, "custom"))
    entry: dict[str, Any] = {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.schema,
        "strict": tool.strict,
    }
    if tool.defer_loading is not None:
        entry["defer_loading"] = tool.defer_loading
    return entry


def echo_choice(request: Request | None) -> Any:
    """The choice as the caller gave it, or the default."""
    if request is None or request.tool_choice is None:
        return "auto"
    table = ToolTable(Profile())
    for tool in request.tools:
        match tool:
            case CustomTool():
                table.forms[tool.namespace, tool.name] = Form(tool.name, "custom")
            case FunctionTool():
                table.forms[tool.namespace, tool.name] = Form(tool.name, "function")
            case TypedTool():
                table.forms[None, tool.name] = Form(tool.name, "typed", typed=tool.name)
    table.entries = [{"type": "echo"}]
    return write_choice(request.tool_choice, table, Report({}))
