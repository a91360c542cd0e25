"""A caller's own bytes, changed only where a server that speaks the Responses API differs from the origin.

``store`` stays whatever it says: it is a wish about the caller's data. What would change the answer, too (free-text
tools, namespaces), is no patch: then the request takes the way of a translation.
"""

import msgspec
from msgspec import Raw, Struct

from asgi_llm.dialects.interface import Patched, Patcher, Profile, Report
from asgi_llm.dialects.spans import AmbiguousError, Edits, Member, items, members

from .losses import LOSSES

__all__ = ["patcher"]

_CACHE = ("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention")
_EXTRAS = ("metadata", "safety_identifier", "service_tier", *_CACHE)
_NULL = b"null"


class _Item(Struct, gc=False):
    type: Raw = Raw()


class _Tool(Struct, gc=False):
    type: Raw = Raw()
    strict: Raw = Raw()


class _Text(Struct, gc=False):
    verbosity: Raw = Raw()


class _Choice(Struct, gc=False):
    type: Raw = Raw()


class _Look(Struct, gc=False):
    input: str | list[_Item] | None = None
    tools: list[_Tool] | None = None
    tool_choice: str | _Choice | None = None
    text: _Text | None = None
    parallel_tool_calls: Raw = Raw()
    metadata: Raw = Raw()
    safety_identifier: Raw = Raw()
    service_tier: Raw = Raw()
    prompt_cache_key: Raw = Raw()
    prompt_cache_options: Raw = Raw()
    prompt_cache_retention: Raw = Raw()


_look = msgspec.json.Decoder(_Look)


def patcher(profile: Profile, model: str) -> Patcher | None:
    """The patch for an upstream; None where it takes whatever the origin takes."""
    takes = (profile.openai_extras, profile.strict_tools, profile.custom_tools, profile.allowed_tools)
    if all((*takes, profile.parallel_tool_calls)):
        return None
    return Patcher(lambda body: _patch(body, profile))


def _patch(body: bytes, profile: Profile) -> Patched | None:
    """The body as the upstream takes it; None where that is more than a patch."""
    try:
        look = _look.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Patched(body)  # the upstream says best what is wrong with it
    if not _suffices(look, profile):
        return None
    extras = [] if profile.openai_extras else [name for name in _EXTRAS if getattr(look, name)]
    parallel = bool(look.parallel_tool_calls) and not profile.parallel_tool_calls
    verbosity = not profile.openai_extras and look.text is not None and bool(look.text.verbosity)
    strict = _strict(look) if not profile.strict_tools else []
    if not extras and not parallel and not verbosity and not strict:
        return Patched(body)
    report, edits = Report(LOSSES), Edits(body)
    try:
        outside = members(body)
        gone = {*extras, "parallel_tool_calls"} if parallel else set(extras)
        _remove(edits, outside, gone)
        if verbosity:
            _remove(edits, members(body, outside["text"].value, outside["text"].end), {"verbosity"})
        if strict:
            places = items(body, outside["tools"].value, outside["tools"].end)
            for index in strict:
                _remove(edits, members(body, *places[index]), {"strict"})
    except AmbiguousError:
        return None
    lost = [name for name in extras if name in LOSSES and bytes(getattr(look, name)) != _NULL]
    for name in [*lost, "verbosity"] if verbosity else lost:
        report.lose(name)
    if parallel and bytes(look.parallel_tool_calls) == b"false":
        report.lose("parallel_tools")
    if any(bytes((look.tools or [])[index].strict) == b"true" for index in strict):
        report.lose("strict")
    return Patched(edits.apply(), report.warnings)


def _suffices(look: _Look, profile: Profile) -> bool:
    if not profile.custom_tools:
        entries = [*(look.tools or ()), *(look.input if isinstance(look.input, list) else ())]
        if any(bytes(entry.type) in _BEYOND for entry in entries):
            return False
    choice = look.tool_choice
    return profile.allowed_tools or not isinstance(choice, _Choice) or bytes(choice.type) != b'"allowed_tools"'


_BEYOND = (b'"custom"', b'"namespace"', b'"custom_tool_call"', b'"custom_tool_call_output"')


def _strict(look: _Look) -> list[int]:
    return [index for index, tool in enumerate(look.tools or ()) if tool.strict]


def _remove(edits: Edits, found: dict[str, Member], gone: set[str]) -> None:
    spans = [(place.start, place.end) for place in found.values()]
    edits.remove(spans, (place for place, name in enumerate(found) if name in gone))
