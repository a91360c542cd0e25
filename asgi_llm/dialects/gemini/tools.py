"""``tools`` and ``toolConfig`` of a caller -> neutral.

One entry of ``tools`` may declare many functions and name several of the provider's own tools; each becomes a tool of
its own. Spec: Gemini API, "Tool", "ToolConfig".
"""

import msgspec
from msgspec import Raw, Struct

from asgi_llm.errors import ClientError
from asgi_llm.neutral.request import FunctionTool, HostedTool, Tool, ToolChoice

from .raws import NULL, given, typed
from .schemas import from_openapi

__all__ = ["decode_choice", "decode_tools"]


class _Declaration(Struct, rename="camel"):
    name: str = ""
    description: str | None = None
    parameters: Raw = NULL
    parameters_json_schema: Raw = NULL


class _FunctionConfig(Struct, rename="camel"):
    mode: str | None = None
    allowed_function_names: list[str] | None = None


_ENTRIES: msgspec.json.Decoder[list[dict[str, Raw]]] = msgspec.json.Decoder(list[dict[str, Raw]])
_DECLARATIONS = msgspec.json.Decoder(list[_Declaration])
_DECLARATION = msgspec.json.Decoder(_Declaration)
_FUNCTION_CONFIG = msgspec.json.Decoder(_FunctionConfig)

_KINDS = {
    "googleSearch": "web_search",
    "googleSearchRetrieval": "web_search",
    "enterpriseWebSearch": "web_search",
    "urlContext": "web_fetch",
    "codeExecution": "code",
    "fileSearch": "file_search",
    "mcpServers": "mcp",
    "computerUse": "computer",
    "googleMaps": "maps",
}


def decode_tools(raw: Raw | None) -> tuple[Tool, ...]:
    """The tools in the caller's order.

    Raises:
        ClientError: a declaration is not what it must be; the error names the field.
    """
    tools: list[Tool] = []
    if raw is None:
        return ()
    if bytes(memoryview(raw)[:1]) == b"{":
        raw = Raw(b"[%b]" % bytes(raw))
    for index, entry in enumerate(typed(raw, _ENTRIES, "tools")):
        for key, value in entry.items():
            if given(value) is None:
                continue
            if key == "functionDeclarations":
                tools.extend(_functions(value, f"tools[{index}].functionDeclarations"))
            else:
                whole = Raw(msgspec.json.encode({key: value}))
                tools.append(HostedTool("gemini", _KINDS.get(key, key), raw=whole))
    return tuple(tools)


def _functions(raw: Raw, path: str) -> list[FunctionTool]:
    if bytes(memoryview(raw)[:1]) == b"{":
        return [_function(typed(raw, _DECLARATION, path), path)]
    return [_function(wire, f"{path}[{index}]") for index, wire in enumerate(typed(raw, _DECLARATIONS, path))]


def _function(wire: _Declaration, path: str) -> FunctionTool:
    if not wire.name:
        raise ClientError(f"{path}.name: Field required", param=f"{path}.name")
    schema, field = given(wire.parameters_json_schema), "parametersJsonSchema"
    if schema is None and (openapi := given(wire.parameters)) is not None:
        schema, field = from_openapi(openapi), "parameters"
    if schema is not None and bytes(memoryview(schema)[:1]) != b"{":
        raise ClientError(f"{path}.{field}: must be an object", param=f"{path}.{field}")
    return FunctionTool(wire.name, wire.description, None if schema is None else Raw(bytes(schema)))


def decode_choice(raw: Raw | None) -> ToolChoice | None:
    """The choice that ``functionCallingConfig`` makes.

    Raises:
        ClientError: it is not one of the API's modes.
    """
    if raw is None:
        return None
    path = "toolConfig.functionCallingConfig"
    wire: _FunctionConfig = typed(raw, _FUNCTION_CONFIG, path)
    names = tuple(wire.allowed_function_names or ())
    match (wire.mode or "AUTO").upper():
        case "MODE_UNSPECIFIED" | "AUTO":
            return ToolChoice("auto")
        case "NONE":
            return ToolChoice("none")
        case "ANY":
            if len(names) == 1:
                return ToolChoice("tool", name=names[0])
            return ToolChoice("allowed", names=names, required=True) if names else ToolChoice("required")
        case "VALIDATED":
            return ToolChoice("allowed", names=names) if names else ToolChoice("auto")
        case _:
            raise ClientError(f"{path}.mode: must be AUTO, ANY, NONE or VALIDATED", param=f"{path}.mode")
