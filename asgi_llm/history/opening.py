"""From the settings to what remembers."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from asgi_llm.exchange import Caller, Exchange
from asgi_llm.runtime import Runtime
from asgi_llm.settings import Settings
from asgi_llm.stores.host import HostStores
from asgi_llm.stores.memory.responses import MemoryResponses
from asgi_llm.stores.memory.signatures import MemorySignatures
from asgi_llm.stores.responses import ResponseStore
from asgi_llm.stores.scope import Scope
from asgi_llm.stores.signatures import SignatureStore

from .history import Historian, History
from .recollection import Recollection
from .stateless import Stateless
from .vault import Vault

__all__ = ["Memories", "history_opener"]


class Memories(NamedTuple):
    """What keeps things where the settings name no database: one for all event loops of the process."""

    responses: MemoryResponses
    signatures: MemorySignatures


def history_opener(
    settings: Settings, memories: Memories, host: HostStores | None = None
) -> Callable[[Runtime], Historian] | None:
    """What opens the history for one event loop; None where the settings want none.

    Raises:
        ConfigError: what it needs is not installed.
    """
    asked = settings.responses
    if asked.stateful is None and not asked.signatures:
        return None
    vault = Vault([key.get_secret_value() for key in asked.encryption_keys])

    def opened(runtime: Runtime) -> Historian:
        responses, signatures = _stores(runtime, memories, host)
        historians: list[Historian] = []
        if asked.stateful is not None:
            historians.append(History(responses, asked, vault) if asked.stateful else Stateless())
        if asked.signatures:
            historians.append(Recollection(signatures, asked, vault))
        return historians[0] if len(historians) == 1 else Several(historians)

    return opened


class Several:
    """See ``Historian``: one after the other."""

    __slots__ = ("_historians",)

    def __init__(self, historians: Sequence[Historian]) -> None:
        self._historians = historians

    @property
    def history(self) -> History | None:
        return self._historians[0].history

    def screen(self, exchange: Exchange) -> None:
        for historian in self._historians:
            historian.screen(exchange)

    async def open(self, runtime: Runtime, exchange: Exchange, caller: Caller, counting: bool) -> Caller:
        for historian in self._historians:
            caller = await historian.open(runtime, exchange, caller, counting)
        return caller

    async def forget(self, scope: Scope) -> int:
        return sum([await historian.forget(scope) for historian in self._historians])


def _stores(runtime: Runtime, memories: Memories, host: HostStores | None) -> tuple[ResponseStore, SignatureStore]:
    if host is not None:
        return host.responses(), host.signatures()
    if runtime.database is None:
        return memories
    from asgi_llm.stores.sql.responses import SQLResponses
    from asgi_llm.stores.sql.signatures import SQLSignatures

    return SQLResponses(runtime.database), SQLSignatures(runtime.database)
