"""A caller's own bytes, changed only where a server that speaks Chat Completions differs from the origin.

Fields that the server does not have are left out or get its name for them; every other byte stays. What would change
the answer, too (a free-text tool offered as a function), is no patch: then the request takes the way of a translation.
"""

from dataclasses import dataclass

import msgspec
from msgspec import Raw

from asgi_llm.dialects.interface import Patched, Patcher, Profile, Report
from asgi_llm.dialects.profile import adapted
from asgi_llm.dialects.spans import AmbiguousError, Edits, Member, items, members

from .enough import Look, Message, Tool, differs, spares_plain, suffices
from .losses import LOSSES
from .names import wire_id

__all__ = ["patcher"]

_EXTRAS = {
    "store": "store",
    "metadata": "metadata",
    "safety_identifier": "safety_identifier",
    "service_tier": "service_tier",
    "verbosity": "verbosity",
    "prompt_cache_key": "prompt_cache_key",
    "prompt_cache_options": "prompt_cache_key",
    "prompt_cache_retention": "prompt_cache_key",
}
"""What only the origin takes -> the loss it is reported as."""
_SAYS_NOTHING = {
    "store": (b"false",),
    "parallel_tool_calls": (b"true",),
    "temperature": (b"1", b"1.0"),
    "top_p": (b"1", b"1.0"),
    "presence_penalty": (b"0", b"0.0"),
    "frequency_penalty": (b"0", b"0.0"),
    "logprobs": (b"false",),
    "n": (b"1",),
}
"""Values that say what would be so anyway."""
_LONG_ID = 64


