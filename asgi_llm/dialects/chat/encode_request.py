"""A neutral request -> the body of a Chat Completions request, for an upstream as its profile describes it."""

from typing import Any

import msgspec

from asgi_llm.dialects.foreign import foreign_fields
from asgi_llm.dialects.interface import Encoded, Profile, Report, Restore
from asgi_llm.dialects.place import member
from asgi_llm.dialects.profile import adapted
from asgi_llm.dialects.short_ids import short_id
from asgi_llm.neutral.request import Instruction, Request, Sampling, StateRef, Text, ToolChoice

from .formats import write_format
from .losses import LOSSES
from .models import thinks
from .order import put_in_order
from .reasoning import effort_of, switch_off, wants_thoughts, write_reasoning
from .tools import ToolWriter
from .turns import MessageWriter

__all__ = ["encode_request"]

_json = msgspec.json.Encoder().encode
_NO_SAMPLING = Sampling()
_NO_STATE = StateRef()
_AS_IT_IS = Restore()
_SAMPLING = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs")
_NEUTRAL = {"temperature": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0, "logprobs": False}
"""Values that are the default anyway, so that leaving them out loses nothing."""
_TIERS = {
    "auto": "auto",
    "default": "default",
    "flex": "flex",
    "scale": "scale",
    "priority": "priority",
    "fast": "fast",
    "standard": "default",
    "standard_only": "default",
}
_ID_LIMIT = 128
_KEY_LIMIT = 64


def encode_request(request: Request, profile: Profile) -> Encoded:
    """Write the request. The same request always gives the same bytes.

    Raises:
        TranslationError: the request asks for what the upstream cannot do, and leaving it out would mislead.
    """
    if profile.families:
        profile = adapted(profile, request.model)
    report = Report(LOSSES)
    for name in foreign_fields(request, "chat"):
        report.lose("ext", name)
    tools = ToolWriter(request, profile, report)
    written_tools = tools.write(request.tools) if request.tools and _offers(request, profile, report) else None
    instructions = request.instructions
    form: dict[str, Any] | None = None
    if request.output is not None:
        form, sentence = write_format(request.output, profile, report)
        if sentence is not None:
            instructions = (*instructions, Instruction((Text(sentence),)))
    body: dict[str, Any] = {"model": request.model}
    messages = MessageWriter(request, profile, report, tools).write(instructions)
    body["messages"] = messages if profile.order is None else put_in_order(messages, profile.order, report)
    if request.dialect in ("messages", "gemini") and messages and _prefills(messages[-1], profile):
        report.lose("prefill")
    if written_tools:
        body["tools"] = written_tools
        _tool_knobs(body, request, profile, report, tools)
    if tools.search_options is not None:
        body["web_search_options"] = tools.search_options
    if request.sampling != _NO_SAMPLING:
        _sampling(body, request, profile, report)
    stops = _limits(body, request, profile, report)
    if request.reasoning is not None:
        write_reasoning(body, request.reasoning, profile, report)
    if form is not None:
        body["response_format"] = form
    _extras(body, request, profile, report)
    if request.state != _NO_STATE:
        _state(request, report)
    if request.stream.on:
        body["stream"] = True
        if profile.stream_usage:
            body["stream_options"] = {"include_usage": True}
    if request.ext and request.dialect == "chat":
        for name, raw in request.ext.items():
            body.setdefault(name, raw)
    for name, value in profile.adds:
        body.setdefault(name, value)
    restore = Restore(tools.shapes, stops=stops) if tools.shapes or stops else _AS_IT_IS
    return Encoded(_json(body), report.warnings, restore=restore)


def _prefills(last: dict[str, Any], profile: Profile) -> bool:
    """Whether a caller who wants what they end with continued will get something else. (Callers of Chat Completions and
    Responses only want the next message.)"""
    continued = profile.order is not None and profile.order.prefill is not None
    return last["role"] == "assistant" and "tool_calls" not in last and not continued


def _offers(request: Request, profile: Profile, report: Report) -> bool:
    """Whether tools are offered; where the upstream cannot be told to use none, it is shown none."""
    choice = request.tool_choice
    if choice is None or choice.mode != "none" or "none" in profile.tool_choices:
        return True
    report.lose("tool_choice.none")
    return False


def _tool_knobs(body: dict[str, Any], request: Request, profile: Profile, report: Report, tools: ToolWriter) -> None:
    if (asked := request.tool_choice) is not None and (choice := tools.choice(asked)) is not None:
        forced = not profile.forced_tools_think and _forced(asked)
        if not forced or _unthinking(body, request, profile, report):
            body["tool_choice"] = choice
    if request.parallel_tools is not None:
        if profile.parallel_tool_calls:
            body["parallel_tool_calls"] = request.parallel_tools
        elif not request.parallel_tools:
            report.lose("parallel_tool_calls")
    if profile.tool_stream and request.stream.on:
        body["tool_stream"] = True


