"""The price library genai-prices, as a source of prices. It comes with its data, and asks no network.

Loading it takes about a second: ``load`` is for a thread. Only its documented names are used: a calculation over no
tokens tells the prices that it would have gone by.
"""

import datetime as dt
import importlib
from decimal import Decimal
from importlib.util import find_spec
from typing import Any

from .rates import Price, pico, rates_of

__all__ = ["Library", "Listing", "installed"]

Listing = tuple[str | None, str | None]
"""By what the library knows a target: its name for the provider, or the address."""

_NAMES = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_5m": "cache_write_5m_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "reasoning": "output_reasoning_mtok",
    "audio_in": "input_audio_mtok",
    "audio_out": "output_audio_mtok",
}
_USES = {"web_search_requests": "web_searches_kcount"}


def installed() -> bool:
    return find_spec("genai_prices") is not None


class Library:
    """Prices by provider, model and time."""

    __slots__ = ("_module",)

    def __init__(self) -> None:
        self._module: Any = None

    def load(self) -> None:
        """Reads its data. Blocks for about a second."""
        if self._module is None:
            self._module = importlib.import_module("genai_prices")

    def find(self, listing: Listing, model: str, at: float) -> Price | None:
        """What ``model`` costs at ``at`` (seconds since the epoch); None where it is not known."""
        self.load()
        provider, address = listing
        try:
            told = self._module.calc_price(
                self._module.Usage(input_tokens=0, output_tokens=0),
                model_ref=model,
                provider_id=provider,
                provider_api_url=None if provider else address,
                genai_request_timestamp=dt.datetime.fromtimestamp(at, dt.UTC),
            )
        except (LookupError, ValueError):
            return None
        return _read(told.model_price)


def _read(listed: Any) -> Price | None:
    found = {name: price for name, key in _NAMES.items() if (price := getattr(listed, key, None)) is not None}
    if "input" not in found or "output" not in found:
        return None
    bounds = sorted({tier.start for price in found.values() for tier in getattr(price, "tiers", ())})
    tools = {name: _each(price) for name, key in _USES.items() if (price := getattr(listed, key, None)) is not None}
    request = getattr(listed, "requests_kcount", None)
    return Price(
        rates_of({name: pico(_above(price, 0)) for name, price in found.items()}),
        tuple(
            (bound, rates_of({name: pico(_above(price, bound)) for name, price in found.items()})) for bound in bounds
        ),
        0 if request is None else _each(request),
        tools,
    )


def _above(price: Any, bound: int) -> Decimal:
    """What holds for an input larger than ``bound`` tokens."""
    if isinstance(price, Decimal):
        return price
    value: Decimal = price.base
    for tier in price.tiers:
        if bound >= tier.start:
            value = tier.price
    return value


def _each(price: Any) -> int:
    """Dollars for a thousand -> picodollars for one."""
    return pico(_above(price, 0) * 1000)
