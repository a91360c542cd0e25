"""An answer as the wire has it, whole or one piece of a stream: both are a ``GenerateContentResponse``.

Spec: Gemini API, "GenerateContentResponse", "Candidate".
"""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from .raws import NULL
from .wire import RAW_LIST, WirePart

__all__ = ["CHUNK", "RawParts", "WireCandidate", "WireChunk"]


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
    continuation_token: Any = None


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


class RawParts:
    """The raw parts of each candidate of a piece that was decoded already. They are seldom needed; the piece is read
    again when they first are, once for all candidates."""

    __slots__ = ("_candidates", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._candidates: list[_RawCandidate] | None = None

    def of(self, position: int) -> list[Raw]:
        if self._candidates is None:
            self._candidates = _RAW_CHUNK.decode(self._data).candidates
        content = self._candidates[position].content
        return [] if content is None else RAW_LIST.decode(content.parts)
