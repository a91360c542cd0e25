"""All stores of one gateway."""

from typing import TYPE_CHECKING

from asgi_llm.settings import StoreSettings

from .desk import Desk

if TYPE_CHECKING:
    from .budgets import ORMBudgets
    from .keys import ORMKeys
    from .ledger import ORMLedger
    from .prices import ORMPrices
    from .quotas import ORMQuotas
    from .responses import ORMResponses
    from .signatures import ORMSignatures

__all__ = ["ORMStores"]


class ORMStores:
    """Implements ``HostStores``. Made with the gateway; nothing is connected before it is used."""

    def __init__(self, settings: StoreSettings) -> None:
        self._desk = Desk(settings.connections, settings.timeout)

    def ledger(self) -> "ORMLedger":
        from .ledger import ORMLedger

        return ORMLedger(self._desk)

    def keys(self) -> "ORMKeys":
        from .keys import ORMKeys

        return ORMKeys(self._desk)

    def quotas(self) -> "ORMQuotas":
        from .quotas import ORMQuotas

        return ORMQuotas(self._desk)

    def responses(self) -> "ORMResponses":
        from .responses import ORMResponses

        return ORMResponses(self._desk)

    def signatures(self) -> "ORMSignatures":
        from .signatures import ORMSignatures

        return ORMSignatures(self._desk)

    def prices(self) -> "ORMPrices":
        from .prices import ORMPrices

        return ORMPrices(self._desk)

    def budgets(self) -> "ORMBudgets":
        from .budgets import ORMBudgets

        return ORMBudgets(self._desk)
