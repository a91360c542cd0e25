"""A neutral request -> the body of a Chat Completions request, for an upstream as its profile describes it."""

import re
from hashlib import sha256
from typing import Any

import msgspec

from asgi_llm.dialects.interface import Encoded, Profile, Report, Restore
from asgi_llm.neutral.request import OutputFormat, ReasoningConfig, Request, Sampling, StateRef

from .losses import report_for
from .models import thinks
from .names import wire_name
from .tools import ToolWriter
from .turns import MessageWriter

__all__ = ["encode_request"]

_json = msgspec.json.Encoder().encode
_NO_SAMPLING = Sampling()
_NO_STATE = StateRef()
_AS_IT_IS = Restore()
_MAX_STOP = 4
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
    "ultrafast": "fast",
}
_BUDGETS = ((2048, "low"), (12000, "medium"), (28000, "high"))
"""Thinking budgets in tokens, exclusive upper ends, and the effort that stands for them; above all of them xhigh."""
_EMAIL = re.compile(r"[^@\s]@[^@\s]")
_ID_LIMIT = 128
_KEY_LIMIT = 64


def encode_request(request: Request, profile: Profile) -> Encoded:
    """Write the request. The same request always gives the same bytes.

    Raises:
        TranslationError: the request asks for what the upstream cannot do, and leaving it out would mislead.
    """
    report = report_for(request)
    tools = ToolWriter(request, profile, report)
    written_tools = tools.write(request.tools) if request.tools else None
    body: dict[str, Any] = {"model": request.model}
    body["messages"] = MessageWriter(request, profile, report, tools).write(request.instructions)
    if written_tools:
        body["tools"] = written_tools
        _tool_knobs(body, request, profile, report, tools)
    if tools.search_options is not None:
        body["web_search_options"] = tools.search_options
    if request.sampling != _NO_SAMPLING:
        _sampling(body, request, profile, report)
    stops = _limits(body, request, profile, report)
    if request.reasoning is not None:
        _reasoning(body, request.reasoning, profile, report)
    if request.output is not None:
        _output(body, request.output)
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
    restore = Restore(tools.shapes, stops=stops) if tools.shapes or stops else _AS_IT_IS
    return Encoded(_json(body), report.warnings, restore=restore)


def _tool_knobs(body: dict[str, Any], request: Request, profile: Profile, report: Report, tools: ToolWriter) -> None:
    if request.tool_choice is not None and (choice := tools.choice(request.tool_choice)) is not None:
        body["tool_choice"] = choice
    if request.parallel_tools is not None:
        if profile.parallel_tool_calls:
            body["parallel_tool_calls"] = request.parallel_tools
        elif not request.parallel_tools:
            report.lose("parallel_tool_calls")


def _sampling(body: dict[str, Any], request: Request, profile: Profile, report: Report) -> None:
    sampling = request.sampling
    refused = _refuses_sampling(request, profile)
    for name in _SAMPLING:
        if (value := getattr(sampling, name)) is None:
            continue
        if not refused:
            body[name] = value
        elif name not in _NEUTRAL or value != _NEUTRAL[name]:
            report.lose(name)
    if sampling.seed is not None:
        body["seed"] = sampling.seed
    if sampling.top_logprobs is not None:
        if "logprobs" in body and sampling.logprobs:
            body["top_logprobs"] = sampling.top_logprobs
        else:
            report.lose("top_logprobs")
    for name in ("top_k", "min_p"):
        if (value := getattr(sampling, name)) is not None:
            if profile.engine_sampling:
                body[name] = value
            else:
                report.lose(name)


def _refuses_sampling(request: Request, profile: Profile) -> bool:
    """Models that reason take sampling parameters only when told not to reason."""
    if not thinks(profile.provider, request.model):
        return False
    return request.reasoning is None or _effort(request.reasoning) != "none"


def _limits(body: dict[str, Any], request: Request, profile: Profile, report: Report) -> tuple[str, ...]:
    """Returns the stop sequences that could not be written."""
    if request.max_output is not None:
        body[profile.max_tokens_field] = request.max_output
    stops = _stop(body, request, profile, report) if request.stop else ()
    if request.n is not None:
        body["n"] = request.n
    if request.max_tool_calls is not None:
        report.lose("max_tool_calls")
    return stops


def _stop(body: dict[str, Any], request: Request, profile: Profile, report: Report) -> tuple[str, ...]:
    if _refuses_sampling(request, profile):
        report.lose("stop")
        return request.stop
    limit = len(request.stop) if profile.engine_sampling else _MAX_STOP
    body["stop"] = list(request.stop[:limit])
    if len(request.stop) > limit:
        report.lose("stop")
    return request.stop[limit:]


def _reasoning(body: dict[str, Any], config: ReasoningConfig, profile: Profile, report: Report) -> None:
    effort = _effort(config)
    if effort is None:
        return
    if not profile.reasoning_effort:
        report.lose("reasoning_effort")
        return
    if effort == "max":
        report.lose("reasoning_effort.max")
        effort = "xhigh"
    body["reasoning_effort"] = effort


def _effort(config: ReasoningConfig) -> str | None:
    if config.effort is not None:
        return config.effort
    if config.budget is None or config.budget < 0:
        return None  # nothing said, or the model is to decide
    if config.budget == 0:
        return "none"
    return next((effort for limit, effort in _BUDGETS if config.budget < limit), "xhigh")


def _output(body: dict[str, Any], output: OutputFormat) -> None:
    if output.kind == "text":
        return
    if output.kind == "json":
        body["response_format"] = {"type": "json_object"}
        return
    schema: dict[str, Any] = {"name": wire_name(output.name or "response")}
    for name in ("description", "schema", "strict"):
        if (value := getattr(output, name)) is not None:
            schema[name] = value
    body["response_format"] = {"type": "json_schema", "json_schema": schema}


def _extras(body: dict[str, Any], request: Request, profile: Profile, report: Report) -> None:
    if request.modalities:
        body["modalities"] = list(request.modalities)
    for name, value in _said_extras(request).items():
        if profile.openai_extras:
            body[name] = value
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
        said["safety_identifier"] = _short(request.end_user, _ID_LIMIT)
    if request.metadata is not None:
        said["metadata"] = request.metadata
    if request.state.store is not None:
        said["store"] = request.state.store
    if request.cache.key is not None:
        said["prompt_cache_key"] = _short(request.cache.key, _KEY_LIMIT)
    return said


def _short(value: str, limit: int) -> str:
    """Ids of people: never an e-mail address, never longer than the limit; a hash stands for what may not be sent."""
    if len(value) <= limit and not ("@" in value and _EMAIL.search(value)):
        return value
    return sha256(value.encode()).hexdigest()[:limit]


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
