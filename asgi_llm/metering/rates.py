"""What tokens cost: integers only.

Rates are picodollars (a millionth of a microdollar) for one token, which are dollars for a million tokens times a
million, so that any price with six decimals is exact. A cost is summed in picodollars and rounded once, at its end, to
the nearest microdollar; a half goes up.
"""

from decimal import Decimal

from msgspec import Struct

from asgi_llm.neutral.usage import Usage
from asgi_llm.settings import PriceSettings, RateSettings

__all__ = ["PICO", "Price", "Rates", "micro", "pico", "price_of", "rates_of"]

PICO = 1_000_000
"""Picodollars in a microdollar."""


class Rates(Struct, frozen=True):
    """Picodollars for each token. Input that somebody said nothing more about costs ``input``."""

    input: int
    output: int
    cache_read: int
    cache_write: int
    cache_write_5m: int
    cache_write_1h: int
    reasoning: int
    audio_in: int
    audio_out: int


class Price(Struct, frozen=True):
    """What a model costs. ``tiers`` are (tokens of input, rates above them) in ascending order: the rates of the
    highest that is passed hold for all tokens of the request. ``request`` is picodollars for each request, ``tools``
    for each use of a provider's own tool."""

    rates: Rates
    tiers: tuple[tuple[int, Rates], ...] = ()
    request: int = 0
    tools: dict[str, int] = {}

    def cost(self, usage: Usage) -> int:
        """Picodollars that ``usage`` costs."""
        rates = self.rates
        for above, higher in self.tiers:
            if usage.input > above:
                rates = higher
        return self.request + _tokens(rates, usage) + self._uses(usage.server_tools)

    def _uses(self, counts: dict[str, int] | None) -> int:
        if not counts or not self.tools:
            return 0
        return sum(self.tools.get(name, 0) * count for name, count in counts.items())


def _tokens(rates: Rates, usage: Usage) -> int:
    # Sound is counted within fresh input and visible output.
    heard = min(usage.audio_in or 0, usage.fresh or 0)
    spoken = min(usage.audio_out or 0, usage.visible or 0)
    return (
        rates.input * ((usage.fresh or 0) - heard + (usage.tool_prompt or 0))
        + rates.audio_in * heard
        + rates.cache_read * (usage.cache_read or 0)
        + rates.cache_write * (usage.cache_write or 0)
        + rates.cache_write_5m * (usage.cache_write_5m or 0)
        + rates.cache_write_1h * (usage.cache_write_1h or 0)
        + rates.output * ((usage.visible or 0) - spoken)
        + rates.audio_out * spoken
        + rates.reasoning * (usage.reasoning or 0)
    )


def micro(picodollars: int) -> int:
    """The nearest microdollars; a half goes up."""
    return (picodollars + PICO // 2) // PICO


def pico(dollars: Decimal) -> int:
    """Dollars for a million tokens -> picodollars for one; what is finer than a picodollar is rounded."""
    return round(dollars * PICO)


def price_of(settings: PriceSettings) -> Price:
    """A price as it is configured."""
    base = _rates(settings, {})
    tiers = tuple((tier.above, _rates(tier, _given(settings))) for tier in settings.tiers)
    # These are dollars for one, not for a million.
    tools = {name: round(dollars * PICO * PICO) for name, dollars in settings.tools.items()}
    return Price(base, tiers, round(settings.request * PICO * PICO), tools)


_NAMES = Rates.__struct_fields__


def _given(settings: RateSettings) -> dict[str, int]:
    return {name: pico(value) for name in _NAMES if (value := getattr(settings, name)) is not None}


def _rates(settings: RateSettings, base: dict[str, int]) -> Rates:
    return rates_of(base | _given(settings))


def rates_of(given: dict[str, int]) -> Rates:
    """All rates, where some are given, ``input`` and ``output`` among them."""
    written = given.get("cache_write", given["input"])
    return Rates(
        input=given["input"],
        output=given["output"],
        cache_read=given.get("cache_read", given["input"]),
        cache_write=written,
        cache_write_5m=given.get("cache_write_5m", written),
        cache_write_1h=given.get("cache_write_1h", written),
        reasoning=given.get("reasoning", given["output"]),
        audio_in=given.get("audio_in", given["input"]),
        audio_out=given.get("audio_out", given["output"]),
    )
