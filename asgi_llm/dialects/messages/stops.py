"""Why an answer ended: Anthropic's ``stop_reason`` <-> neutral. Derived from what the answer holds, not trusted."""

from typing import Any

from msgspec import Struct

from asgi_llm.neutral.response import Finish, FinishReason

__all__ = ["Container", "StopDetails", "finish_of", "stop_of"]

_REASONS: dict[str, FinishReason] = {
    "end_turn": "end",
    "max_tokens": "max_tokens",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_calls",
    "pause_turn": "pause",
    "refusal": "refusal",
    "model_context_window_exceeded": "context_full",
}
_WORDS: dict[FinishReason, str] = {
    **{reason: word for word, reason in _REASONS.items()},
    "filtered": "refusal",
    "other": "end_turn",
    "malformed_call": "end_turn",
}


class StopDetails(Struct):
    category: Any = None
    explanation: Any = None


class Container(Struct):
    """Where the provider's own tools ran."""

    id: Any = None


def finish_of(
    word: Any, sequence: Any, details: StopDetails | None, container: Container | None = None, *, calls: bool
) -> Finish:
    """``calls``: the answer holds tool calls for the caller to run."""
    reason = _REASONS.get(word, "other") if isinstance(word, str) and word else "end"
    if calls and reason in ("end", "other", "pause", "stop_sequence"):
        reason = "tool_calls"
    elif reason == "tool_calls" and not calls:
        reason = "end"
    return Finish(
        reason,
        stop_sequence=sequence if isinstance(sequence, str) else None,
        category=details.category if details and isinstance(details.category, str) else None,
        detail=details.explanation if details and isinstance(details.explanation, str) else None,
        token=container.id if reason == "pause" and container and isinstance(container.id, str) else None,
    )


def stop_of(finish: Finish, *, calls: bool) -> dict[str, Any]:
    """``stop_reason``, ``stop_sequence`` and, for refusals, ``stop_details``."""
    word = _WORDS[finish.reason]
    if calls and word in ("end_turn", "stop_sequence"):
        word = "tool_use"
    elif word == "tool_use" and not calls:
        word = "end_turn"
    stop: dict[str, Any] = {
        "stop_reason": word,
        "stop_sequence": finish.stop_sequence if word == "stop_sequence" else None,
    }
    if word == "refusal":
        stop["stop_details"] = {"type": "refusal", "category": finish.category, "explanation": finish.detail}
    return stop
