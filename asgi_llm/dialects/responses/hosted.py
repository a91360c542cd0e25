"""Tools that a provider runs, as far as the Responses API has a counterpart for another provider's.

OpenAI Responses API reference, "Built-in tools"; Anthropic Messages API, "Server tools".
"""

from typing import Any

from asgi_llm.dialects.interface import Profile, Report
from asgi_llm.dialects.offered import merely_offered
from asgi_llm.dialects.web_search import search_wish
from asgi_llm.neutral.request import HostedTool, Request

__all__ = ["hosted_tool"]


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
