"""Why an answer ended, in one word for all dialects: the neutral one. Words that nobody knows stay as they are."""

__all__ = ["ending"]

_WORDS = {
    "end": ("stop", "eos", "end_turn", "complete", "completed"),
    "max_tokens": ("length", "max_output_tokens"),
    "context_full": ("model_length", "model_context_window_exceeded"),
    "tool_calls": ("function_call", "tool_use"),
    "filtered": ("content_filter", "safety", "recitation", "blocklist", "prohibited_content", "spii", "image_safety"),
    "pause": ("pause_turn", "continuation"),
    "malformed_call": ("malformed_function_call", "unexpected_tool_call"),
}
_MEANING = {word: meaning for meaning, words in _WORDS.items() for word in words}


def ending(word: str | None) -> str | None:
    """The neutral word for a dialect's own."""
    if word is None:
        return None
    low = word.lower()
    return _MEANING.get(low, low)
