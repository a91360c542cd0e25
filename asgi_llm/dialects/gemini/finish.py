"""Why an answer ended: Gemini's ``finishReason`` <-> neutral. Derived from what the answer holds, not trusted.

Spec: Gemini API, "FinishReason", "BlockReason".
"""

from typing import Any

from asgi_llm.neutral.response import Finish, FinishReason

__all__ = ["blocked", "finish_of", "finish_word"]

_FILTERS = frozenset(
    {
        "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION", "MODEL_ARMOR", "JAILBREAK",
    }
)  # fmt: skip
_MALFORMED = frozenset(
    {"MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MISSING_THOUGHT_SIGNATURE"}
)
_OTHERS = frozenset(
    {"OTHER", "LANGUAGE", "IMAGE_OTHER", "NO_IMAGE", "ESCALATION", "MALFORMED_RESPONSE", "PUP_LIMITED_DISABLED"}
)


def finish_of(word: str, message: str | None = None, token: Any = None, *, calls: bool) -> Finish:
    """``calls``: the answer holds tool calls for the caller to run, for which the API's word is STOP too."""
    word = word.upper()
    if word == "MAX_TOKENS":
        return Finish("max_tokens")
    if word in _FILTERS:
        return Finish("filtered", category=word, detail=message)
    if word in _MALFORMED:
        return Finish("malformed_call", category=word, detail=message)
    if word == "CONTINUATION":
        return Finish("pause", category=word, detail=message, token=token if isinstance(token, str) else None)
    if calls:
        return Finish("tool_calls")
    return Finish("end") if word in ("STOP", "") else Finish("other", category=word, detail=message)


def blocked(reason: str, message: str | None) -> Finish:
    """The end of an answer that never began, because of what was asked."""
    return Finish("filtered", category=reason.upper(), detail=message)


_WORDS: dict[FinishReason, str] = {
    "end": "STOP",
    "stop_sequence": "STOP",
    "tool_calls": "STOP",
    "max_tokens": "MAX_TOKENS",
    "context_full": "MAX_TOKENS",
    "filtered": "SAFETY",
    "refusal": "SAFETY",
    "pause": "OTHER",  # CONTINUATION would ask the client to send a token that nobody has
    "malformed_call": "MALFORMED_FUNCTION_CALL",
    "other": "OTHER",
}


def finish_word(finish: Finish, *, calls: bool) -> tuple[str, str | None]:
    """``finishReason`` and ``finishMessage``; the word that came from this API is kept."""
    word = _WORDS[finish.reason]
    own = finish.category
    if own is not None and own != "JAILBREAK" and own in _FILTERS | _MALFORMED | _OTHERS and word != "STOP":
        word = own
    if word == "OTHER" and calls and finish.reason == "other":
        word = "STOP"
    message = finish.detail
    if finish.reason == "pause" and message is None:
        message = "The answer was paused by the provider and is not complete."
    return word, None if word == "STOP" else message
