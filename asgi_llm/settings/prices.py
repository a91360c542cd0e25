"""Settings of what tokens cost. Money is in dollars here, and in integers of a millionth of one everywhere else."""

import datetime as dt
from decimal import Decimal
from typing import Annotated, Self

from pydantic import Field, model_validator

from .values import Glob, Model

__all__ = ["PriceSettings", "PricesSettings", "RateSettings", "TierSettings"]

Dollars = Annotated[Decimal, Field(ge=0, le=1_000_000, allow_inf_nan=False)]


class RateSettings(Model):
    """Dollars for a million tokens.

    ``cache_read`` and ``cache_write`` cost what ``input`` does where they are not given, ``cache_write_5m`` and
    ``cache_write_1h`` what ``cache_write`` does, ``reasoning`` and ``audio_out`` what ``output`` does, ``audio_in``
    what ``input`` does.
    """

    input: Dollars | None = None
    output: Dollars | None = None
    cache_read: Dollars | None = None
    cache_write: Dollars | None = None
    cache_write_5m: Dollars | None = None
    cache_write_1h: Dollars | None = None
    reasoning: Dollars | None = None
    audio_in: Dollars | None = None
    audio_out: Dollars | None = None


class TierSettings(RateSettings):
    """What all tokens of a request cost whose input is larger than ``above`` tokens, where that differs."""

    above: Annotated[int, Field(ge=1)]


class PriceSettings(RateSettings):
    """What the models that match ``model`` cost at the targets that match ``target``; ``model`` is the upstream's name.

    ``since`` and ``until`` are days (UTC): from the first on, and before the second. ``request`` is dollars for each
    request, ``tools`` for each use of a tool that the provider runs (``web_search_requests``). The first price that
    fits is taken.
    """

    model: Glob
    target: Glob = "*"
    since: dt.date | None = None
    until: dt.date | None = None
    request: Dollars = Decimal(0)
    tools: dict[str, Dollars] = Field(default_factory=dict)
    tiers: tuple[TierSettings, ...] = ()

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.input is None or self.output is None:
            raise ValueError("give both input and output, in dollars for a million tokens (0 where it is free)")
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise ValueError("until must be a later day than since")
        bounds = [tier.above for tier in self.tiers]
        if bounds != sorted(set(bounds)):
            raise ValueError("tiers must be in order, each above a larger number of tokens")
        return self


class PricesSettings(Model):
    """What requests cost.

    Attributes:
        own: prices of one's own; they come before what the provider reports and what the library says.
        library: whether to ask the price library (extra ``prices``) where no own price fits; by default where it is
            installed.
        discounts: target -> the part of its list prices that is not paid (0.1 is a tenth).
        byok: targets that are paid for by somebody else (the caller's own key): they cost nothing, while their market
            cost is still recorded.
        tolerance: by which part a cost that the provider reports may differ from the computed one unremarked.
    """

    own: tuple[PriceSettings, ...] = ()
    library: bool | None = None
    discounts: dict[str, Annotated[Decimal, Field(ge=0, le=1)]] = Field(default_factory=dict)
    byok: tuple[str, ...] = ()
    tolerance: Annotated[float, Field(ge=0, le=1)] = 0.02
