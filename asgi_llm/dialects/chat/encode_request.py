"""A neutral request -> the body of a Chat Completions request, for an upstream as its profile describes it."""

import re
from hashlib import sha256
from typing import Any

import msgspec

from asgi_llm.dialects.interface import Encoded, Profile, Report, Restore
from asgi_llm.neutral.request import OutputFormat, ReasoningConfig, Request

from .losses import report_for
from .models import thinks
from .names import wire_name
from .tools import ToolWriter
from .turns import MessageWriter

__all__ = ["encode_request"]

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
    written_tools = tools.write(request.tools)
    body: dict[str, Any] = {"model": request.model}
    body["messages"] = MessageWriter(request, profile, report, tools).write(request.instructions)
    if written_tools:
        body["tools"] = written_tools
        _tool_knobs(body, request, profile, report, tools)
    if tools.search_options is not None:
        body["web_search_options"] = tools.search_options
    _sampling(body, request, profile, report)
    _limits(body, request, profile, report)
    _reasoning(body, request.reasoning, profile, report)
    _output(body, request.output)
    _extras(body, request, profile, report)
    _state(request, report)
    if request.stream.on:
        body["stream"] = True
        if profile.stream_usage:
            body["stream_options"] = {"include_usage": True}
    if request.dialect == "chat":
        for name, raw in request.ext.items():
            body.setdefault(name, raw)
    return Encoded(msgspec.json.encode(body), report.warnings, restore=Restore(tools.shapes))


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


def _limits(body: dict[str, Any], request: Request, profile: Profile, report: Report) -> None:
    if request.max_output is not None:
        body[profile.max_tokens_field] = request.max_output
    if request.stop:
        _stop(body, request, profile, report)
    if request.n is not None:
        body["n"] = request.n
    if request.max_tool_calls is not None:
        report.lose("max_tool_calls")


def _stop(body: dict[str, Any], request: Request, profile: Profile, report: Report) -> None:
    if _refuses_sampling(request, profile):
        report.lose("stop")
        return
    body["stop"] = list(request.stop)
    if len(request.stop) > _MAX_STOP and not profile.engine_sampling:
        body["stop"] = list(request.stop[:_MAX_STOP])
        report.lose("stop")


def _reasoning(body: dict[str, Any], config: ReasoningConfig | None, profile: Profile, report: Report) -> None:
    effort = _effort(config) if config is not None else None
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


def _output(body: dict[str, Any], output: OutputFormat | None) -> None:
    if output is None or output.kind == "text":
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
    tier = _TIERS.get(request.service_tier or "")
    values = {
        "verbosity": request.verbosity,
        "service_tier": tier,
        "safety_identifier": _short(request.end_user, _ID_LIMIT),
        "metadata": request.metadata,
        "store": request.state.store,
        "prompt_cache_key": _short(request.cache.key, _KEY_LIMIT),
    }
    for name, value in values.items():
        if value is None:
            continue
        if profile.openai_extras:
            body[name] = value
        elif name != "store" or value:
            report.lose(name)
    if request.service_tier and tier is None:
        report.lose("service_tier")
    if request.cache.retention in ("in_memory", "24h") and profile.openai_extras:
        body["prompt_cache_retention"] = request.cache.retention


def _short(value: str | None, limit: int) -> str | None:
    """Ids of people: never an e-mail address, never longer than the limit; a hash stands for what may not be sent."""
    if value is None or (len(value) <= limit and not _EMAIL.search(value)):
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
