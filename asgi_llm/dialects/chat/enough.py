"""Whether a patch of the caller's bytes is enough for a server, or the request must be written anew.

Looks at no more of a request than what servers differ in; ``patch.py`` does the patching.
"""

from itertools import pairwise

import msgspec
from msgspec import Raw, Struct

from asgi_llm.dialects.interface import Profile
from asgi_llm.dialects.profile import Order

__all__ = ["Look", "Message", "Tool", "differs", "spares_plain", "suffices"]

_CUSTOM = Raw(b'"custom"')
_NULL = Raw(b"null")
_INSTRUCTIONS = (Raw(b'"system"'), Raw(b'"developer"'))
_USER, _ASSISTANT, _TOOL = Raw(b'"user"'), Raw(b'"assistant"'), Raw(b'"tool"')
_EMPTY = (Raw(), _NULL, Raw(b'""'), Raw(b"[]"))
_DIFFERING = (
    "strict_fields", "order", "reasoning_always", "efforts", "thinking_switch", "strict_tools", "custom_tools",
    "allowed_tools", "tool_choices", "forced_tools_think", "tool_id_limit", "max_tokens_field", "developer_role",
    "temperature_range", "seed_field", "json_object", "json_schema",
)  # fmt: skip
_ORIGIN = Profile()


class Called(Struct, gc=False):
    type: Raw = Raw()
    id: Raw = Raw()


class Message(Struct, gc=False):
    role: Raw = Raw()
    content: Raw = Raw()
    reasoning: Raw = Raw()
    reasoning_content: Raw = Raw()
    tool_call_id: Raw = Raw()
    tool_calls: list[Called] | None = None


class Function(Struct, gc=False):
    strict: Raw = Raw()


class Tool(Struct, gc=False):
    type: Raw = Raw()
    function: Function | None = None


class Look(Struct, gc=False):
    messages: list[Message] = []
    tools: list[Tool] | None = None
    tool_choice: Raw = Raw()
    max_tokens: Raw = Raw()
    max_completion_tokens: Raw = Raw()
    parallel_tool_calls: Raw = Raw()
    reasoning_effort: Raw = Raw()
    stream_options: Raw = Raw()
    store: Raw = Raw()
    metadata: Raw = Raw()
    safety_identifier: Raw = Raw()
    service_tier: Raw = Raw()
    verbosity: Raw = Raw()
    prompt_cache_key: Raw = Raw()
    prompt_cache_options: Raw = Raw()
    prompt_cache_retention: Raw = Raw()
    temperature: Raw = Raw()
    top_p: Raw = Raw()
    presence_penalty: Raw = Raw()
    frequency_penalty: Raw = Raw()
    logit_bias: Raw = Raw()
    logprobs: Raw = Raw()
    top_logprobs: Raw = Raw()
    n: Raw = Raw()
    seed: Raw = Raw()
    stop: Raw = Raw()
    response_format: Raw = Raw()


class _Kind(Struct, gc=False):
    type: str = ""


_kind = msgspec.json.Decoder(_Kind)
_stops = msgspec.json.Decoder(str | list[str])
_number = msgspec.json.Decoder(int | float)
_word = msgspec.json.Decoder(str)


def differs(profile: Profile) -> bool:
    """Whether the server wants anything otherwise than the origin, save fields that it lacks."""
    if profile.max_stop is not None and profile.max_stop != _ORIGIN.max_stop:
        return True
    return any(getattr(profile, name) != getattr(_ORIGIN, name) for name in _DIFFERING)


def spares_plain(profile: Profile) -> bool:
    """Whether a body that ``peek`` calls plain is what the server takes, as it stands."""
    return (
        not profile.strict_fields
        and not profile.reasoning_always
        and profile.order is None
        and profile.tool_id_limit >= _ORIGIN.tool_id_limit
        and profile.temperature_range is None
        and profile.max_stop in (None, _ORIGIN.max_stop)
        and profile.lacks.isdisjoint(("temperature", "top_p", "stop"))
    )


def suffices(look: Look, profile: Profile) -> bool:
    """Whether leaving out and renaming fields makes the request one that the server takes."""
    if profile.strict_fields or not _tools_fit(look, profile):
        return False
    try:
        if not _knobs_fit(look, profile):
            return False
    except msgspec.MsgspecError:
        return True  # the upstream says best what is wrong with it
    if profile.reasoning_always and any(_thoughtless(message) for message in look.messages):
        return False
    return profile.order is None or _in_order(look.messages, profile.order)


def _tools_fit(look: Look, profile: Profile) -> bool:
    if not profile.custom_tools:
        if look.tools and any(tool.type == _CUSTOM for tool in look.tools):
            return False
        for message in look.messages:
            if message.tool_calls and any(call.type == _CUSTOM for call in message.tool_calls):
                return False
    choice = look.tool_choice
    if not choice or choice == _NULL:
        return True
    if not profile.forced_tools_think or profile.tool_choices != _ORIGIN.tool_choices:
        return False
    return profile.allowed_tools or _type(choice) != "allowed_tools"


def _type(raw: Raw) -> str:
    try:
        return _kind.decode(raw).type
    except msgspec.MsgspecError:
        return ""


def _knobs_fit(look: Look, profile: Profile) -> bool:
    if _said(look.stop):
        stops = _stops.decode(look.stop)
        if "stop" in profile.lacks:
            return False
        if profile.max_stop is not None and isinstance(stops, list) and len(stops) > profile.max_stop:
            return False
    if profile.temperature_range is not None and _said(look.temperature):
        low, high = profile.temperature_range
        if "temperature" not in profile.lacks and not low <= _number.decode(look.temperature) <= high:
            return False
    if _said(look.seed) and profile.seed_field != _ORIGIN.seed_field:
        return False
    if _said(look.response_format):
        kind = _type(look.response_format)
        if (kind == "json_schema" and not profile.json_schema) or (kind == "json_object" and not profile.json_object):
            return False
    if _said(look.reasoning_effort):
        if profile.thinking_switch is not None:
            return False
        return not profile.reasoning_effort or _word.decode(look.reasoning_effort) in profile.efforts
    return True


def _said(raw: Raw) -> bool:
    return bool(raw) and raw != _NULL


def _thoughtless(message: Message) -> bool:
    return message.role == _ASSISTANT and bool(message.tool_calls) and not message.reasoning_content


def _in_order(messages: list[Message], order: Order) -> bool:
    if not order.system_turns and any(message.role in _INSTRUCTIONS for message in messages[1:]):
        return False
    if not order.empty_messages and any(
        message.content in _EMPTY and message.role != _TOOL and not message.tool_calls for message in messages
    ):
        return False
    if order.prefill is not None and messages and messages[-1].role == _ASSISTANT:
        return False
    for first, second in pairwise(messages):
        if not order.user_after_tool and first.role == _TOOL and second.role in (_USER, *_INSTRUCTIONS):
            return False
        if order.alternating and first.role == second.role in (_USER, _ASSISTANT) and not first.tool_calls:
            return False
    return True
