"""Sound in answers: ``audio`` of a message, whole and in pieces.

OpenAI API reference, "Chat Completions", ``audio``. The format is the one that was asked for and is not told again; a
stream has but one.
"""

from asgi_llm.neutral.request import Audio, Inline

from .answer import AudioPiece

__all__ = ["LIFETIME", "begun", "spoken"]

LIFETIME = 3600
"""Seconds for which the id of an answer's sound is good in later turns, as far as is known."""
_STREAMED = "audio/pcm"
_BEGINNINGS = (
    ("UklGR", "audio/wav"),
    ("SUQz", "audio/mpeg"),
    ("//", "audio/mpeg"),
    ("T2dnUw", "audio/ogg"),
    ("ZkxhQ", "audio/flac"),
)
"""How base64 of each format begins."""


def spoken(said: AudioPiece) -> Audio:
    """The sound of a whole answer."""
    data = said.data or ""
    media_type = next((kind for start, kind in _BEGINNINGS if data.startswith(start)), _STREAMED)
    return Audio(Inline(media_type, data), transcript=said.transcript or "", id=said.id)


def begun(audio_id: str | None) -> Audio:
    """The header of a sound that comes in pieces."""
    return Audio(Inline(_STREAMED, ""), id=audio_id)
