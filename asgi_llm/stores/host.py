"""Stores that a web framework brings along, in the database of the application.

An integration puts what opens them into ``HOSTS``, under the URL that stands for it in ``[store]`` (``django``).
"""

from collections.abc import Callable
from typing import Protocol

from asgi_llm.errors import ConfigError, Problem
from asgi_llm.metering.prices import PriceSource
from asgi_llm.settings import StoreSettings

from .answers import AnswerStore
from .keys import KeyStore
from .ledger import Ledger
from .quotas import QuotaSource, QuotaStore
from .responses import ResponseStore
from .signatures import SignatureStore

__all__ = ["HOSTS", "HOST_CACHES", "HostStores", "host_stores"]


class HostStores(Protocol):
    """Opens each store for one event loop; nothing is connected before it is used."""

    def ledger(self) -> Ledger: ...

    def keys(self) -> KeyStore: ...

    def quotas(self) -> QuotaStore: ...

    def responses(self) -> ResponseStore: ...

    def signatures(self) -> SignatureStore: ...

    def prices(self) -> PriceSource | None:
        """Prices that are changed while the gateway runs, if the host has some. For any event loop."""
        ...

    def budgets(self) -> QuotaSource | None:
        """Quotas that are changed while the gateway runs, if the host has some. For any event loop."""
        ...


HOST_CACHES: dict[str, Callable[[], AnswerStore]] = {}
"""What opens a host's own cache for one event loop, by the URL that stands for it in ``[cache]`` (``django``)."""
HOSTS: dict[str, Callable[[StoreSettings], HostStores]] = {}


def host_stores(settings: StoreSettings) -> HostStores | None:
    """The host's stores, where the settings ask for them.

    Raises:
        ConfigError: there is no such host in this process.
    """
    if settings.address != "django":
        return None
    if settings.address not in HOSTS:
        raise ConfigError([Problem("store.url", "django is for gateways inside a Django site; here it is none")])
    return HOSTS[settings.address](settings)
