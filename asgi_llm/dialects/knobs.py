"""What a request asks of the model's manner, read from its bytes for whoever watches; nothing is decided by it."""

import msgspec
from msgspec import Struct, field

__all__ = ["Knobs", "read_knobs"]

_Number = float | int | None


class _Gemini(Struct, gc=False):
    temperature: _Number = None
    top_p: _Number = field(name="topP", default=None)
    top_k: _Number = field(name="topK", default=None)
    max_tokens: int | None = field(name="maxOutputTokens", default=None)
    presence_penalty: _Number = field(name="presencePenalty", default=None)
    frequency_penalty: _Number = field(name="frequencyPenalty", default=None)
    seed: int | None = None
    n: int | None = field(name="candidateCount", default=None)


class _Outside(Struct, gc=False):
    temperature: _Number = None
    top_p: _Number = None
    top_k: _Number = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None
    presence_penalty: _Number = None
    frequency_penalty: _Number = None
    seed: int | None = None
    n: int | None = None
    gemini: _Gemini | None = field(name="generationConfig", default=None)


class Knobs(Struct, frozen=True, gc=False):
    """None where the request says nothing, or nothing that can be read."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    max_tokens: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    choices: int | None = None


_decode = msgspec.json.Decoder(_Outside).decode
_LARGEST = 2**63


def read_knobs(body: bytes) -> Knobs:
    """Never raises: a body that is not sound is another's to refuse."""
    try:
        said = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Knobs()
    found = said.gemini or said
    limit = found.max_tokens
    if limit is None:
        limit = said.max_completion_tokens or said.max_output_tokens
    return Knobs(
        _float(found.temperature),
        _float(found.top_p),
        _float(found.top_k),
        _int(limit),
        _float(found.presence_penalty),
        _float(found.frequency_penalty),
        _int(found.seed),
        _int(found.n),
    )


def _float(value: _Number) -> float | None:
    return None if value is None or abs(value) > _LARGEST else float(value)


def _int(value: int | None) -> int | None:
    return None if value is None or abs(value) >= _LARGEST else value
