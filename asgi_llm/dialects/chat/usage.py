"""Token counts: chat's inclusive totals <-> neutral's disjoint ones (OpenAI API reference, "usage").

``prompt_tokens`` includes what was read from and written to a cache, ``completion_tokens`` includes reasoning. Some
servers (xAI) leave reasoning out of ``completion_tokens``: then only prompt + completion + reasoning make the total.
"""

from typing import Annotated

import msgspec
from msgspec import Raw

from asgi_llm.dialects.money import reported
from asgi_llm.neutral.usage import Usage

__all__ = ["UsageOut", "read_usage", "write_usage"]


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
    cache_creation_input_tokens: None = None
    cost: None = None
    cost_in_usd_ticks: None = None


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
    fresh, cached, written = prompt, read.cached_tokens, read.cache_write_tokens
    if cached or written:
        fresh, cached, written = _parted(prompt, cached, written)
    reasoning, visible = made.reasoning_tokens, said.completion_tokens
    if reasoning:
        visible = _visible(prompt, visible, reasoning, said.total_tokens)
    return Usage(
        fresh=fresh,
        cache_read=cached,
        cache_write=written,
        visible=visible,
        reasoning=reasoning,
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
    costs = reported(said)
    if prompt is None and completion is None and costs.cost is None:
        return None
    details, made = said.get("prompt_tokens_details"), said.get("completion_tokens_details")
    read = _count(details, "cached_tokens")
    if read is None:
        read = _count(said, "prompt_cache_hit_tokens", "cached_tokens")
    written = _count(details, "cache_write_tokens", "cache_creation_input_tokens", "cache_creation_tokens")
    if written is None:
        written = _count(said, "cache_creation_input_tokens")
    reasoning = _count(made, "reasoning_tokens")
    if reasoning is None:
        reasoning = _count(said, "reasoning_tokens")
    fresh = prompt
    if prompt is not None:
        fresh, read, written = _parted(prompt, read, written)
    return Usage(
        fresh=fresh,
        cache_read=read,
        cache_write=written,
        visible=None if completion is None else _visible(prompt, completion, reasoning, _count(said, "total_tokens")),
        reasoning=reasoning,
        audio_in=_count(details, "audio_tokens"),
        audio_out=_count(made, "audio_tokens"),
        server_tools=_uses(said.get("server_tool_use")),
        cost=costs.cost,
        market=costs.market,
        raw=Raw(bytes(raw)),
    )


def _parted(prompt: int, read: int | None, written: int | None) -> tuple[int, int | None, int | None]:
    """All input -> the input that was in no cache, what was read from one, and what was written to one."""
    rest = max(0, prompt - (read or 0))
    fresh = max(0, rest - (written or 0))
    return fresh, None if read is None else min(read, prompt), None if written is None else min(written, rest)


def _visible(prompt: int | None, completion: int, reasoning: int | None, total: int | None) -> int:
    if not reasoning:
        return completion
    if total is not None and total != (prompt or 0) + completion and total == (prompt or 0) + completion + reasoning:
        return completion
    return max(0, completion - reasoning)


def _uses(said: object) -> dict[str, int] | None:
    """Of tools that the provider runs."""
    if not isinstance(said, dict):
        return None
    return {name: count for name in said if (count := _count(said, name)) is not None} or None


class _ReadOut(msgspec.Struct, omit_defaults=True, gc=False):
    cached_tokens: int
    cache_write_tokens: int
    audio_tokens: int | None = None


class _MadeOut(msgspec.Struct, omit_defaults=True, gc=False):
    reasoning_tokens: int
    audio_tokens: int | None = None


class UsageOut(msgspec.Struct, gc=False):
    """The usage object as it is written; all counts that typed clients expect are there."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: _ReadOut
    completion_tokens_details: _MadeOut


def write_usage(usage: Usage) -> UsageOut:
    """The counts, in chat's totals."""
    prompt, completion = usage.input, usage.output
    read = _ReadOut(usage.cache_read or 0, usage.written, usage.audio_in)
    made = _MadeOut(usage.reasoning or 0, usage.audio_out)
    return UsageOut(prompt, completion, prompt + completion, read, made)
