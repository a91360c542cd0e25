"""A whole answer."""

from typing import Literal

from msgspec import Raw, Struct, structs

from .request import Part
from .usage import Usage

__all__ = ["Candidate", "Finish", "FinishReason", "Response", "numbered"]

FinishReason = Literal[
    "end",
    "stop_sequence",
    "max_tokens",
    "context_full",
    "tool_calls",
    "filtered",
    "refusal",
    "pause",
    "malformed_call",
    "other",
]


class Finish(Struct, frozen=True, omit_defaults=True):
    """Why the model stopped. ``stop_sequence`` is the matched text where it was told; ``detail`` is the provider's
    explanation (of a refusal, a filter) and ``category`` its word for it. ``token`` is what the provider wants back
    with the request that goes on with a paused answer."""

    reason: FinishReason
    stop_sequence: str | None = None
    category: str | None = None
    detail: str | None = None
    token: str | None = None


class Candidate(Struct, frozen=True, omit_defaults=True):
    """One of the answers asked for (``n``)."""

    parts: tuple[Part, ...]
    finish: Finish
    index: int = 0
    logprobs: Raw | None = None


def numbered(candidates: list[Candidate]) -> tuple[Candidate, ...]:
    """With the numbers they have, or, where those are repeated or leave gaps, with those of their places."""
    if sorted([candidate.index for candidate in candidates]) == list(range(len(candidates))):
        return tuple(candidates)
    return tuple(structs.replace(candidate, index=place) for place, candidate in enumerate(candidates))


class Response(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """``created`` is seconds since the epoch. ``model`` is the name the upstream gave. ``ext`` keeps top-level
    fields without a neutral meaning, raw."""

    id: str
    model: str
    candidates: tuple[Candidate, ...]
    usage: Usage | None = None
    created: int | None = None
    service_tier: str | None = None
    ext: dict[str, Raw] = {}
