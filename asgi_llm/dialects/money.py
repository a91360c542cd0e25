"""What an upstream says that a request cost, in whatever dialect it says so, in whole microdollars.

Sources: OpenRouter, "Usage accounting" (``cost``, and ``cost_details.upstream_inference_cost`` behind a key of one's
own); xAI, "Cost tracking" (ticks); Vercel AI Gateway, "Provider metadata output" (decimal strings in
``provider_metadata.gateway``, the same numbers in the usage of Chat Completions); Perplexity (``cost.total_cost``).
"""

import math
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec
from msgspec import Struct, structs

from asgi_llm.neutral.usage import Usage

__all__ = ["Costs", "reported", "with_gateway"]

_MICRO = 1_000_000
_MOST = 1_000_000
"""Dollars that one request may have cost, to be believed."""
_TICKS = 10_000
"""xAI's, in a microdollar."""


class Costs(Struct, frozen=True):
    """``cost`` is what the account pays in all, ``market`` what anybody would have paid; None where nothing was said.
    Both are microdollars."""

    cost: int | None = None
    market: int | None = None


_NOTHING = Costs()


def reported(said: Mapping[str, Any]) -> Costs:
    """What a usage object says."""
    cost = said.get("cost")
    if isinstance(cost, dict):
        cost = cost.get("total_cost")
    if cost is None and (ticks := said.get("cost_in_usd_ticks")) is not None:
        return Costs(_ticks(ticks))
    details = said.get("cost_details")
    upstream = details.get("upstream_inference_cost") if isinstance(details, dict) else None
    return _paid(micros(cost), micros(upstream), micros(said.get("market_cost")), own_key=said.get("is_byok") is True)


def _paid(cost: int | None, upstream: int | None, market: int | None, *, own_key: bool) -> Costs:
    """Behind a key of one's own the gateway takes a fee, and the provider is paid beside it: where nobody says how
    much, the cost is not known."""
    market = upstream if market is None and own_key else market
    if own_key and cost is not None:
        inference = market if upstream is None else upstream
        cost = None if inference is None else cost + inference
    return Costs(cost, market)


def micros(dollars: object) -> int | None:
    """Dollars, as a number or in decimals, to the nearest microdollar (a half goes up); None for what is no amount."""
    if isinstance(dollars, str):
        try:
            dollars = float(Decimal(dollars))
        except (InvalidOperation, ValueError, OverflowError):
            return None
    if isinstance(dollars, bool) or not isinstance(dollars, int | float) or not 0 <= dollars < _MOST:
        return None
    # Through its shortest decimals: 0.0000005 is a half of one, whatever its nearest float is.
    return math.floor(Decimal(str(dollars)) * _MICRO + Decimal("0.5"))


def _ticks(said: object) -> int | None:
    if isinstance(said, bool) or not isinstance(said, int) or not 0 <= said < _MOST * _MICRO * _TICKS:
        return None
    return (said + _TICKS // 2) // _TICKS


class _Attempt(Struct):
    credential: str | None = msgspec.field(name="credentialType", default=None)
    success: bool | None = None


class _Routing(Struct):
    attempts: list[_Attempt] = []


class _Gateway(Struct):
    cost: Any = None
    market: Any = msgspec.field(name="marketCost", default=None)
    inference: Any = msgspec.field(name="inferenceCost", default=None)
    routing: _Routing | None = None


class _Vendors(Struct):
    gateway: _Gateway | None = None


class _Holder(Struct):
    snake: _Vendors | None = msgspec.field(name="provider_metadata", default=None)
    camel: _Vendors | None = msgspec.field(name="providerMetadata", default=None)


class _Choice(Struct):
    message: _Holder | None = None
    delta: _Holder | None = None


class _Outside(_Holder):
    choices: list[_Choice] = []
    message: _Holder | None = None
    response: _Holder | None = None
    delta: _Holder | None = None


_outside = msgspec.json.Decoder(_Outside)


def with_gateway(usage: Usage | None, body: bytes) -> Usage | None:
    """``usage``, and the costs that ``body`` (a whole answer, or an event) tells beside it. Never raises."""
    if b'"gateway"' not in body or (usage is not None and usage.cost is not None):
        return usage
    found = _beside(body)
    if found.cost is None and found.market is None:
        return usage
    return structs.replace(usage or Usage(), cost=found.cost, market=found.market)


def _beside(body: bytes) -> Costs:
    try:
        outside = _outside.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _NOTHING
    holders = [outside, outside.message, outside.response, outside.delta]
    for choice in outside.choices:
        holders += (choice.message, choice.delta)
    for holder in holders:
        for vendors in (holder.snake, holder.camel) if holder is not None else ():
            if vendors is not None and vendors.gateway is not None:
                return _told(vendors.gateway)
    return _NOTHING


def _told(gateway: _Gateway) -> Costs:
    attempts = gateway.routing.attempts if gateway.routing is not None else []
    own_key = any(attempt.success and attempt.credential == "byok" for attempt in attempts)
    return _paid(micros(gateway.cost), micros(gateway.inference), micros(gateway.market), own_key=own_key)
