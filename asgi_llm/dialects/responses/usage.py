"""Token counts of the Responses API: its totals include what the neutral counts keep apart.

``input_tokens`` holds cached and written tokens, ``output_tokens`` holds reasoning. OpenAI Responses API, "usage".
"""

from typing import Any

import msgspec
from msgspec import Raw, Struct, structs

from asgi_llm.dialects.lenient import MOST, lenient
from asgi_llm.dialects.money import Costs, reported
from asgi_llm.dialects.searched import searched
from asgi_llm.neutral.request import Part, ServerCall
from asgi_llm.neutral.usage import Usage

__all__ = ["decode_usage", "encode_usage", "is_search", "with_searches"]


class _InputDetails(Struct):
    cached_tokens: float | None = None
    cache_write_tokens: float | None = None
    audio_tokens: float | None = None


class _OutputDetails(Struct):
    reasoning_tokens: float | None = None
    audio_tokens: float | None = None


class _Usage(Struct):
    input_tokens: float | None = None
    output_tokens: float | None = None
    total_tokens: float | None = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None
    cost: Any = None
    cost_details: Any = None
    cost_in_usd_ticks: Any = None
    market_cost: Any = None
    is_byok: Any = None


_UNSAID = Costs()
_MONEY = ("cost", "cost_details", "cost_in_usd_ticks", "market_cost", "is_byok")
_usage = msgspec.json.Decoder(_Usage | None)


def decode_usage(raw: Raw | bytes | None) -> Usage | None:
    """A ``usage`` object -> disjoint counts; None when it is absent, null or not a usage object."""
    if raw is None:
        return None
    data = bytes(raw)
    try:
        wire = _usage.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        wire = lenient(data, _Usage)
    if wire is None or (wire.input_tokens is None and wire.output_tokens is None):
        return None
    into = wire.input_tokens_details or _InputDetails()
    out = wire.output_tokens_details or _OutputDetails()
    costs = reported({name: getattr(wire, name) for name in _MONEY}) if b'"cost' in data else _UNSAID
    return Usage(
        fresh=_less(wire.input_tokens, into.cached_tokens, into.cache_write_tokens),
        cache_read=_count(into.cached_tokens),
        cache_write=_count(into.cache_write_tokens),
        visible=_less(wire.output_tokens, out.reasoning_tokens),
        reasoning=_count(out.reasoning_tokens),
        audio_in=_count(into.audio_tokens),
        audio_out=_count(out.audio_tokens),
        cost=costs.cost,
        market=costs.market,
        raw=Raw(data),
    )


def is_search(part: Part) -> bool:
    """Whether the part tells of a web search, which has its own price. To open a page is none, nor is what failed."""
    found = searched(part, part.arguments) if isinstance(part, ServerCall) else None
    return found is not None and not found.failed


def with_searches(usage: Usage | None, count: int) -> Usage | None:
    """With the searches, which this API leaves to be counted, under the name that Anthropic's has for them."""
    if usage is None or not count:
        return usage
    return structs.replace(usage, server_tools={"web_search_requests": count})


def encode_usage(usage: Usage | None) -> dict[str, Any] | None:
    """Disjoint counts -> the ``usage`` object. Every number is written: typed clients demand all of them."""
    if usage is None:
        return None
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cache_read or 0, "cache_write_tokens": usage.written},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning or 0},
        "total_tokens": usage.input + usage.output,
    }


def _count(value: float | None) -> int | None:
    return None if value is None or value > MOST else max(int(value), 0)


def _less(total: float | None, *parts: float | None) -> int | None:
    # Some servers report more cached tokens than input tokens; a count is never negative.
    if total is None or total > MOST:
        return None
    return max(int(total) - sum(int(part) for part in parts if part and part > 0), 0)
