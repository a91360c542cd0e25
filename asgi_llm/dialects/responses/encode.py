"""Neutral -> a Responses request.

The body is a function of the request and the profile: the same request gives the same bytes, and a turn added at the
end leaves the bytes of the earlier input items as they are.
"""

import re
from typing import Any

from msgspec import Raw
from msgspec.structs import replace

from asgi_llm.dialects.foreign import foreign_fields
from asgi_llm.dialects.interface import Encoded, Profile, Report, Restore
from asgi_llm.dialects.place import member
from asgi_llm.dialects.profile import adapted
from asgi_llm.dialects.root_schema import in_words, may_be_object
from asgi_llm.dialects.short_ids import short_id
from asgi_llm.neutral.request import HostedTool, Instruction, OutputFormat, ReasoningConfig, Request, Text, Tool

from .definitions import write_choice, write_tools
from .history import History
from .losses import LOSSES
from .wire import encode

__all__ = ["encode_request", "output_format", "top_instructions"]

_ENCRYPTED = "reasoning.encrypted_content"
_LOGPROBS = "message.output_text.logprobs"
_SOURCES = "web_search_call.action.sources"
_ATTRIBUTION = "x-anthropic-billing-header:"
_LEAST_OUTPUT = 16
_USER_LIMIT = 128
_KEY_LIMIT = 64

# Models that reason unless told otherwise, and then refuse sampling; from gpt-5.1 on they reason only when asked to.
_ALWAYS_REASONS = re.compile(r"(?:.*/)?(?:o\d|gpt-5(?:$|-(?!chat))|.*-codex|.*-pro(?:$|-)|.*deep-research)")
_MAY_REASON = re.compile(r"(?:.*/)?gpt-(?:5|[6-9])")


def encode_request(request: Request, profile: Profile) -> Encoded:
    """The body for an upstream of this dialect.

    Raises:
        TranslationError: the request asks for something that the API cannot express; ``param`` names it.
    """
    if profile.families:
        profile = adapted(profile, request.model)
    report = Report(LOSSES)
    for name in foreign_fields(request, "responses"):
        report.lose("ext", name)
    _refuse(request, report)
    tools = write_tools(request, profile, report)
    said_in_words = _unsayable(request, profile)
    if said_in_words is not None:
        report.lose("output_schema")
        said = Instruction((Text(in_words(said_in_words)),))
        request = replace(request, output=None, instructions=(*request.instructions, said))
    top, leading = top_instructions(request)
    body: dict[str, Any] = {"model": request.model}
    if top:
        body["instructions"] = top
    body["input"] = History(request, profile, tools, report).write(leading)
    if tools.entries:
        body["tools"] = tools.entries
        if (choice := write_choice(request.tool_choice, tools, report)) is not None:
            body["tool_choice"] = choice
        if request.parallel_tools is not None:
            if profile.parallel_tool_calls:
                body["parallel_tool_calls"] = request.parallel_tools
            elif not request.parallel_tools:
                report.lose("parallel_tools")
    _limits(request, profile, body, report)
    _sampling(request, profile, body, report)
    if reasoning := _reasoning(request.reasoning, profile, own=request.dialect == "responses", report=report):
        body["reasoning"] = reasoning
    _text(request, profile, body, report)
    _state(request, profile, body)
    _extras(request, profile, body, report)
    if request.stream.on:
        body["stream"] = True
    return Encoded(encode(body), report.warnings, restore=Restore(tools.restore, stops=request.stop))


def _unsayable(request: Request, profile: Profile) -> Raw | None:
    """The schema of the answer, where the API takes none such."""
    output = request.output
    if output is None or request.dialect == "responses" or not profile.origin or may_be_object(output.schema):
        return None
    return output.schema


def _refuse(request: Request, report: Report) -> None:
    if request.n is not None and request.n > 1:
        report.lose("n", member(request.dialect, "n"))
    if any(modality not in ("text", "TEXT") for modality in request.modalities):
        report.lose("modalities", member(request.dialect, "modalities"))
    if request.dialect != "responses" and (request.state.previous_response_id or request.state.conversation):
        report.lose("state", "previous_response_id")
    # Where these callers end with what the assistant said, they want it continued; others only want the next message.
    if request.dialect in ("messages", "gemini") and request.turns and request.turns[-1].role == "assistant":
        report.lose("prefill")


def top_instructions(request: Request) -> tuple[str, list[Instruction]]:
    """The text of the top-level field, and the instructions that become leading items.

    System instructions up to the first developer one are joined; what follows keeps its role and place.
    """
    wanted = [
        instruction
        for instruction in request.instructions
        if not instruction.parts or not instruction.parts[0].text.startswith(_ATTRIBUTION)
    ]
    if not request.turns and not _continues(request):
        # There would be no input at all.
        return "", wanted
    count = 0
    while count < len(wanted) and wanted[count].level == "system" and not _marks(wanted[count], request):
        count += 1
    texts = [part.text for instruction in wanted[:count] for part in instruction.parts if part.text]
    return "\n\n".join(texts), wanted[count:]


def _continues(request: Request) -> bool:
    return bool(request.state.previous_response_id or request.state.conversation or "prompt" in request.ext)


def _marks(instruction: Instruction, request: Request) -> bool:
    return request.dialect == "responses" and any(part.cache is not None for part in instruction.parts)


