"""Token counts: Anthropic's ``usage`` object <-> neutral.

``input_tokens`` excludes both cache figures, ``output_tokens`` includes thinking; there is no total. The figures of
``message_delta`` are running totals that overrule those of ``message_start``, field by field.
"""

from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from asgi_llm.dialects.lenient import MOST, lenient
from asgi_llm.dialects.money import Costs, reported
from asgi_llm.neutral.usage import Usage

from .raws import NULL

__all__ = ["WireUsage", "WrittenUsage", "decode_usage", "encode_usage", "fold", "to_neutral"]


class _CacheCreation(Struct):
    ephemeral_5m_input_tokens: int | None = None
    ephemeral_1h_input_tokens: int | None = None


class _OutputDetails(Struct):
    thinking_tokens: int | None = None


class WireUsage(Struct):
    """The ``usage`` object as it comes."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation: _CacheCreation | None = None
    output_tokens_details: _OutputDetails | None = None
    server_tool_use: dict[str, Any] | None = None
    service_tier: Any = None
    cost: Any = None
    cost_details: Any = None
    market_cost: Any = None
    is_byok: Any = None
    raw: Raw = NULL


_DECODER = msgspec.json.Decoder(WireUsage)
_FIELDS = WireUsage.__struct_fields__


def read_usage(raw: Raw) -> Usage | None:
    """The counts of a usage object, or None where it is none. Never raises."""
    return to_neutral(decode_usage(raw))


def decode_usage(raw: Raw | bytes | None) -> WireUsage | None:
    """The usage object, or None where there is none or it is not one. Never raises."""
    if raw is None or raw == NULL:
        return None
    try:
        wire = _DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = lenient(raw, WireUsage)
        if found is None:
            return None
        wire = found
    wire.raw = Raw(bytes(raw))
    return wire


def fold(earlier: WireUsage | None, later: WireUsage | None) -> WireUsage | None:
    """What is known after a later report: per field, the later figure wins where there is one."""
    if earlier is None or later is None:
        return later if earlier is None else earlier
    return WireUsage(*(getattr(earlier if getattr(later, name) is None else later, name) for name in _FIELDS))


def to_neutral(wire: WireUsage | None) -> Usage | None:
    """Disjoint counts; negative figures count as zero."""
    if wire is None:
        return None
    five, hour, rest = None, None, _count(wire.cache_creation_input_tokens)
    if wire.cache_creation is not None:
        five, hour, rest = _written(wire.cache_creation, rest)
    output, thinking = _count(wire.output_tokens), None
    if wire.output_tokens_details is not None:
        thinking = _count(wire.output_tokens_details.thinking_tokens)
        if output is not None and thinking is not None:
            thinking = min(thinking, output)
            output -= thinking
    tools = wire.server_tool_use
    counts = {k: v for k, v in tools.items() if type(v) is int and 0 <= v <= MOST} if tools else None
    costs = _costs(wire)
    return Usage(
        fresh=_count(wire.input_tokens),
        cache_read=_count(wire.cache_read_input_tokens),
        cache_write=rest,
        cache_write_5m=five,
        cache_write_1h=hour,
        visible=output,
        reasoning=thinking,
        server_tools=counts or None,
        cost=costs.cost,
        market=costs.market,
        raw=wire.raw,
    )


def _written(split: _CacheCreation, total: int | None) -> tuple[int | None, int | None, int | None]:
    """Written input by lifetime: five minutes, one hour, not told."""
    five, hour = _count(split.ephemeral_5m_input_tokens), _count(split.ephemeral_1h_input_tokens)
    # A later report may restate the total only: what it has beyond the split has no known lifetime.
    rest = (total or 0) - (five or 0) - (hour or 0)
    return five, hour, rest if rest > 0 else None


def _count(value: int | None) -> int | None:
    return value if value is None or 0 <= value <= MOST else 0 if value < 0 else None


_UNSAID = Costs()


def _costs(wire: WireUsage) -> Costs:
    """Gateways that speak this dialect report what they take."""
    if wire.cost is None:
        return _UNSAID
    return reported({name: getattr(wire, name) for name in ("cost", "cost_details", "market_cost", "is_byok")})


class _Lifetimes(Struct):
    ephemeral_5m_input_tokens: int = 0
    ephemeral_1h_input_tokens: int = 0


class WrittenUsage(Struct):
    """The ``usage`` object as it goes out."""

    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    cache_creation: _Lifetimes
    output_tokens: int
    output_tokens_details: dict[str, int] | UnsetType = UNSET
    server_tool_use: dict[str, int] | UnsetType = UNSET
    service_tier: str | UnsetType = UNSET


_NOTHING = Usage()
_NOT_WRITTEN = _Lifetimes()


def encode_usage(usage: Usage | None, service_tier: str | None = None) -> WrittenUsage:
    """The ``usage`` object. Clients need its integers, so what nobody reported is 0."""
    usage = usage or _NOTHING
    lifetimes, written = _NOT_WRITTEN, usage.written
    if written:
        five_minutes = (usage.cache_write_5m or 0) + (usage.cache_write or 0)
        lifetimes = _Lifetimes(five_minutes, usage.cache_write_1h or 0)
    wire = WrittenUsage(
        (usage.fresh or 0) + (usage.tool_prompt or 0), written, usage.cache_read or 0, lifetimes, usage.output
    )
    if usage.reasoning is not None:
        wire.output_tokens_details = {"thinking_tokens": usage.reasoning}
    if usage.server_tools:
        wire.server_tool_use = usage.server_tools
    if service_tier in ("standard", "priority", "batch"):
        wire.service_tier = service_tier
    return wire
