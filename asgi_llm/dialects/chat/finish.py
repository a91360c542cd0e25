"""Why an answer ended: ``finish_reason`` <-> neutral.

Derived, not trusted: servers say ``stop`` (or nothing) for answers that call tools, and ``tool_calls`` for answers
that call none. A length stop always wins, since the arguments of the last call are then cut off.
"""

from asgi_llm.neutral.response import Finish, FinishReason

__all__ = ["FAILED", "read_finish", "write_finish"]

FAILED = frozenset({"error", "network_error", "insufficient_system_resource", "failed", "engine_overloaded"})
"""Reasons by which compatible servers say that the answer broke off."""

_CUT: dict[str, Finish] = {
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens"), Finish("max_tokens")),
    **dict.fromkeys(("model_length", "model_context_window_exceeded"), Finish("context_full")),
}
_CALLED, _REFUSED, _END = Finish("tool_calls"), Finish("refusal"), Finish("end")
_FILTERED = frozenset({"content_filter", "content_filtered", "sensitive", "safety"})
_ENDED = frozenset({"", "stop", "eos", "complete", "end_turn", "end", "stop_sequence", "tool_calls", "function_call"})

_WORDS: dict[FinishReason, str] = {
    "end": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "context_full": "length",
    "tool_calls": "tool_calls",
    "filtered": "content_filter",
    "refusal": "content_filter",
    "pause": "stop",
    "malformed_call": "stop",
    "other": "stop",
}


def read_finish(reason: str | None, stop: str | int | None, *, tools: bool, refused: bool) -> Finish:
    """``stop`` is vLLM's ``stop_reason``, the matched stop string (or token id)."""
    word = (reason or "").lower()
    if word in _CUT:
        return _CUT[word]
    if word in _FILTERED:
        return Finish("filtered", category=None if word == "content_filter" else reason)
    if tools:
        return _CALLED
    if refused:
        return _REFUSED
    if word == "stop" and isinstance(stop, str):
        return Finish("stop_sequence", stop_sequence=stop)
    return _END if word in _ENDED else Finish("other", detail=reason)


def write_finish(finish: Finish, *, tools: bool, refused: bool, deprecated: bool = False) -> str:
    """A refusal that the model wrote itself ends with ``stop``; one by a filter with ``content_filter``."""
    word = _WORDS[finish.reason]
    if finish.reason == "refusal" and refused:
        word = "stop"
    if word == "tool_calls" and not tools:
        word = "stop"
    elif word == "stop" and tools:
        word = "tool_calls"
    return "function_call" if deprecated and word == "tool_calls" else word