def _limits(request: Request, profile: Profile, body: dict[str, Any], report: Report) -> None:
    limit = request.max_output
    if limit is not None:
        if limit < _LEAST_OUTPUT and profile.origin and request.dialect != "responses":
            report.lose("max_output")
            limit = _LEAST_OUTPUT
        body["max_output_tokens"] = limit
    if request.max_tool_calls is not None:
        body["max_tool_calls"] = request.max_tool_calls


def _sampling(request: Request, profile: Profile, body: dict[str, Any], report: Report) -> None:
    sampling = request.sampling
    refused = request.dialect != "responses" and profile.origin and _reasons(request)
    for name in ("temperature", "top_p"):
        value = getattr(sampling, name)
        if value is None:
            continue
        if refused or name in profile.lacks:
            report.lose(name)
        else:
            body[name] = value
    for name in ("top_k", "min_p"):
        value = getattr(sampling, name)
        if value is not None and profile.engine_sampling:
            body[name] = value
        elif value is not None:
            report.lose(name)
    for name in ("seed", "presence_penalty", "frequency_penalty", "logit_bias"):
        if getattr(sampling, name) is not None:
            report.lose(name)
    if sampling.top_logprobs is not None:
        body["top_logprobs"] = sampling.top_logprobs
    if request.stop:
        report.lose("stop")


def _reasons(request: Request) -> bool:
    effort = request.reasoning.effort if request.reasoning is not None else None
    if effort is not None:
        return (effort != "none" and _MAY_REASON.match(request.model) is not None) or _always_reasons(request.model)
    return _always_reasons(request.model)


def _always_reasons(model: str) -> bool:
    return _ALWAYS_REASONS.match(model) is not None


def _reasoning(config: ReasoningConfig | None, profile: Profile, *, own: bool, report: Report) -> Any:
    if config is None:
        return None
    if own and config.raw is not None:
        return config.raw
    written: dict[str, str] = {}
    effort = config.effort
    if effort is None and config.budget is not None and config.budget >= 0:
        report.lose("reasoning_budget")
        effort = _effort(config.budget)
    if effort is not None:
        if profile.reasoning_effort:
            written["effort"] = effort
        else:
            report.lose("reasoning_effort")
    if not profile.reasoning_summary:
        return written or None
    if config.summary in ("auto", "concise", "detailed"):
        written["summary"] = config.summary
    elif config.visible:
        written["summary"] = "auto"
    return written or None


def _effort(budget: int) -> str:
    for limit, effort in ((1, "none"), (2048, "low"), (12000, "medium"), (28000, "high")):
        if budget < limit:
            return effort
    return "xhigh"


def _text(request: Request, profile: Profile, body: dict[str, Any], report: Report) -> None:
    text: dict[str, Any] = {}
    if request.output is not None and (request.output.kind != "text" or request.dialect == "responses"):
        text["format"] = output_format(request.output, own=request.dialect == "responses")
    if request.verbosity is not None:
        if profile.openai_extras:
            text["verbosity"] = request.verbosity
        else:
            report.lose("verbosity")
    if text:
        body["text"] = text


def output_format(output: OutputFormat, *, own: bool) -> dict[str, Any]:
    if output.kind == "text":
        return {"type": "text"}
    if output.kind == "json":
        return {"type": "json_object"}
    written: dict[str, Any] = {"type": "json_schema", "name": output.name or ("" if own else "response")}
    if output.description is not None:
        written["description"] = output.description
    written["schema"] = output.schema if output.schema is not None else Raw(b'{"type":"object"}')
    if output.strict is not None:
        written["strict"] = output.strict
    return written


def _state(request: Request, profile: Profile, body: dict[str, Any]) -> None:
    state = request.state
    own = request.dialect == "responses"
    store = state.store if own else bool(state.store)
    include = [_LOGPROBS] if request.sampling.logprobs else []
    if store is not None and profile.takes("store"):
        body["store"] = store
    if store is not True and profile.takes("encrypted_reasoning"):
        # What is not stored must be replayed, and only encrypted thoughts can be.
        include.append(_ENCRYPTED)
    if not own and profile.openai_extras and any(map(_is_search, request.tools)):
        include.append(_SOURCES)
    if own and "include" in request.ext:
        body["include"] = request.ext["include"]
    elif include:
        body["include"] = include
    if own:
        said = {
            "previous_response_id": state.previous_response_id,
            "conversation": state.conversation,
            "background": state.background,
        }
        body.update((name, value) for name, value in said.items() if value is not None)


def _is_search(tool: Tool) -> bool:
    return isinstance(tool, HostedTool) and tool.kind == "web_search"


_TIERS = {name: name for name in ("auto", "default", "flex", "scale", "priority", "fast")} | {"standard": "default"}


def _extras(request: Request, profile: Profile, body: dict[str, Any], report: Report) -> None:
    own = request.dialect == "responses"
    tier = request.service_tier if own else _TIERS.get(request.service_tier or "")
    if request.service_tier is not None and tier is None:
        report.lose("service_tier")
    extras = {
        "service_tier": tier,
        "metadata": request.metadata,
        "safety_identifier": None if request.end_user is None else short_id(request.end_user, _USER_LIMIT),
        "prompt_cache_key": None if request.cache.key is None else short_id(request.cache.key, _KEY_LIMIT),
        "prompt_cache_retention": request.cache.retention if own or request.dialect == "chat" else None,
    }
    given = {name: value for name, value in extras.items() if value is not None}
    if profile.openai_extras:
        body.update(given)
    else:
        for name in given:
            report.lose(name)
    if own:
        body.update((name, raw) for name, raw in request.ext.items() if name != "include")
