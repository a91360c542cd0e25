"""An answer as the wire has it, whole or one piece of a stream: both are a ``GenerateContentResponse``.

Spec: Gemini API, "GenerateContentResponse", "Candidate".
"""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from .raws import NULL
from .wire import RAW_LIST, WirePart

__all__ = ["CHUNK", "WireCandidate", "WireChunk", "raw_parts"]


class WireContent(Struct):
    parts: list[WirePart] | None = None


class WireCandidate(Struct, rename="camel"):
    content: WireContent | None = None
    finish_reason: str | None = None
    index: int | None = None
    finish_message: Any = None
    grounding_metadata: Raw = NULL
    citation_metadata: Raw = NULL
    logprobs_result: Raw = NULL


class WireFeedback(Struct, rename="camel"):
    block_reason: str | None = None
    block_reason_message: str | None = None


class WireChunk(Struct, rename="camel"):
    candidates: list[WireCandidate] | None = None
    usage_metadata: Raw = NULL
    model_version: str | None = None
    response_id: str | None = None
    prompt_feedback: WireFeedback | None = None
    error: Raw = NULL


CHUNK = msgspec.json.Decoder(WireChunk, strict=False)


class _RawContent(Struct):
    parts: Raw = NULL


class _RawCandidate(Struct):
    content: _RawContent | None = None


class _RawChunk(Struct):
    candidates: list[_RawCandidate] = []


_RAW_CHUNK = msgspec.json.Decoder(_RawChunk)


def raw_parts(data: bytes, position: int) -> list[Raw]:
    """The raw parts of the candidate at ``position`` of a piece that was decoded already."""
    content = _RAW_CHUNK.decode(data).candidates[position].content
    return [] if content is None else RAW_LIST.decode(content.parts)