def _forced(choice: ToolChoice) -> bool:
    return choice.mode in ("required", "tool") or bool(choice.mode == "allowed" and choice.required)


def _unthinking(body: dict[str, Any], request: Request, profile: Profile, report: Report) -> bool:
    """Whether a call can be forced: thinking gives way, unless the caller asked for it."""
    if request.reasoning is not None and effort_of(request.reasoning) == "none":
        return True
    if not wants_thoughts(request.reasoning) and switch_off(body, profile):
        report.lose("thinking.forced")
        return True
    report.lose("tool_choice.required")
    return False


def _sampling(body: dict[str, Any], request: Request, profile: Profile, report: Report) -> None:
    sampling = request.sampling
    refused = _refuses_sampling(request, profile)
    for name in _SAMPLING:
        if (value := getattr(sampling, name)) is None:
            continue
        if not refused and name not in profile.lacks:
            body[name] = value
        elif name not in _NEUTRAL or value != _NEUTRAL[name]:
            report.lose(name)
    if profile.temperature_range is not None and "temperature" in body:
        _clamp(body, profile.temperature_range, report)
    if sampling.seed is not None:
        if "seed" in profile.lacks:
            report.lose("seed")
        else:
            body[profile.seed_field] = sampling.seed
    if sampling.top_logprobs is not None:
        if "logprobs" in body and sampling.logprobs:
            body["top_logprobs"] = sampling.top_logprobs
        else:
            report.lose("top_logprobs")
    for name in ("top_k", "min_p"):
        if (value := getattr(sampling, name)) is not None:
            if profile.engine_sampling or name in profile.extras:
                body[name] = value
            else:
                report.lose(name)


def _clamp(body: dict[str, Any], limits: tuple[float, float], report: Report) -> None:
    temperature = min(max(body["temperature"], limits[0]), limits[1])
    if temperature != body["temperature"]:
        report.lose("temperature.range")
        body["temperature"] = temperature


def _refuses_sampling(request: Request, profile: Profile) -> bool:
    """Models that reason take sampling parameters only when told not to reason."""
    if not thinks(profile, request.model):
        return False
    return request.reasoning is None or effort_of(request.reasoning) != "none"


def _limits(body: dict[str, Any], request: Request, profile: Profile, report: Report) -> tuple[str, ...]:
    """Returns the stop sequences that could not be written."""
    if request.max_output is not None:
        body[profile.max_tokens_field] = request.max_output
    stops = _stop(body, request, profile, report) if request.stop else ()
    if request.n is not None:
        if "n" not in profile.lacks:
            body["n"] = request.n
        elif request.n > 1:
            report.lose("n", member(request.dialect, "n"))
    if request.max_tool_calls is not None:
        report.lose("max_tool_calls")
    return stops


def _stop(body: dict[str, Any], request: Request, profile: Profile, report: Report) -> tuple[str, ...]:
    limit = profile.max_stop
    if "stop" in profile.lacks or _refuses_sampling(request, profile):
        report.lose("stop")
        return request.stop
    if limit is None or len(request.stop) <= limit:
        body["stop"] = list(request.stop)
        return ()
    body["stop"] = list(request.stop[:limit])
    report.lose("stop")
    return request.stop[limit:]


def _extras(body: dict[str, Any], request: Request, profile: Profile, report: Report) -> None:
    if request.modalities:
        body["modalities"] = list(request.modalities)
    for name, value in _said_extras(request).items():
        if profile.openai_extras or name in profile.extras:
            body[profile.end_user_field if name == "safety_identifier" else name] = value
        elif name != "store" or value:
            report.lose(name)
    if request.service_tier and request.service_tier not in _TIERS:
        report.lose("service_tier")
    if request.cache.retention in ("in_memory", "24h") and profile.openai_extras:
        body["prompt_cache_retention"] = request.cache.retention


def _said_extras(request: Request) -> dict[str, Any]:
    """What only the origin takes, in the order in which it is written."""
    said: dict[str, Any] = {}
    if request.verbosity is not None:
        said["verbosity"] = request.verbosity
    if request.service_tier in _TIERS:
        said["service_tier"] = _TIERS[request.service_tier]
    if request.end_user is not None:
        said["safety_identifier"] = short_id(request.end_user, _ID_LIMIT)
    if request.metadata is not None:
        said["metadata"] = request.metadata
    if request.state.store is not None:
        said["store"] = request.state.store
    if request.cache.key is not None:
        said["prompt_cache_key"] = short_id(request.cache.key, _KEY_LIMIT)
    return said


def _state(request: Request, report: Report) -> None:
    state = request.state
    if state.previous_response_id is not None:
        report.lose("previous_response_id")
    if state.conversation is not None:
        report.lose("conversation")
    if state.background:
        report.lose("background")
    if state.thread is not None:
        report.lose("thread")
