"""Token counts: Gemini's ``usageMetadata`` <-> neutral.

``promptTokenCount`` includes what was read from a cache, ``candidatesTokenCount`` excludes thoughts, the total is the
sum of prompt, candidates, thoughts and tool use. Spec: Gemini API, "UsageMetadata".
"""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from asgi_llm.dialects.lenient import MOST, lenient
from asgi_llm.neutral.usage import Usage

from .raws import NULL

__all__ = ["decode_usage", "encode_usage"]


class _Modality(Struct, rename="camel"):
    modality: str | None = None
    token_count: int | None = None


class _Wire(Struct, rename="camel"):
    prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None


class _Details(Struct, rename="camel"):
    prompt_tokens_details: list[_Modality] | None = None
    candidates_tokens_details: list[_Modality] | None = None


_DECODER = msgspec.json.Decoder(_Wire, strict=False)
_DETAILS = msgspec.json.Decoder(_Details, strict=False)


def decode_usage(raw: Raw) -> Usage | None:
    """The counts, or None where there are none or they cannot be read. Never raises."""
    if raw == NULL:
        return None
    try:
        wire = _DECODER.decode(raw)
        details = _DETAILS.decode(raw) if b'"AUDIO"' in bytes(raw) else _Details()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = lenient(raw, _Wire)
        if found is None:
            return None
        wire, details = found, lenient(raw, _Details) or _Details()
    prompt, cached = _count(wire.prompt_token_count), _count(wire.cached_content_token_count)
    return Usage(
        fresh=None if prompt is None else max(prompt - (cached or 0), 0),
        cache_read=cached,
        visible=_count(wire.candidates_token_count),
        reasoning=_count(wire.thoughts_token_count),
        tool_prompt=_count(wire.tool_use_prompt_token_count),
        audio_in=_audio(details.prompt_tokens_details),
        audio_out=_audio(details.candidates_tokens_details),
        raw=Raw(bytes(raw)),
    )


def _count(value: int | None) -> int | None:
    return None if value is None or value > MOST else max(value, 0)


def _audio(details: list[_Modality] | None) -> int | None:
    return next((_count(entry.token_count) for entry in details or () if entry.modality == "AUDIO"), None)


def encode_usage(usage: Usage | None) -> dict[str, Any] | None:
    """The ``usageMetadata`` object; None where nothing is known."""
    if usage is None:
        return None
    prompt = (usage.fresh or 0) + (usage.cache_read or 0) + usage.written
    wire = {"promptTokenCount": prompt, "candidatesTokenCount": usage.visible or 0}
    if usage.cache_read:
        wire["cachedContentTokenCount"] = usage.cache_read
    if usage.reasoning:
        wire["thoughtsTokenCount"] = usage.reasoning
    if usage.tool_prompt:
        wire["toolUsePromptTokenCount"] = usage.tool_prompt
    wire["totalTokenCount"] = usage.input + usage.output
    return wire
