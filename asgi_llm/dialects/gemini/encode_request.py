"""Neutral request -> generateContent body, as the chosen model takes it. The model itself goes into the path, and so
does whether to stream.

A pure function: the same request gives the same bytes, and a longer conversation begins with the bytes of the shorter
one. Spec: Gemini API, "GenerateContentRequest", "GenerationConfig".
"""

from typing import Any, Literal

import msgspec
from msgspec import Raw

from asgi_llm.dialects.foreign import foreign_fields
from asgi_llm.dialects.interface import Encoded, Profile, Report, Restore
from asgi_llm.neutral.request import OutputFormat, Request

from .encode_tools import encode_tools, tool_config
from .history import history
from .losses import LOSSES
from .models import Capabilities, capabilities
from .schemas import to_json_schema
from .thinking import thinking

__all__ = ["encode_request"]

_STOPS = 5
_MEMBERS = dict[str, Raw]


def encode_request(request: Request, profile: Profile) -> Encoded:
    """The body for ``request.model``, and what was lost on the way.

    Raises:
        TranslationError: the request holds what this API cannot say; ``param`` names it.
    """
    report = Report(LOSSES)
    _refuse(request, report)
    model = capabilities(request.model)
    tools = encode_tools(request, model, profile, report)
    contents = history(request.turns, request.dialect, model, report)
    body: dict[str, Any] = {"contents": [{"role": content.role, "parts": content.parts} for content in contents]}
    if system := [{"text": part.text} for said in request.instructions for part in said.parts if part.text]:
        body["systemInstruction"] = {"parts": system}
    if entries := tools.entries:
        body["tools"] = entries
    if config := tool_config(request, tools, model, report):
        body["toolConfig"] = config
    if config := _generation(request, model, report):
        body["generationConfig"] = config
    _rest(request, body, report)
    pauses: Literal["token"] | None = "token" if request.dialect != "gemini" and request.n in (None, 1) else None
    restore = Restore(tools.shapes, stops=request.stop[_STOPS:], pauses=pauses)
    return Encoded(msgspec.json.encode(body), report.warnings, restore=restore)


def _refuse(request: Request, report: Report) -> None:
    """What cannot be had at all, and the knobs that have no counterpart."""
    state = request.state
    for name in ("previous_response_id", "conversation", "background"):
        if getattr(state, name):
            report.lose(name)
    for name in ("min_p", "logit_bias"):
        if getattr(request.sampling, name) is not None:
            report.lose(name)
    for name in ("verbosity", "max_tool_calls", "end_user"):
        if getattr(request, name) is not None:
            report.lose(name)
    cache = request.cache
    if cache.auto or cache.key or cache.retention or any(p.cache for said in request.instructions for p in said.parts):
        report.lose("cache")


def _generation(request: Request, model: Capabilities, report: Report) -> dict[str, Any]:
    said = request.sampling
    knobs = {
        "temperature": said.temperature,
        "topP": said.top_p,
        "topK": said.top_k,
        "seed": said.seed,
        "presencePenalty": said.presence_penalty,
        "frequencyPenalty": said.frequency_penalty,
        "responseLogprobs": said.logprobs or None,
        "logprobs": said.top_logprobs if said.logprobs else None,
        "candidateCount": request.n if request.n != 1 else None,
        "maxOutputTokens": request.max_output,
        "stopSequences": list(request.stop[:_STOPS]) or None,
        "thinkingConfig": thinking(request, model, report),
    }
    config: dict[str, Any] = {name: value for name, value in knobs.items() if value is not None}
    if len(request.stop) > _STOPS:
        report.lose("stop")
    if any(kind != "text" for kind in request.modalities):
        config["responseModalities"] = [kind.upper() for kind in request.modalities]
    if request.output is not None:
        config.update(_output(request.output))
    if request.dialect == "gemini" and (kept := request.ext.get("generationConfig")) is not None:
        config.update(msgspec.json.decode(kept, type=_MEMBERS))
    return config


def _output(output: OutputFormat) -> dict[str, Any]:
    match output.kind:
        case "text":
            return {}
        case "json":
            return {"responseMimeType": "application/json"}
        case "schema":
            schema = to_json_schema(output.schema)
            return {"responseMimeType": "application/json"} | ({} if schema is None else {"responseJsonSchema": schema})


_TIERS = {"default": "standard", "standard": "standard", "standard_only": "standard", "flex": "flex"}
_TIERS["priority"] = _TIERS["fast"] = "priority"


def _rest(request: Request, body: dict[str, Any], report: Report) -> None:
    """The top-level fields that have little or no neutral meaning."""
    if (tier := request.service_tier) in _TIERS:
        body["serviceTier"] = _TIERS[tier]
    elif tier not in (None, "auto"):
        report.lose("service_tier")
    if request.dialect != "gemini":
        if request.state.store and request.dialect == "chat":
            report.lose("store")
        if request.metadata:
            report.lose("metadata")
        for name in foreign_fields(request, "gemini"):
            report.lose("ext", name)
        return
    if request.metadata:
        body["labels"] = request.metadata
    if request.state.store is not None:
        body["store"] = request.state.store
    body.update((name, raw) for name, raw in request.ext.items() if name not in body and name not in _NESTED)


_NESTED = frozenset({"generationConfig", "toolConfig"})
