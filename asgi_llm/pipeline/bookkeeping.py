"""From the settings to a ledger that is kept: whether there is one, where its rows go, by which prices."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from asgi_llm.errors import ConfigError, Problem
from asgi_llm.fleet.target import Target
from asgi_llm.metering.library import Listing, installed
from asgi_llm.metering.prices import Prices
from asgi_llm.settings import LedgerSettings, Settings
from asgi_llm.stores.host import HostStores
from asgi_llm.stores.ledger import Ledger
from asgi_llm.stores.memory.ledger import MemoryLedger
from asgi_llm.stores.writer import LedgerWriter

from .account import Accounts, Billed, Draft

if TYPE_CHECKING:
    from asgi_llm.stores.sql.database import Database

__all__ = ["compile_prices", "ledger_opener", "open_ledger"]

_UNKNOWN_HOSTS = frozenset({"openai_compatible"})
"""Providers whose address may tell the price library who they are."""


def compile_prices(settings: Settings, targets: Mapping[str, Target], host: HostStores | None = None) -> Prices:
    """Those of the ``host`` come first.

    Raises:
        ConfigError: the price library is asked for and is not there.
    """
    if settings.prices.library and not installed():
        raise ConfigError([Problem("prices.library", 'needs an extra: pip install "asgi-llm[prices]"')])
    return Prices(settings.prices, _listings(targets), None if host is None else host.prices())


def _listings(targets: Mapping[str, Target]) -> dict[str, Listing]:
    """By what the price library knows each target; those that it cannot know are not among them."""
    found: dict[str, Listing] = {}
    for name, target in targets.items():
        if target.provider.listing is not None:
            found[name] = (target.provider.listing, None)
        elif target.provider.name in _UNKNOWN_HOSTS and target.settings.base_url:
            found[name] = (None, target.settings.base_url)
    return found


def ledger_opener(
    settings: Settings,
    prices: Prices,
    memory: MemoryLedger,
    host: HostStores | None = None,
    billed: Billed | None = None,
) -> "Callable[[Database | None], LedgerWriter[Draft]] | None":
    """What opens the ledger of an event loop; None where none is kept. One in ``memory`` is shared by all loops.
    ``billed`` is told what requests cost."""
    ledger = settings.ledger
    if ledger is None and settings.store.durable:
        ledger = LedgerSettings()
    if ledger is None or not ledger.enabled:
        return None
    memory.most = ledger.rows
    kept = ledger

    def open_writer(database: "Database | None") -> LedgerWriter[Draft]:
        accounts = Accounts(prices, tools=kept.tools, billed=billed)
        found = open_ledger(database, memory) if host is None else host.ledger()
        return LedgerWriter(found, kept, accounts.rows)

    return open_writer


def open_ledger(database: "Database | None", memory: MemoryLedger) -> Ledger:
    """The ledger in ``database``, or else in ``memory``."""
    if database is None:
        return memory
    from asgi_llm.stores.sql.ledger import SQLLedger

    return SQLLedger(database)
