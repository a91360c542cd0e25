"""From usage to cost. What is not known is None, which is not free.

    own price            cost computed from it, whatever anybody else says; the host's come before the settings'
    provider reported    that
    price library        cost computed from it
    nothing              unknown

A discount is taken off what is computed, never off what was reported: that is what is paid already. For targets that
somebody else pays, the cost is zero. The market cost is what anybody would have paid, by list price or report.
"""

import datetime as dt
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, Protocol

from msgspec import Struct

from asgi_llm.errors import StoreError
from asgi_llm.neutral.usage import Usage
from asgi_llm.routing.catalog import compile_glob
from asgi_llm.settings import PriceSettings, PricesSettings

from .aside import aside
from .library import Library, Listing, installed
from .rates import Price, micro, pico, price_of

__all__ = ["Bill", "CostSource", "PriceSource", "Prices", "total"]

logger = logging.getLogger("asgi_llm.prices")

CostSource = Literal["own", "provider", "library", "byok", "unsent", "cached"]
"""Where a cost comes from. ``unsent``: nothing went to any upstream, so nothing was spent. ``cached``: nor did it,
for the answer had been given before."""

_QUARTER = 900
"""Seconds for which a price that was found holds: some change by the hour, at half past."""
_KEPT = 4096
_FRESH = 30.0
"""Seconds for which the host is not asked for its prices again."""


class Bill(Struct, frozen=True):
    """What a request cost. ``cost`` and ``market`` are microdollars, None where unknown. ``mismatch`` where the
    provider reported another cost than its prices make."""

    cost: int | None = None
    market: int | None = None
    source: CostSource | None = None
    mismatch: bool = False


def total(bills: Sequence[Bill]) -> Bill:
    """What they come to; not known, where one of them is not."""
    costs, markets = [bill.cost for bill in bills], [bill.market for bill in bills]
    return Bill(
        None if None in costs else sum(cost for cost in costs if cost is not None),
        None if None in markets else sum(market for market in markets if market is not None),
        next((bill.source for bill in bills if bill.source is not None), None),
        any(bill.mismatch for bill in bills),
    )


class PriceSource(Protocol):
    """Where a host keeps prices that are changed while the gateway runs."""

    async def all(self) -> Sequence[PriceSettings]:
        """All of them; the first that fits is taken.

        Raises:
            StoreError: they cannot be had.
        """
        ...


class Prices:
    """The prices of the host, of the settings, and those of the library behind them.

    Args:
        settings: as configured.
        listings: target -> by what the library knows it.
        source: the prices of the host.
    """

    __slots__ = (
        "_asked", "_byok", "_found", "_known", "_library", "_listings", "_loaded", "_own", "_paid", "_settled",
        "_source", "_tolerance",
    )  # fmt: skip

    def __init__(
        self, settings: PricesSettings, listings: Mapping[str, Listing], source: PriceSource | None = None
    ) -> None:
        self._settled = _compiled(settings.own)
        self._own = self._settled
        self._source = source
        self._known = source is None
        self._asked = float("-inf")
        self._loaded = False
        self._paid = {target: pico(1 - discount) for target, discount in settings.discounts.items()}
        self._byok = frozenset(settings.byok)
        self._tolerance = settings.tolerance
        self._listings = listings
        wanted = installed() if settings.library is None else settings.library
        self._library = Library() if wanted else None
        self._found: dict[tuple[str, str, int], tuple[Price, CostSource] | None] = {}

    @property
    def fresh(self) -> bool:
        """Whether there is nothing to refresh."""
        return self._loaded and (self._source is None or time.monotonic() - self._asked < _FRESH)

    async def refresh(self) -> bool:
        """Reads what is slow to read, and asks the host again where it is time. False where the host has never said
        what its prices are: it is asked again the next time."""
        if not self._loaded:
            if self._library is not None:
                await aside(self._library.load)
            self._loaded = True
        if self._source is not None and not self.fresh:
            # Whoever comes in the meantime goes on with what was known, if anything was.
            self._asked = time.monotonic() if self._known else self._asked
            await self._ask(self._source)
        return self._known

    async def _ask(self, source: PriceSource) -> None:
        try:
            given = _compiled(await source.all())
        except StoreError as error:
            logger.warning("the host's prices cannot be read now: %s", error.__cause__ or error)
            return
        self._own = given + self._settled
        self._found.clear()
        self._asked, self._known = time.monotonic(), True

    def bill(self, target: str, model: str, usage: Usage | None, at: float, *, byok: bool = False) -> Bill:
        """What ``usage`` of ``model`` (the upstream's name) cost at ``target``, begun at ``at`` (seconds since the
        epoch). With ``byok`` the caller's own credential paid for it."""
        if usage is None:
            return Bill()
        if usage.rounds is not None:
            return total([self.bill(target, model, each, at, byok=byok) for each in usage.rounds])
        found = self.find(target, model, at)
        listed = None if found is None else found[0].cost(usage)
        computed = None if listed is None else micro(self._discounted(target, listed))
        reported = usage.cost
        told = reported if usage.market is None else usage.market
        market = told if listed is None else micro(listed)
        mismatch = self._differ(computed, listed, usage)
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

    def _differ(self, computed: int | None, listed: int | None, usage: Usage) -> bool:
        """Whether the prices known here are not the provider's. Where it told what anybody would have paid, that is
        held against the list: what was paid may be less, or a fee more, for reasons of the account's."""
        ours, told = computed, usage.cost
        if usage.market is not None and listed is not None:
            ours, told = micro(listed), usage.market
        if ours is None or told is None:
            return False
        # A microdollar is what rounding alone can make.
        return abs(ours - told) > max(1, self._tolerance * max(ours, told))


def _compiled(given: Iterable[PriceSettings]) -> "list[tuple[_Matches, Price]]":
    return [(_matcher(own), price_of(own)) for own in given]


_Matches = Callable[[str, str, dt.date], bool]


def _matcher(own: PriceSettings) -> _Matches:
    target_is, model_is = compile_glob(own.target), compile_glob(own.model)

    def matches(target: str, model: str, day: dt.date) -> bool:
        if (own.since is not None and day < own.since) or (own.until is not None and day >= own.until):
            return False
        return bool(target_is(target) and model_is(model))

    return matches
