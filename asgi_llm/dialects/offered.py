"""Tools that a provider runs, on their way to an upstream that has no such tool.

Agents put their provider's own tools (a web search, say) beside theirs in every request, whether or not they will be
needed; without them the model only has fewer ways. Where such a tool is what the request is about, leaving it out
would mislead.
"""

from asgi_llm.neutral.request import HostedTool, Request, ServerCall, ServerResult

from .interface import Profile

__all__ = ["merely_offered"]


def merely_offered(tool: HostedTool, request: Request, profile: Profile) -> bool:
    """Whether the request may go to an upstream without ``tool``: the profile says so, the caller has tools of its
    own beside it, does not choose it, and the conversation does not build on what it found."""
    return (
        profile.hosted_tools == "drop"
        and any(not isinstance(other, HostedTool) for other in request.tools)
        and not _chosen(tool, request)
        and not _used(tool, request)
    )


def _chosen(tool: HostedTool, request: Request) -> bool:
    choice = request.tool_choice
    if choice is None:
        return False
    names = {choice.name, choice.hosted, *choice.names}
    return choice.mode == "hosted" or tool.kind in names or (tool.name is not None and tool.name in names)


def _used(tool: HostedTool, request: Request) -> bool:
    return any(
        isinstance(part, ServerCall | ServerResult) and part.kind == tool.kind
        for turn in request.turns
        for part in turn.parts
    )
