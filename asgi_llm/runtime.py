"""What is bound to one event loop: the fleet's clients, the tasks the gateway owns, the exchanges in flight.

Opening it needs no ``await`` and does no I/O, so that the first request can do it where no lifespan was run.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Protocol

from asgi_llm.fleet.fleet import Fleet
from asgi_llm.fleet.gate import gate_of
from asgi_llm.fleet.listing import Listing
from asgi_llm.fleet.roster import BOARD, Roster
from asgi_llm.fleet.target import Target
from asgi_llm.hooks import Hook
from asgi_llm.keys.ring import KeyRing
from asgi_llm.lookout import Lookout
from asgi_llm.metering.prices import Prices
from asgi_llm.quotas.book import Book
from asgi_llm.quotas.budgets import Budgets
from asgi_llm.quotas.rules import Rule
from asgi_llm.routing.access import Access
from asgi_llm.routing.pins import Pins
from asgi_llm.routing.resolve import Ladder
from asgi_llm.settings import Settings
from asgi_llm.stores.keys import SettingsKeys
from asgi_llm.stores.memory.boards import MemoryBoards
from asgi_llm.stores.opening import boards_opener
from asgi_llm.telemetry.telemetry import Telemetry
from asgi_llm.upstream.download import Downloader

if TYPE_CHECKING:
    from asgi_llm.exchange import Exchange
    from asgi_llm.history.history import Historian
    from asgi_llm.pipeline.account import Draft
    from asgi_llm.pipeline.plan import Plan
    from asgi_llm.pipeline.recall import Cache
    from asgi_llm.stores.opening import KeysOpener, QuotasOpener
    from asgi_llm.stores.quotas import QuotaSource
    from asgi_llm.stores.sql.database import Database
    from asgi_llm.stores.writer import LedgerWriter

__all__ = ["Blueprint", "Runtime", "Sink", "Workshop"]

logger = logging.getLogger("asgi_llm")

Sink = Callable[["Exchange"], Awaitable[None] | None]
"""Told of every settled exchange."""


class Workshop(Protocol):
    """Runs tools for requests whose upstream has none of them."""

    async def open(self, runtime: "Runtime", exchange: "Exchange") -> None:
        """Called once there is a plan.

        Raises:
            AsgiLLMError: the request asks for a tool that it must not have, or that is not to be had now.
        """
        ...

    async def aclose(self) -> None: ...


class Blueprint:
    """What every runtime of a gateway shares: settings and all that was compiled from them. Immutable."""

    __slots__ = (
        "access", "budgets", "hooks", "keyed", "keys", "ladder", "open_boards", "open_cache", "open_database",
        "open_history", "open_keys", "open_ledger", "open_quotas", "open_workshop", "pins", "prices", "roster", "rules",
        "settings", "sinks", "targets", "telemetry",
    )  # fmt: skip

    def __init__(
        self,
        settings: Settings,
        targets: Mapping[str, Target],
        ladder: Ladder,
        keys: SettingsKeys,
        sinks: tuple[Sink, ...] = (),
        *,
        prices: Prices,
        open_database: "Callable[[], Database] | None" = None,
        open_ledger: "Callable[[Database | None], LedgerWriter[Draft]] | None" = None,
        rules: tuple[Rule, ...] = (),
        open_quotas: "QuotasOpener | None" = None,
        budgets: "QuotaSource | None" = None,
        open_keys: "KeysOpener | None" = None,
        boards: MemoryBoards | None = None,
        open_history: "Callable[[Runtime], Historian] | None" = None,
        open_workshop: "Callable[[Runtime], Workshop] | None" = None,
        hooks: tuple[Hook, ...] = (),
        open_cache: "Callable[[], Cache] | None" = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        """``boards`` are those in memory, which outlive a change of settings; used where no others are configured."""
        self.settings = settings
        self.targets = targets
        self.ladder = ladder
        self.keys = keys
        self.keyed = len(keys) > 0
        self.sinks = sinks
        self.hooks = hooks
        self.open_cache = open_cache
        self.prices = prices
        self.open_database = open_database
        self.open_ledger = open_ledger
        self.pins = Pins({name: _pin_key(settings, name) for name in targets})
        self.rules = rules
        self.access = Access.of(settings.access)
        self.open_quotas = open_quotas
        self.budgets = budgets
        self.open_keys = open_keys
        self.roster = Roster(targets)
        boards = boards or MemoryBoards()
        self.open_boards = boards_opener(settings.state, boards)
        self.roster.follow(boards.board(BOARD))
        self.open_history = open_history
        self.open_workshop = open_workshop
        self.telemetry = telemetry


def _pin_key(settings: Settings, target: str) -> bytes | None:
    """What ids of things that ``target`` keeps are signed with: the same in every process, and known to nobody else."""
    if settings.endpoints.id_key is not None:
        return settings.endpoints.id_key.get_secret_value().encode()
    item = settings.targets[target]
    key = item.api_keys[0] if item.api_keys else item.api_key
    return None if key is None else sha256(b"asgi-llm ids\0" + key.get_secret_value().encode()).digest()


class Runtime:
    """One event loop's share of a gateway.

    Attributes:
        active: exchanges in flight, counted by ``handle``.
        attends: hooks, quotas, a cache, conversations or the like may go along with an exchange, or this fetches media.
        cache: answers that may be given again; None where none may.
        gate: keeps to ``limits.concurrency``, or None.
        governed: there is something to see to between plan and attempt, whoever calls.
        database: where the stores of the settings are, where that is a SQL database; nothing is connected before it
            is used.
        history: what is remembered between requests; None where nothing is.
        ledger: where settled exchanges are recorded; None where no ledger is kept.
        lookout: tells callers that they wait for long.
        keyring: the keys that were issued; None where none are.
        quotas: what limits callers; None where nothing does.
        media: fetches what requests give by URL, where the settings let it.
        max_body: the settings' limit, in bytes; ``long_body`` is how many digits it has.
        stopping: shutting down; new requests are refused.
        telemetry: told of every exchange; None where nobody wants to know.
        users: how many hold it open (``Gateway.running``).
        workshop: runs tools that upstreams lack; None where the settings name none.
        plans: remembered plans by (dialect, model, named target), bounded.
    """

    __slots__ = (
        "_count",
        "_idle",
        "_prefix",
        "_sentinel",
        "_tasks",
        "active",
        "attends",
        "blueprint",
        "cache",
        "database",
        "fleet",
        "gate",
        "governed",
        "history",
        "keyring",
        "ledger",
        "listing",
        "long_body",
        "lookout",
        "loop",
        "max_body",
        "media",
        "plans",
        "quotas",
        "stopping",
        "telemetry",
        "users",
        "workshop",
    )

    def __init__(self, blueprint: Blueprint) -> None:
        self.loop = asyncio.get_running_loop()
        self.blueprint = blueprint
        self.telemetry = blueprint.telemetry
        limits = blueprint.settings.limits
        self.fleet = Fleet(
            blueprint.targets,
            self.loop.time,
            limits,
            blueprint.roster,
            blueprint.open_boards(),
            interval=blueprint.settings.state.interval,
            grace=blueprint.settings.admin.drain_timeout,
        )
        self.max_body = limits.body
        self.long_body = len(str(limits.body))
        self.gate = gate_of(limits.concurrency, limits)
        self.listing = Listing(self.fleet)
        self.lookout = Lookout(self.loop)
        media = blueprint.settings.media
        self.media = Downloader(media, self.loop.time) if media.hosts else None
        self.database = blueprint.open_database() if blueprint.open_database is not None else None
        self.ledger = blueprint.open_ledger(self.database) if blueprint.open_ledger is not None else None
        self.history = blueprint.open_history(self) if blueprint.open_history is not None else None
        self.workshop = blueprint.open_workshop(self) if blueprint.open_workshop is not None else None
        self.cache = blueprint.open_cache() if blueprint.open_cache is not None else None
        seen_to = (blueprint.access, self.cache, self.history, self.workshop, self.ledger, self.gate)
        traces = self.telemetry is not None and self.telemetry.tracing is not None
        file_ids = blueprint.settings.endpoints.file_ids
        self.governed = traces or file_ids or any(one is not None for one in seen_to)
        self.active = 0
        self.stopping = False
        self.users = 0
        self.plans: dict[tuple[str, str, str | None], Plan] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self.quotas = self._open_quotas()
        self.attends = bool(self.governed or blueprint.hooks) or self.quotas is not None or self.media is not None
        self.keyring = self._open_keys()
        self._prefix = f"req_{secrets.token_hex(8)}_"
        self._count = 0
        self.fleet.start(self.spawn)
        self._sentinel = self._close_with_loop()
        self._arm_sentinel()

    def new_id(self) -> str:
        """A request id: unique, not secret."""
        self._count += 1
        return f"{self._prefix}{self._count}"

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """A task that the gateway owns: kept until it ends, its failure logged, cancelled at shutdown."""
        task = self.loop.create_task(coroutine, name=f"asgi-llm {name}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def left(self) -> None:
        """An exchange has ended while the runtime waits for the last one to."""
        if not self.active:
            self._idle.set()

    async def retire(self) -> None:
        """Closes when the last of the exchanges in flight has ended, however long that takes; no new one comes here."""
        self.stopping = True
        self.fleet.rest()
        if self.active:
            await self._idle.wait()
        await self.aclose()

    async def aclose(self, grace: float | None = None) -> None:
        """Refuses new exchanges, lets those in flight end within ``grace`` seconds (default: the settings'), then
        cancels what is left and closes every connection."""
        self.stopping = True
        self.fleet.rest()
        if grace is None:
            grace = self.blueprint.settings.limits.shutdown_grace
        if self.active and grace:
            logger.info("waiting up to %.0f seconds for %d running requests", grace, self.active)
            try:
                await asyncio.wait_for(self._idle.wait(), grace)
            except TimeoutError:
                logger.warning("%d requests did not end in time and are cut off", self.active)
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        if self.active == 0:
            # Settlements that still run are let finish: they are short, and nothing may be lost.
            await asyncio.wait(tasks, timeout=grace) if tasks else None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.lookout.close()
        await self.fleet.aclose()
        if self.workshop is not None:
            await self.workshop.aclose()
        if self.keyring is not None:
            await self.keyring.aclose()
        if self.cache is not None:
            await self.cache.store.aclose()
        if self.quotas is not None:
            await self.quotas.aclose()
        if self.ledger is not None:
            await self.ledger.aclose(grace)
        if self.database is not None:
            await self.database.aclose()

    def _open_quotas(self) -> Book | None:
        blueprint = self.blueprint
        rules, source = blueprint.rules, blueprint.budgets
        if blueprint.open_quotas is None or not (rules or source):
            return None
        budgets = None if source is None else Budgets(source, rules)
        return Book(rules, blueprint.open_quotas(self.database), self.spawn, budgets=budgets)

    def _open_keys(self) -> KeyRing | None:
        blueprint = self.blueprint
        issued = blueprint.settings.auth.issued
        if issued is None or blueprint.open_keys is None:
            return None
        return KeyRing(issued, blueprint.open_keys(self.database), self.spawn)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("the task %r failed", task.get_name(), exc_info=error)

    async def _close_with_loop(self) -> AsyncIterator[None]:
        # Servers and asyncio.run() end a loop by closing its open asynchronous generators. This one sleeps in its
        # yield until then, so that connections are closed even where no lifespan was ever run.
        try:
            yield
        finally:
            if not self.stopping:
                await self.aclose(0)

    def _arm_sentinel(self) -> None:
        try:
            self._sentinel.__anext__().__await__().send(None)
        except StopIteration:
            return
