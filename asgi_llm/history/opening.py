"""From the settings to what remembers."""

from collections.abc import Callable

from asgi_llm.errors import ConfigError, Problem
from asgi_llm.runtime import Runtime
from asgi_llm.settings import Settings
from asgi_llm.stores.memory.responses import MemoryResponses
from asgi_llm.stores.responses import ResponseStore

from .history import Historian, History
from .stateless import Stateless
from .vault import Vault

__all__ = ["history_opener"]


def history_opener(settings: Settings, memory: MemoryResponses) -> Callable[[Runtime], Historian] | None:
    """What opens the history for one event loop; None where the settings want none. ``memory`` is what keeps it where
    they name no database: one for all event loops of the process.

    Raises:
        ConfigError: what it needs is not installed, or the store cannot keep responses.
    """
    asked = settings.responses
    if asked.stateful is None:
        return None
    if not asked.stateful:
        return lambda _runtime: Stateless()
    if settings.store.address == "django":
        raise ConfigError([Problem("responses.stateful", "responses are not kept in the host's database yet")])
    vault = Vault([key.get_secret_value() for key in asked.encryption_keys])

    def opened(runtime: Runtime) -> Historian:
        return History(_store(runtime) or memory, asked, vault)

    return opened


def _store(runtime: Runtime) -> ResponseStore | None:
    if runtime.database is None:
        return None
    from asgi_llm.stores.sql.responses import SQLResponses

    return SQLResponses(runtime.database)
