"""Tools that a provider runs or defines, as far as the Responses API has a counterpart for another provider's.

OpenAI Responses API reference, "Built-in tools"; Anthropic Messages API, "Server tools" and "Client tools".
"""

from typing import Any

from msgspec import Raw

from asgi_llm.dialects.interface import Profile, Report
from asgi_llm.dialects.offered import merely_offered
from asgi_llm.dialects.web_search import search_wish
from asgi_llm.neutral.request import HostedTool, Request, TypedTool

__all__ = ["hosted_tool", "typed_function"]


def hosted_tool(tool: HostedTool, request: Request, profile: Profile, report: Report) -> Any:
    """The definition, or None for one that may be left out.

    Raises:
        TranslationError: only its own provider has it.
    """
    if tool.dialect == "responses":
        return tool.raw if tool.raw is not None else {"type": tool.kind}
    match tool.kind:
        case "web_search":
            return _web_search(tool, report)
        case "code":
            return {"type": "code_interpreter", "container": {"type": "auto"}}
        case "tool_search":
            report.lose("tool_search")
        case _ if merely_offered(tool, request, profile):
            report.lose("offered_tool")
        case _:
            report.lose("hosted_tool", f"tools ({tool.name or tool.kind})")
    return None


def _web_search(tool: HostedTool, report: Report) -> dict[str, Any]:
    written: dict[str, Any] = {"type": "web_search"}
    wish = search_wish(tool)
    if wish.allowed:
        written["filters"] = {"allowed_domains": wish.allowed}
    if wish.blocked:
        report.lose("web_search")
    if wish.place:
        written["user_location"] = {"type": "approximate", **wish.place}
    if wish.size is not None:
        written["search_context_size"] = wish.size
    return written


_BASH_SCHEMA = Raw(
    b'{"type":"object","properties":{"command":{"type":"string","description":"The command to run."},'
    b'"restart":{"type":"boolean","description":"Start a new session instead of running a command."}}}'
)

_EDITOR_SCHEMA = Raw(
    b'{"type":"object","properties":{"command":{"type":"string","enum":["view","create","str_replace","insert"]},'
    b'"path":{"type":"string"},"file_text":{"type":"string"},"old_str":{"type":"string"},'
    b'"new_str":{"type":"string"},"insert_line":{"type":"integer"},"insert_text":{"type":"string"},'
    b'"view_range":{"type":"array","items":{"type":"integer"}}},"required":["command","path"]}'
)

_MEMORY_SCHEMA = Raw(
    b'{"type":"object","properties":{"command":{"type":"string",'
    b'"enum":["view","create","str_replace","insert","delete","rename"]},"path":{"type":"string"},'
    b'"file_text":{"type":"string"},"old_str":{"type":"string"},"new_str":{"type":"string"},'
    b'"insert_line":{"type":"integer"},"insert_text":{"type":"string"},"old_path":{"type":"string"},'
    b'"new_path":{"type":"string"},"view_range":{"type":"array","items":{"type":"integer"}}},'
    b'"required":["command"]}'
)

_TYPED = {
    "bash": ("Runs a command in a persistent bash session and returns its output.", _BASH_SCHEMA),
    "text_editor": ("Views, creates and edits text files.", _EDITOR_SCHEMA),
    "memory": ("Reads and writes files in a memory directory that outlives the conversation.", _MEMORY_SCHEMA),
}


def typed_function(tool: TypedTool) -> dict[str, Any] | None:
    """Another provider's typed tool as a function without its name; None when its arguments are not known."""
    family = next((family for family in _TYPED if tool.kind == family or tool.kind.startswith(f"{family}_")), None)
    if family is None:
        return None
    about, schema = _TYPED[family]
    return {"description": about, "parameters": schema, "strict": False}
