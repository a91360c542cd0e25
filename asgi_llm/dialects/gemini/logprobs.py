"""Log probabilities: ``logprobsResult`` <-> the shape that neutral answers carry them in (a ``content`` list of tokens
with their alternatives). Spec: Gemini API, "LogprobsResult".
"""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from .raws import NULL

__all__ = ["read_logprobs", "write_logprobs"]


class _Entry(Struct, rename="camel"):
    token: str = ""
    log_probability: float = 0.0


class _Top(Struct):
    candidates: list[_Entry] = []


class _Result(Struct, rename="camel"):
    chosen_candidates: list[_Entry] = []
    top_candidates: list[_Top] = []


class _Token(Struct):
    token: str = ""
    logprob: float = 0.0
    top_logprobs: list[Any] = []


class _Content(Struct):
    content: list[_Token] | None = None


_RESULT = msgspec.json.Decoder(_Result)
_TOKENS = msgspec.json.Decoder(list[_Token] | _Content)


def read_logprobs(raw: Raw) -> Raw | None:
    """The neutral shape; None where there is nothing that can be read."""
    if raw == NULL:
        return None
    try:
        result = _RESULT.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    content = [
        {**_token(chosen), "top_logprobs": [_token(entry) for entry in top.candidates]}
        for chosen, top in _paired(result)
    ]
    return Raw(msgspec.json.encode({"content": content, "refusal": None}))


def _paired(result: _Result) -> list[tuple[_Entry, _Top]]:
    tops = result.top_candidates
    return [
        (chosen, tops[index] if index < len(tops) else _Top()) for index, chosen in enumerate(result.chosen_candidates)
    ]


def _token(entry: _Entry) -> dict[str, Any]:
    data = entry.token.encode("utf-8", "surrogatepass")
    return {"token": entry.token, "logprob": entry.log_probability, "bytes": list(data)}


def write_logprobs(raw: Raw | None) -> dict[str, Any] | None:
    """``logprobsResult``; None where there is nothing that can be read."""
    if raw is None:
        return None
    try:
        found = _TOKENS.decode(raw)
        tokens = found if isinstance(found, list) else found.content or []
        tops = [msgspec.convert(token.top_logprobs, list[_Token]) for token in tokens]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not tokens:
        return None
    return {
        "chosenCandidates": [_entry(token) for token in tokens],
        "topCandidates": [{"candidates": [_entry(token) for token in top]} for top in tops],
    }


def _entry(token: _Token) -> dict[str, Any]:
    return {"token": token.token, "logProbability": token.logprob}
