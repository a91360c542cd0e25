"""Token counts: chat's inclusive totals <-> neutral's disjoint ones (OpenAI API reference, "usage").

``prompt_tokens`` includes what was read from and written to a cache, ``completion_tokens`` includes reasoning. Some
servers (xAI) leave reasoning out of ``completion_tokens``: then only prompt + completion + reasoning make the total.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Raw

from asgi_llm.neutral.usage import Usage

__all__ = ["read_usage", "usage_of", "write_usage"]

_MICRO = 1_000_000


def _count(values: object, *names: str) -> int | None:
    """The first of the names that holds a count."""
    if not isinstance(values, dict):
        return None
    for name in names:
        value = values.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**53:
            return int(value)
    return None


_Count = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


class _Read(msgspec.Struct, gc=False):
    cached_tokens: _Count | None = None
    cache_write_tokens: _Count | None = None
    audio_tokens: _Count | None = None
    cache_creation_input_tokens: None = None
    cache_creation_tokens: None = None


class _Made(msgspec.Struct, gc=False):
    reasoning_tokens: _Count | None = None
    audio_tokens: _Count | None = None


class _Standard(msgspec.Struct, gc=False):
    """The usage object as OpenAI documents it. The fields that other servers count in are declared so that a value
    in one of them fails to decode, and the tolerant reader takes over."""

    prompt_tokens: _Count
    completion_tokens: _Count
    total_tokens: _Count | None = None
    prompt_tokens_details: _Read | None = None
    completion_tokens_details: _Made | None = None
    prompt_cache_hit_tokens: None = None
    cached_tokens: None = None
    reasoning_tokens: None = None
    cost: None = None


_standard = msgspec.json.Decoder(_Standard)
_NO_READ, _NOT_MADE = _Read(), _Made()


def read_usage(raw: Raw | bytes) -> Usage | None:
    """The counts of a usage object, or None where it says nothing; never raises."""
    try:
        said = _standard.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _read_any(raw)
    prompt, read = said.prompt_tokens, said.prompt_tokens_details or _NO_READ
    made = said.completion_tokens_details or _NOT_MADE
    cached, written = read.cached_tokens, read.cache_write_tokens
    return Usage(
        fresh=max(0, prompt - (cached or 0) - (written or 0)),
        cache_read=_at_most(cached, prompt),
        cache_write=_at_most(written, max(0, prompt - (cached or 0))),
        visible=_visible(prompt, said.completion_tokens, made.reasoning_tokens, said.total_tokens),
        reasoning=made.reasoning_tokens,
        audio_in=read.audio_tokens,
        audio_out=made.audio_tokens,
        raw=Raw(bytes(raw)),
    )


def _read_any(raw: Raw | bytes) -> Usage | None:
    """The counts wherever a server puts them."""
    try:
        said = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    prompt, completion = _count(said, "prompt_tokens"), _count(said, "completion_tokens")
    cost = _cost(said)
    if prompt is None and completion is None and cost is None:
        return None
    details, made = said.get("prompt_tokens_details"), said.get("completion_tokens_details")
    read = _count(details, "cached_tokens")
    if read is None:
        read = _count(said, "prompt_cache_hit_tokens", "cached_tokens")
    written = _count(details, "cache_write_tokens", "cache_creation_input_tokens", "cache_creation_tokens")
    reasoning = _count(made, "reasoning_tokens")
    if reasoning is None:
        reasoning = _count(said, "reasoning_tokens")
    return Usage(
        fresh=None if prompt is None else max(0, prompt - (read or 0) - (written or 0)),
        cache_read=_at_most(read, prompt),
        cache_write=_at_most(written, None if prompt is None else max(0, prompt - (read or 0))),
        visible=_visible(prompt, completion, reasoning, _count(said, "total_tokens")),
        reasoning=reasoning,
        audio_in=_count(details, "audio_tokens"),
        audio_out=_count(made, "audio_tokens"),
        cost=cost,
        raw=Raw(bytes(raw)),
    )


def _at_most(count: int | None, limit: int | None) -> int | None:
    return count if count is None or limit is None else min(count, limit)


def _visible(prompt: int | None, completion: int | None, reasoning: int | None, total: int | None) -> int | None:
    if completion is None or not reasoning:
        return completion
    if total is not None and total != (prompt or 0) + completion and total == (prompt or 0) + completion + reasoning:
        return completion
    return max(0, completion - reasoning)


def _cost(said: dict[str, Any]) -> int | None:
    """OpenRouter's ``cost`` in dollars; for a caller's own key there the upstream's price comes on top."""
    cost = said.get("cost")
    if isinstance(cost, bool) or not isinstance(cost, int | float) or not 0 <= cost < _MICRO:
        return None
    details = said.get("cost_details")
    if said.get("is_byok") is True and isinstance(details, dict):
        upstream = details.get("upstream_inference_cost")
        if isinstance(upstream, int | float) and 0 <= upstream < _MICRO:
            cost += upstream
    return round(cost * _MICRO)


class _Answer(msgspec.Struct):
    usage: Raw = Raw()


_answer = msgspec.json.Decoder(_Answer)


def usage_of(body: bytes) -> Usage | None:
    """The usage of a whole answer that passes through, or None; never raises."""
    try:
        raw = _answer.decode(body).usage
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return read_usage(raw) if raw else None


def write_usage(usage: Usage) -> dict[str, Any]:
    """The usage object; all counts that typed clients expect are there."""
    prompt, completion = usage.input, usage.output
    read: dict[str, int] = {"cached_tokens": usage.cache_read or 0, "cache_write_tokens": usage.written}
    if usage.audio_in is not None:
        read["audio_tokens"] = usage.audio_in
    made: dict[str, int] = {"reasoning_tokens": usage.reasoning or 0}
    if usage.audio_out is not None:
        made["audio_tokens"] = usage.audio_out
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": read,
        "completion_tokens_details": made,
    }
