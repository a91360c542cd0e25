"""A caller's own bytes for a server that speaks the Messages API without being Anthropic's.

Such servers take tools that the provider is to run without a word and never run them, which sends agents in circles:
where they are merely offered beside the caller's own they are taken out, and every other byte stays. All else about
such tools is more than a patch.
"""

import msgspec
from msgspec import Struct

from asgi_llm.dialects.interface import Patched, Patcher, Profile, Report
from asgi_llm.dialects.spans import AmbiguousError, Edits, items, members

from .losses import LOSSES
from .models import capabilities
from .tools import CALLER_RUN

__all__ = ["patcher"]


class _Tool(Struct, gc=False):
    type: str | None = None
    name: str | None = None


class _Choice(Struct, gc=False):
    name: str | None = None


class _Look(Struct, gc=False):
    tools: list[_Tool] | None = None
    tool_choice: _Choice | None = None


_look = msgspec.json.Decoder(_Look)


def patcher(profile: Profile, model: str) -> Patcher | None:
    """The patch for an upstream; None where it runs the provider's tools."""
    # Whoever takes the origin's extras in one dialect is the origin in the others, too.
    if profile.openai_extras or capabilities(model).known:
        return None
    return Patcher(lambda body: _patch(body, drop=profile.hosted_tools == "drop"))


def _patch(body: bytes, *, drop: bool) -> Patched | None:
    """The body as the upstream takes it; None where that is more than a patch."""
    try:
        look = _look.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Patched(body)  # the upstream says best what is wrong with it
    tools = look.tools or []
    hosted = [place for place, tool in enumerate(tools) if tool.type not in (None, "custom")]
    if not hosted:
        return Patched(body)
    types = [tools[place].type or "" for place in hosted]
    names = [tools[place].name for place in hosted]
    chosen = look.tool_choice is not None and look.tool_choice.name in names
    used = b"server_tool_use" in body or b"mcp_tool_use" in body
    typed = any(kind.startswith(CALLER_RUN) for kind in types)
    if typed or chosen or used or not drop or len(hosted) == len(tools):
        return None
    try:
        place = members(body)["tools"]
    except AmbiguousError:
        return None
    report, edits = Report(LOSSES), Edits(body)
    report.lose("tools.offered")
    edits.remove(items(body, place.value, place.end), hosted)
    return Patched(edits.apply(), report.warnings)