_look = msgspec.json.Decoder(Look)
_text = msgspec.json.Decoder(str)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a profile wants otherwise. ``unwanted`` goes from the member to its loss, ``thoughts`` is the field in
    which thoughts must not stand."""

    profile: Profile
    unwanted: dict[str, str]
    thoughts: str | None


def patcher(profile: Profile, model: str) -> Patcher | None:
    """The patch for an upstream; None where it takes whatever the origin takes."""
    if profile.families:
        profile = adapted(profile, model)
    unwanted = {name: loss for name, loss in _EXTRAS.items() if not profile.takes(name)}
    if profile.end_user_field != "safety_identifier":
        unwanted["safety_identifier"] = "safety_identifier"
    unwanted |= {name: name for name in sorted(profile.lacks) if name != "stop"}
    if "logprobs" in profile.lacks:
        unwanted["top_logprobs"] = "top_logprobs"
    if not profile.parallel_tool_calls:
        unwanted["parallel_tool_calls"] = "parallel_tool_calls"
    if not profile.reasoning_effort:
        unwanted["reasoning_effort"] = "reasoning_effort"
    if not profile.stream_usage:
        unwanted["stream_options"] = "stream_options"
    if not unwanted and not differs(profile):
        return None
    other = {"reasoning": "reasoning_content", "reasoning_content": "reasoning"}
    wanted = _Wanted(profile, unwanted, other.get(profile.reasoning_field or ""))
    return Patcher(lambda body: _patch(body, wanted), spares_plain=spares_plain(profile))


def _patch(body: bytes, wanted: _Wanted) -> Patched | None:
    """The body as the upstream takes it; None where that is more than a patch."""
    try:
        look = _look.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Patched(body)  # the upstream says best what is wrong with it
    if not suffices(look, wanted.profile):
        return None
    top = _top(look, wanted)
    inner = [index for index, message in enumerate(look.messages) if _differs(message, wanted)]
    strict = _strict(look.tools) if look.tools and not wanted.profile.strict_tools else []
    if not top and not inner and not strict:
        return Patched(body)
    try:
        return _spliced(body, look, wanted, (top, inner, strict))
    except AmbiguousError:
        return None


def _top(look: Look, wanted: _Wanted) -> list[str]:
    """The members of the body to change."""
    found = [name for name in wanted.unwanted if getattr(look, name)]
    if look.max_completion_tokens and wanted.profile.max_tokens_field == "max_tokens":
        found.append("max_completion_tokens")
    return found


def _differs(message: Message, wanted: _Wanted) -> bool:
    profile = wanted.profile
    if not profile.developer_role and message.role == _DEVELOPER:
        return True
    if wanted.thoughts is not None and getattr(message, wanted.thoughts) and not _thought(message, wanted):
        return True
    return profile.tool_id_limit < _LONG_ID and bool(message.tool_call_id or message.tool_calls)


_DEVELOPER = Raw(b'"developer"')


def _thought(message: Message, wanted: _Wanted) -> Raw:
    return getattr(message, wanted.profile.reasoning_field or "reasoning")  # type: ignore[no-any-return]  # both are Raw


def _strict(tools: list[Tool]) -> list[int]:
    return [index for index, tool in enumerate(tools) if tool.function is not None and tool.function.strict]


def _spliced(body: bytes, look: Look, wanted: _Wanted, found: tuple[list[str], list[int], list[int]]) -> Patched:
    top, inner, strict = found
    edits, report = Edits(body), Report(LOSSES)
    outside = members(body)
    _outside(edits, report, outside, top, look, wanted)
    if inner:
        places = items(body, outside["messages"].value, outside["messages"].end)
        for index in inner:
            _message(body, edits, members(body, *places[index]), wanted)
    if strict:
        places = items(body, outside["tools"].value, outside["tools"].end)
        for index in strict:
            place = members(body, *places[index])["function"]
            function = members(body, place.value, place.end)
            if body[function["strict"].value : function["strict"].end] == b"true":
                report.lose("strict")
            _remove(edits, function, {"strict"})
    return Patched(edits.apply(), report.warnings)


def _outside(
    edits: Edits, report: Report, outside: dict[str, Member], top: list[str], look: Look, wanted: _Wanted
) -> None:
    gone: set[str] = set()
    for name in top:
        if name == "max_completion_tokens":
            if look.max_tokens:
                gone.add("max_tokens")
            edits.replace(outside[name].start, outside[name].key_end, b'"max_tokens"')
            continue
        gone.add(name)
        if bytes(getattr(look, name)) not in (b"null", *_SAYS_NOTHING.get(name, ())):
            report.lose(wanted.unwanted[name])
    _remove(edits, outside, gone)


def _message(body: bytes, edits: Edits, message: dict[str, Member], wanted: _Wanted) -> None:
    profile = wanted.profile
    role = message.get("role")
    if role is not None and not profile.developer_role and body[role.value : role.end] == b'"developer"':
        edits.replace(role.value, role.end, b'"system"')
    field = profile.reasoning_field
    if wanted.thoughts in message and field is not None and field not in message:
        place = message[wanted.thoughts]
        edits.replace(place.start, place.key_end, b'"%b"' % field.encode())
    if profile.tool_id_limit < _LONG_ID:
        if (answered := message.get("tool_call_id")) is not None:
            _id(body, edits, answered, profile)
        if (calls := message.get("tool_calls")) is not None and body[calls.value : calls.value + 1] == b"[":
            for span in items(body, calls.value, calls.end):
                if (called := members(body, *span).get("id")) is not None:
                    _id(body, edits, called, profile)


def _id(body: bytes, edits: Edits, place: Member, profile: Profile) -> None:
    try:
        given = _text.decode(body[place.value : place.end])
    except msgspec.MsgspecError:
        return
    written = wire_id(given, profile.tool_id_limit)
    if written != given:
        edits.replace(place.value, place.end, msgspec.json.encode(written))


def _remove(edits: Edits, found: dict[str, Member], gone: set[str]) -> None:
    spans = [(place.start, place.end) for place in found.values()]
    edits.remove(spans, (place for place, name in enumerate(found) if name in gone))
