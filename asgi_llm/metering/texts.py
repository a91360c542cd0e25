"""How many tokens a request to an endpoint has that is no dialect's, roughly: those of all texts that it gives."""

from collections.abc import Iterator
from typing import Any

import msgspec

from .estimate import estimate_text

__all__ = ["estimate_texts"]

_GIVEN = ("input", "prompt", "suffix", "text", "texts", "query", "documents", "content", "contents", "requests",
          "text_1", "text_2", "instructions")  # fmt: skip
"""What endpoints call the members that hold them: completions, embeddings, rerankers, speech, images, Gemini's."""
_ELSEWHERE = ("data:", "http://", "https://")
_DEEPEST = 8


def estimate_texts(body: bytes) -> int | None:
    """Tokens; None where the body is no JSON object, or gives no text. Numbers in lists are tokens already."""
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    found = [count for name in _GIVEN if name in said for count in _counts(said[name], 0)]
    return sum(found) if found else None


def _counts(value: Any, depth: int) -> Iterator[int]:
    match value:
        case str():
            if not value.startswith(_ELSEWHERE):
                yield estimate_text(value)
        case int():
            yield 1
        case list() if depth < _DEEPEST:
            for item in value:
                yield from _counts(item, depth + 1)
        case dict() if depth < _DEEPEST:
            for item in value.values():
                yield from _counts(item, depth + 1)
