"""A caller's generateContent body -> neutral request.

The body names no model and does not say whether to stream: both are in the path (``models/{model}:{verb}``), so that
``model`` is left empty and ``stream`` off here, to be filled in by whoever read the path.
Spec: Gemini API, "GenerateContentRequest", "GenerationConfig".
"""

from typing import Annotated, Any

import msgspec
from msgspec import Raw, Struct

from asgi_llm.errors import ClientError, TranslationError
from asgi_llm.neutral.request import (
    Instruction,
    OutputFormat,
    ReasoningConfig,
    Request,
    Sampling,
    StateRef,
    Text,
)

from .raws import Fields
from .schemas import from_openapi
from .spelling import camel
from .tools import decode_choice, decode_tools
from .turns import decode_turns, texts_of

__all__ = ["decode_request"]


class _Thinking(Struct, rename="camel"):
    include_thoughts: bool | None = None
    thinking_budget: int | None = None
    thinking_level: str | None = None


_STR = msgspec.json.Decoder(str)
_INT = msgspec.json.Decoder(int, strict=False)
_COUNT = msgspec.json.Decoder(Annotated[int, msgspec.Meta(ge=0)], strict=False)
_FLOAT = msgspec.json.Decoder(float, strict=False)
_BOOL = msgspec.json.Decoder(bool, strict=False)
_STRINGS = msgspec.json.Decoder(list[str])
_THINKING = msgspec.json.Decoder(_Thinking, strict=False)
_LABELS = msgspec.json.Decoder(dict[str, str])


def decode_request(body: bytes) -> Request:
    """The request in neutral form, without model and stream.

    Raises:
        ClientError: the body is not JSON, a field is missing or of the wrong type; ``param`` names it.
        TranslationError: it builds on something that only Google has stored (a cache, an answer to be continued).
    """
    try:
        if not body.isascii():
            body.decode()
        return _decode(Fields(Raw(camel(body))))
    except UnicodeDecodeError:
        raise ClientError("The request body is not valid UTF-8.", code="invalid_json") from None
    except RecursionError:
        raise ClientError("The request body is nested too deeply.", code="invalid_json") from None
    except msgspec.DecodeError as error:
        raise ClientError(f"The request body is not valid JSON: {error}", code="invalid_json") from None


_STORED = {
    "cachedContent": "A cache kept by Google cannot be used with another upstream; send the whole content.",
    "continuationToken": "An answer of Google's cannot be continued by another upstream.",
}


def _decode(fields: Fields) -> Request:
    for name, note in _STORED.items():
        if fields.raw(name) is not None:
            raise TranslationError(note, param=name)
    fields.raw("model")
    ext: dict[str, Raw] = {}
    config = fields.raw("generationConfig")
    config_fields = Fields(config or Raw(b"{}"), "generationConfig")
    tool_config = Fields(fields.raw("toolConfig") or Raw(b"{}"), "toolConfig")
    choice = decode_choice(tool_config.raw("functionCallingConfig"))
    tier = fields.take("serviceTier", _STR)
    system = fields.raw("systemInstruction")
    request = Request(
        model="",
        dialect="gemini",
        instructions=() if system is None else _instructions(system),
        turns=decode_turns(fields.raw("contents")),
        tools=decode_tools(fields.raw("tools")),
        tool_choice=choice,
        sampling=_sampling(config_fields),
        max_output=config_fields.take("maxOutputTokens", _COUNT),
        stop=tuple(config_fields.take("stopSequences", _STRINGS) or ()),
        n=config_fields.take("candidateCount", _INT),
        reasoning=_reasoning(config_fields.take("thinkingConfig", _THINKING)),
        output=_output(config_fields, ext),
        modalities=tuple(kind.lower() for kind in config_fields.take("responseModalities", _STRINGS) or ()),
        service_tier=_tier(tier),
        metadata=fields.take("labels", _LABELS),
        state=StateRef(store=fields.take("store", _BOOL)),
        ext=ext,
    )
    _keep(ext, "generationConfig", config_fields.rest())
    _keep(ext, "toolConfig", tool_config.rest())
    ext.update(fields.rest())
    return request


def _keep(ext: dict[str, Raw], name: str, rest: dict[str, Raw]) -> None:
    """What is left of a nested object, together with what was kept of it before."""
    kept = ext.pop(name, None)
    members = {**rest, **(msgspec.json.decode(kept, type=dict[str, Raw]) if kept is not None else {})}
    if members:
        ext[name] = Raw(msgspec.json.encode(members))


def _instructions(raw: Raw) -> tuple[Instruction, ...]:
    return tuple(Instruction((Text(text),)) for text in texts_of(raw, "systemInstruction") if text)


def _sampling(config: Fields) -> Sampling:
    top_k = config.take("topK", _FLOAT)
    return Sampling(
        temperature=config.take("temperature", _FLOAT),
        top_p=config.take("topP", _FLOAT),
        top_k=None if top_k is None else round(min(max(top_k, -(2**31)), 2**31)),
        seed=config.take("seed", _INT),
        presence_penalty=config.take("presencePenalty", _FLOAT),
        frequency_penalty=config.take("frequencyPenalty", _FLOAT),
        logprobs=config.take("responseLogprobs", _BOOL),
        top_logprobs=config.take("logprobs", _INT),
    )


_LEVELS = frozenset({"minimal", "low", "medium", "high", "xhigh"})


def _reasoning(wire: _Thinking | None) -> ReasoningConfig | None:
    if wire is None:
        return None
    level = (wire.thinking_level or "").lower()
    budget = wire.thinking_budget
    effort = level if level in _LEVELS else "none" if budget == 0 else None
    adaptive = True if budget is not None and budget < 0 and effort is None else None
    if effort is None and budget is None and wire.include_thoughts is None:
        return None
    return ReasoningConfig(effort=effort, budget=budget, adaptive=adaptive, visible=wire.include_thoughts)


def _output(config: Fields, ext: dict[str, Raw]) -> OutputFormat | None:
    kind: str = config.take("responseMimeType", _STR) or ""
    schema = config.raw("responseJsonSchema") or config.raw("_responseJsonSchema")
    openapi = config.raw("responseSchema")
    if schema is None and openapi is not None:
        schema = from_openapi(openapi)
    if kind and kind not in ("text/plain", "application/json"):
        # A form of output that only this API has (one word of an enumeration): kept for it by name.
        _keep(ext, "generationConfig", {"responseMimeType": Raw(msgspec.json.encode(kind))})
    if schema is not None:
        return OutputFormat("schema", schema=Raw(bytes(schema)))
    return OutputFormat("json") if kind == "application/json" else None


def _tier(tier: Any) -> str | None:
    word = tier.lower().removeprefix("service_tier_") if isinstance(tier, str) else None
    return None if word in (None, "", "unspecified") else "default" if word == "standard" else word
