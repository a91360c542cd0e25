"""From usage to cost. What is not known is None, which is not free.

    own price            cost computed from it, whatever anybody else says
    provider reported    that
    price library        cost computed from it
    nothing              unknown

A discount is taken off what is computed, never off what was reported: that is what is paid already. For targets that
somebody else pays, the cost is zero. The market cost is what anybody would have paid, by list price or report.
"""

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Literal

from msgspec import Struct

from asgi_llm.neutral.usage import Usage
from asgi_llm.routing.catalog import compile_glob
from asgi_llm.settings import PriceSettings, PricesSettings

from .library import Library, Listing, installed
from .rates import Price, micro, pico, price_of

__all__ = ["Bill", "CostSource", "Prices"]

CostSource = Literal["own", "provider", "library", "byok", "unsent", "cached"]
"""Where a cost comes from. ``unsent``: nothing went to any upstream, so nothing was spent. ``cached``: nor did it,
for the answer had been given before."""

_QUARTER = 900
"""Seconds for which a price that was found holds: some change by the hour, at half past."""
_KEPT = 4096


class Bill(Struct, frozen=True):
    """What a request cost. ``cost`` and ``market`` are microdollars, None where unknown. ``mismatch`` where the
    provider reported another cost than its prices make."""

    cost: int | None = None
    market: int | None = None
    source: CostSource | None = None
    mismatch: bool = False


class Prices:
    """The prices of the settings, and those of the library behind them.

    Args:
        settings: as configured.
        listings: target -> by what the library knows it.
    """

    __slots__ = ("_byok", "_found", "_library", "_listings", "_own", "_paid", "_tolerance")

    def __init__(self, settings: PricesSettings, listings: Mapping[str, Listing]) -> None:
        self._own = [(_matcher(own), price_of(own)) for own in settings.own]
        self._paid = {target: pico(1 - discount) for target, discount in settings.discounts.items()}
        self._byok = frozenset(settings.byok)
        self._tolerance = settings.tolerance
        self._listings = listings
        wanted = installed() if settings.library is None else settings.library
        self._library = Library() if wanted else None
        self._found: dict[tuple[str, str, int], tuple[Price, CostSource] | None] = {}

    def load(self) -> None:
        """Reads what is slow to read. For a thread, before the first question; else that one waits for it."""
        if self._library is not None:
            self._library.load()

    def bill(self, target: str, model: str, usage: Usage | None, at: float, *, byok: bool = False) -> Bill:
        """What ``usage`` of ``model`` (the upstream's name) cost at ``target``, begun at ``at`` (seconds since the
        epoch). With ``byok`` the caller's own credential paid for it."""
        if usage is None:
            return Bill()
        found = self.find(target, model, at)
        listed = None if found is None else found[0].cost(usage)
        computed = None if listed is None else micro(self._discounted(target, listed))
        reported = usage.cost
        market = micro(listed) if listed is not None else reported
        mismatch = computed is not None and reported is not None and self._differ(computed, reported)
        if byok or target in self._byok:
            return Bill(0, market, "byok", mismatch)
        if found is not None and found[1] == "own":
            return Bill(computed, market, "own", mismatch)
        if reported is not None:
            return Bill(reported, market, "provider", mismatch)
        return Bill() if computed is None else Bill(computed, market, "library")

    def find(self, target: str, model: str, at: float) -> tuple[Price, CostSource] | None:
        """The list price of ``model`` at ``target``, and whose it is."""
        key = (target, model, int(at // _QUARTER))
        if key not in self._found:
            if len(self._found) >= _KEPT:
                self._found.clear()
            self._found[key] = self._search(target, model, at)
        return self._found[key]

    def _search(self, target: str, model: str, at: float) -> tuple[Price, CostSource] | None:
        day = dt.datetime.fromtimestamp(at, dt.UTC).date()
        for matches, own in self._own:
            if matches(target, model, day):
                return own, "own"
        listing = self._listings.get(target)
        if self._library is None or listing is None:
            return None
        price = self._library.find(listing, model, at)
        return None if price is None else (price, "library")

    def _discounted(self, target: str, picodollars: int) -> int:
        paid = self._paid.get(target)
        return picodollars if paid is None else micro(picodollars * paid)

    def _differ(self, computed: int, reported: int) -> bool:
        # A microdollar is what rounding alone can make.
        return abs(computed - reported) > max(1, self._tolerance * max(computed, reported))


def _matcher(own: PriceSettings) -> Callable[[str, str, dt.date], bool]:
    target_is, model_is = compile_glob(own.target), compile_glob(own.model)

    def matches(target: str, model: str, day: dt.date) -> bool:
        if (own.since is not None and day < own.since) or (own.until is not None and day >= own.until):
            return False
        return bool(target_is(target) and model_is(model))

    return matches
