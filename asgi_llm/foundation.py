"""What a gateway is made of: all that it keeps whatever its settings are, and how settings become a blueprint.

Importing this loads nearly the whole package. Only ``Gateway`` does, when the first one is made.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from asgi_llm.client.call import Door
from asgi_llm.client.judge import judge
from asgi_llm.fleet.target import compile_targets
from asgi_llm.guards.opening import compile_guards
from asgi_llm.history.opening import Memories, history_opener
from asgi_llm.hooks import Hook
from asgi_llm.hosted.house import house_opener
from asgi_llm.identity import Identity
from asgi_llm.pipeline.bookkeeping import compile_prices, ledger_opener
from asgi_llm.pipeline.recall import Cache
from asgi_llm.quotas.rules import compile_rules
from asgi_llm.routing.resolve import Ladder, Route, Way
from asgi_llm.runtime import Blueprint, Runtime, Sink
from asgi_llm.settings import Settings
from asgi_llm.stores.host import host_stores
from asgi_llm.stores.keys import SettingsKeys
from asgi_llm.stores.lent import LentAnswers
from asgi_llm.stores.memory.answers import MemoryAnswers
from asgi_llm.stores.memory.boards import MemoryBoards
from asgi_llm.stores.memory.keys import MemoryKeys
from asgi_llm.stores.memory.ledger import MemoryLedger
from asgi_llm.stores.memory.quotas import MemoryQuotas
from asgi_llm.stores.memory.responses import MemoryResponses
from asgi_llm.stores.memory.signatures import MemorySignatures
from asgi_llm.stores.opening import answers_opener, database_opener, keys_opener, quotas_opener
from asgi_llm.telemetry.meters import Meters
from asgi_llm.telemetry.telemetry import open_telemetry

__all__ = ["Foundation"]


class Foundation:
    """``transports``, ``sinks``, ``hooks`` and ``cache`` are the gateway's arguments; ``door`` opens its inner door to
    guards that ask a model."""

    runtime = Runtime

    def __init__(
        self,
        transports: Mapping[str, Any],
        sinks: tuple[Sink, ...],
        hooks: Sequence[Hook],
        cache: Any,
        door: Callable[[Identity | str | None, str | None], Door],
    ) -> None:
        self.meters = Meters()
        self._transports = transports
        self._sinks = sinks
        self._hooks = hooks
        self._door = door
        self._boards = MemoryBoards()
        self._ledger = MemoryLedger()
        self._counted = MemoryQuotas()
        self._issued = MemoryKeys()
        self._answers = MemoryAnswers()
        self._lent = None if cache is None else LentAnswers(cache)
        self._kept = Memories(MemoryResponses(), MemorySignatures())

    def blueprint(self, settings: Settings) -> Blueprint:
        """
        Raises:
            ConfigError: they cannot work.
        """
        routes = [
            Route(route.model, route.target, tuple(Way(leg.target, leg.model, leg.on) for leg in route.fallback))
            for route in settings.routes
        ]
        targets = compile_targets(settings, self._transports)
        host = host_stores(settings.store)
        prices = compile_prices(settings, targets, host)
        telemetry = open_telemetry(settings, self.meters)
        billed = None if telemetry is None else self.meters.billed
        return Blueprint(
            settings=settings,
            targets=targets,
            ladder=Ladder(settings.targets, routes, settings.default_target),
            keys=SettingsKeys(settings.auth.keys),
            sinks=self._sinks,
            prices=prices,
            open_database=database_opener(settings.store),
            open_ledger=ledger_opener(settings, prices, self._ledger, host, billed),
            boards=self._boards,
            rules=compile_rules(settings.quotas),
            open_quotas=quotas_opener(settings, self._counted, host),
            budgets=None if host is None else host.budgets(),
            open_keys=keys_opener(settings, self._issued, host),
            open_history=history_opener(settings, self._kept, host),
            open_cache=self._cache_opener(settings),
            open_workshop=house_opener(settings),
            hooks=(*self._hooks, *compile_guards(settings.guards, partial(judge, self._door))),
            telemetry=telemetry,
        )

    def _cache_opener(self, settings: Settings) -> Callable[[], Cache] | None:
        open_store, kept = answers_opener(settings, self._answers, self._lent), settings.cache
        if open_store is None or kept is None:
            return None
        return lambda: Cache(kept, open_store())
