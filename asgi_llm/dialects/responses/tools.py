"""Tool definitions and choices, read from the Responses API's flat form.

OpenAI Responses API reference, "tools" and "tool_choice". ``strict`` stays three-valued: left out, it means that the
API may try strict mode.
"""

from msgspec import Raw, Struct

from asgi_llm.errors import ClientError
from asgi_llm.neutral.request import CustomTool, FunctionTool, HostedTool, Tool, ToolChoice, TypedTool

from . import wire
from .wire import ToolDefinition, array, first, given, read

__all__ = ["decode_tool_choice", "decode_tools"]

_HOSTED = {
    "web_search": "web_search",
    "web_search_2025_08_26": "web_search",
    "web_search_preview": "web_search",
    "web_search_preview_2025_03_11": "web_search",
    "file_search": "file_search",
    "mcp": "mcp",
    "code_interpreter": "code",
    "image_generation": "image",
    "tool_search": "tool_search",
}

_TYPED = {
    "apply_patch": "apply_patch",
    "shell": "shell",
    "local_shell": "local_shell",
    "computer": "computer",
    "computer_use_preview": "computer",
}


class _Choice(Struct):
    type: str | None = None
    name: str | None = None
    mode: str | None = None
    tools: Raw = wire.NOTHING


class _Named(Struct):
    type: str | None = None
    name: str | None = None


def decode_tools(raw: Raw) -> tuple[Tool, ...]:
    """All tools in their order; the members of a namespace carry its name.

    Raises:
        ClientError: naming the field, as ``tools[1].name``.
    """
    if not given(raw):
        return ()
    tools: list[Tool] = []
    for index, entry in enumerate(array(raw, "tools")):
        path = f"tools[{index}]"
        wired = read(entry, ToolDefinition, path)
        if wired.type == "namespace":
            name = _need(wired.name, f"{path}.name")
            for inner, member in enumerate(array(wired.tools, f"{path}.tools")):
                where = f"{path}.tools[{inner}]"
                tools.append(_tool(read(member, ToolDefinition, where), member, where, name, wired.description))
        else:
            tools.append(_tool(wired, entry, path, None, None))
    return tuple(tools)


def _tool(wired: ToolDefinition, raw: Raw, path: str, namespace: str | None, about: str | None) -> Tool:
    match wired.type:
        case "function":
            return FunctionTool(
                _need(wired.name, f"{path}.name"),
                wired.description,
                wired.parameters if given(wired.parameters) else None,
                wired.strict,
                namespace,
                wired.defer_loading,
                namespace_description=about,
            )
        case "custom":
            grammar = wired.format if wired.format is not None and wired.format.type == "grammar" else None
            return CustomTool(
                _need(wired.name, f"{path}.name"),
                wired.description,
                grammar.syntax if grammar else None,
                grammar.definition if grammar else None,
                namespace,
                namespace_description=about,
            )
        case None:
            raise ClientError(f"{path}.type: a tool needs its type.", code="invalid_request", param=f"{path}.type")
        case kind if kind in _TYPED:
            return TypedTool("responses", kind, _TYPED[kind], raw)
        case kind:
            return HostedTool("responses", _HOSTED.get(kind, kind), wired.name, raw)


def decode_tool_choice(raw: Raw) -> ToolChoice | None:
    """``auto``, ``none``, ``required``, one tool, a set of allowed tools, or a hosted tool.

    Raises:
        ClientError: naming the field.
    """
    if not given(raw):
        return None
    if first(raw) == b'"':
        match read(raw, str, "tool_choice"):
            case "auto" | "none" | "required" as mode:
                return ToolChoice(mode)
            case other:
                raise _bad_choice("tool_choice", f"auto, none, required or an object, got {other[:64]!r}")
    choice = read(raw, _Choice, "tool_choice")
    match choice.type:
        case "function" | "custom":
            return ToolChoice("tool", name=_need(choice.name, "tool_choice.name"))
        case "allowed_tools":
            return _allowed(choice)
        case None:
            raise _bad_choice("tool_choice.type", "the type of the choice")
        case kind if kind in _TYPED:
            return ToolChoice("tool", name=_TYPED[kind])
        case kind:
            return ToolChoice("hosted", name=choice.name, hosted=_HOSTED.get(kind, kind))


def _allowed(choice: _Choice) -> ToolChoice:
    if choice.mode not in (None, "auto", "required"):
        raise _bad_choice("tool_choice.mode", "auto or required")
    names = []
    for index, entry in enumerate(array(choice.tools, "tool_choice.tools")):
        path = f"tool_choice.tools[{index}]"
        named = read(entry, _Named, path)
        names.append(named.name or _need(named.type, f"{path}.type"))
    return ToolChoice("allowed", names=tuple(names), required=choice.mode == "required")


def _need(value: str | None, path: str) -> str:
    if not value:
        raise ClientError(f"{path}: expected a name.", code="invalid_request", param=path)
    return value


def _bad_choice(path: str, expected: str) -> ClientError:
    return ClientError(f"{path}: expected {expected}.", code="invalid_request", param=path)
