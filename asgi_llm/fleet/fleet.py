"""All targets with their workers, for one event loop: who they are now, and which of them is next."""

import asyncio
import logging
import random
from collections.abc import Callable, Collection, Coroutine, Mapping
from typing import Any

import msgspec

from asgi_llm.routing.balance.interface import NO_FACTS, Clock, Facts, Policy
from asgi_llm.routing.balance.least_load import LeastLoad
from asgi_llm.routing.balance.registry import POLICIES, build
from asgi_llm.routing.balance.sticky import Sticky
from asgi_llm.settings import HealthSettings, LimitSettings
from asgi_llm.stores.boards import Boards
from asgi_llm.stores.memory.boards import MemoryBoards

from .discovery import learn
from .member import Member
from .pair import Pair, blamed
from .probes import keep_probing
from .reports import keep_asking
from .restraint import Restraint
from .roster import BOARD, Change, Roster
from .station import Station
from .step import keep_in_step, sync
from .target import Target
from .warmth import Warmth
from .worker import Worker

__all__ = ["Crew", "Fleet", "Spawn"]

logger = logging.getLogger("asgi_llm")

Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]
"""Starts a task that the runtime owns, with a name."""

_BLIND = frozenset({"round_robin", "random", "weighted", "power_of_two"})
"""Policies that look at no request, and need not be told what is sent and what ends."""


class Crew:
    """The workers of one target. Workers come and go; whoever picks always sees those of now.

    Attributes:
        reads: whether choosing among them takes more than their number: facts of the request.
        stations: by key, in the order in which they came.
        workers: all of all stations.
        policy: how one is chosen; of pairs the prefill worker, whose cache is the one that counts.
        remembers: whether the policy wants to know what each worker has made.
        restraint: what holds requests back.
        health: how they are probed; None where they are not.
        discovers: whether they are asked which models they have.
        knows: whether of any of them it is known which models it has.
        looking, looked: the look that is being had for a model that nobody is known to have, and when the last began.
    """

    __slots__ = (
        "_clock", "_decoding", "_index", "_paired", "_uneven", "discovers", "health", "knows", "looked", "looking",
        "policy", "reads", "remembers", "restraint", "stations", "target", "warmth", "workers",
    )  # fmt: skip

    def __init__(self, target: Target, clock: Clock, limits: LimitSettings) -> None:
        self.target = target
        self.restraint = Restraint(target, clock, limits)
        self._clock = clock
        settings = target.settings
        options = POLICIES[settings.balance].options(**settings.balance_options)
        self.policy = build(settings.balance, options, clock=clock, random=random.random)
        self._decoding: Policy = LeastLoad()
        self.health = _health(target, len(target.members))
        slow_start = (self.health or HealthSettings()).slow_start
        self.warmth = Warmth(slow_start, random.random)
        strict = target.provider.strict_models and len(target.members) > 1
        self.discovers = strict if settings.discover is None else settings.discover
        self.stations: dict[str, Station] = {}
        self.workers: list[Worker] = []
        self._index = 0
        self.looking: asyncio.Future[None] | None = None
        self.looked = float("-inf")
        for member in target.members:
            self._put(member, known=True)
        self.changed()

    def add(self, member: Member) -> Station:
        """Takes in a worker. Where workers are probed it must first be seen to be well; then it starts slowly."""
        self.health = self.health or _health(self.target, len(self.stations) + 1)
        for other in self.stations.values():
            other.is_probed_by(self.health)
        station = self._put(member, known=False)
        if station.state == "ready":
            self._welcome(station)
        self.changed()
        return station

    def remove(self, key: str) -> Station:
        """Lets a worker go: nothing new is sent to it. Whoever asked waits for what still runs, and closes it.

        Raises:
            KeyError: there is no such worker.
        """
        station = self.stations.pop(key)
        station.draining = True
        station.refit()
        for worker in station.workers:
            self.warmth.forget(worker)
            worker.left()
        self.changed()
        return station

    def drain(self, key: str, *, draining: bool) -> None:
        """Sends nothing new to a worker, or sends to it again.

        Raises:
            KeyError: there is no such worker.
        """
        station = self.stations[key]
        if station.draining != draining:
            station.draining = draining
            station.refit()
            if station.state == "ready":
                self._welcome(station)
            self.changed()

    def heard(self, station: Station, probe: int, *, well: bool) -> bool:
        """The result of a probe; whether the worker is back because of it."""
        assert station.health is not None  # noqa: S101  # who is not probed has no results
        if not station.health.tell(probe, well=well) or station.key not in self.stations:
            return False
        station.refit()
        back = station.state == "ready"
        if back:
            self._welcome(station)
        self.changed()
        return back

    def changed(self) -> None:
        """Works out what picking must look at. To be called whenever a station has changed."""
        self.workers = [worker for station in self.stations.values() for worker in station.workers]
        self.knows = any(station.models is not None for station in self.stations.values())
        self._uneven = self.knows or bool(self.warmth)
        self._paired = any(station.role != "regular" for station in self.stations.values())
        self.reads = len(self.workers) > 1 and self.target.settings.balance not in _BLIND
        self.remembers = self.reads and isinstance(self.policy, Sticky)

    def pick(self, tried: Collection[Worker], now: float, facts: Facts | None = None, model: str = "") -> Worker | None:
        """The worker for the next attempt: one that was not tried, whose breaker admits it and that is not cooling
        down for ``model``; None if there is none.

        ``now`` is seconds of the loop's clock.
        """
        workers = self.workers
        restraint = self.restraint
        if self._paired:
            return self._pick_pair(tried, now, facts or NO_FACTS, model)
        if restraint.cooldown or restraint.keys is not None:
            workers = restraint.rested(workers, now, model)
        if len(workers) == 1 and workers is self.workers:
            worker = workers[0]
            if worker in tried or not worker.fit or (worker.breaker.troubled and not worker.breaker.admits(now)):
                return None
            return worker
        fit = [worker for worker in workers if worker.fit and worker not in tried and worker.breaker.admits(now)]
        if self._uneven:
            fit = self._narrowed(fit, now, model)
        return self.policy.pick(fit, facts or NO_FACTS) if fit else None

    def _pick_pair(self, tried: Collection[Worker], now: float, facts: Facts, model: str) -> Worker | None:
        failed = blamed(tried)
        rested = self.restraint.rested(self.workers, now, model)
        fit = [worker for worker in rested if worker.fit and worker not in failed and worker.breaker.admits(now)]
        prefill = self._narrowed([worker for worker in fit if worker.station.role == "prefill"], now, model)
        decode = self._narrowed([worker for worker in fit if worker.station.role == "decode"], now, model)
        if not prefill or not decode:
            return None
        return Pair(self.policy.pick(prefill, facts), self._decoding.pick(decode, facts))

    def _narrowed(self, fit: list[Worker], now: float, model: str) -> list[Worker]:
        if model:
            fit = [worker for worker in fit if worker.station.has(model)]
        if self.warmth:
            fit = self.warmth.let_through(fit, now)
            if not self.warmth:
                self.changed()
        return fit

    def has(self, model: str) -> bool:
        """Whether any worker may have ``model``, as far as is known."""
        return any(station.has(model) for station in self.stations.values()) or not self.stations

    def _put(self, member: Member, *, known: bool) -> Station:
        policy = self._decoding if member.settings.role == "decode" else self.policy
        station = Station(self.target, member, self._index, policy, self.health, known=known)
        self._index += 1
        self.stations[station.key] = station
        return station

    def _welcome(self, station: Station) -> None:
        now = self._clock()
        for worker in station.workers:
            self.warmth.begin(worker, now)
            worker.joined()


def _health(target: Target, workers: int) -> HealthSettings | None:
    settings, provider = target.settings.health, target.provider
    if settings is None:
        # With one worker there is nobody to pass it over for.
        return HealthSettings() if provider.health_path is not None and workers > 1 else None
    if not settings.interval or (settings.path is None and provider.health_path is None) or provider.embedded:
        return None
    return settings


class Fleet:
    """Every target's crew by name. Opening it opens no connection; what it does by itself begins with ``start``."""

    __slots__ = ("_grace", "_interval", "_leaving", "_spawn", "_tasks", "_watch", "boards", "clock", "crews", "roster")

    def __init__(
        self,
        targets: Mapping[str, Target],
        clock: Clock,
        limits: LimitSettings,
        roster: Roster | None = None,
        boards: Boards | None = None,
        *,
        interval: float = 1,
        grace: float = 0,
    ) -> None:
        """``roster`` and ``boards`` say who comes and goes at run time; ``interval`` is the seconds between two looks
        at boards that others share, ``grace`` those that exchanges get on a worker that goes, 0 for all they need."""
        self.clock = clock
        self.roster = roster or Roster(targets)
        self.boards = boards or MemoryBoards()
        self._grace = grace
        self._interval = interval
        self._spawn: Spawn | None = None
        self._tasks: dict[Station, dict[str, asyncio.Task[None]]] = {}
        self._leaving: set[Station] = set()
        self._watch: asyncio.Task[None] | None = None
        self.crews = {name: Crew(target, clock, limits) for name, target in targets.items()}

    def start(self, spawn: Spawn) -> None:
        """Begins to look after the workers: probes, questions about their models and load."""
        self._spawn = spawn
        self.roster.listen(asyncio.get_running_loop(), self.follow)
        for crew in self.crews.values():
            self._tend(crew)
        self.follow()
        if self.boards.shared:
            self._watch = spawn(keep_in_step(self.roster, self.boards, self._interval), "watch of the shared state")

    def follow(self) -> None:
        """Makes the fleet what the roster says. Workers that stay as they were keep their connections and state."""
        for name, crew in self.crews.items():
            seats = self.roster.seats(crew.target)
            for key, station in list(crew.stations.items()):
                if key not in seats or seats[key].member.settings != station.member.settings:
                    self.remove(name, key)
            for key, seat in seats.items():
                if key not in crew.stations:
                    self.add(name, seat.member)
                crew.drain(key, draining=seat.draining)

    async def change(self, changes: Mapping[str, Change | None]) -> None:
        """Changes who is wanted, by worker's id, here and in every other process.

        Raises:
            StoreError: it is not known whether the others will hear of it.
        """
        told = {name: None if change is None else msgspec.json.encode(change) for name, change in changes.items()}
        await self.boards.write(BOARD, told)
        await sync(self.roster, self.boards)
        self.follow()

    def rest(self) -> None:
        """Stops what ``start`` began. Requests are served as before."""
        if self._spawn is None:
            return
        self._spawn = None
        self.roster.forget(asyncio.get_running_loop())
        if self._watch is not None:
            self._watch.cancel()
        for crew in self.crews.values():
            if crew.looking is not None:
                crew.looking.cancel()
        tasks, self._tasks = self._tasks, {}
        for task in (task for several in tasks.values() for task in several.values()):
            task.cancel()

    def add(self, target: str, member: Member) -> Station:
        """Takes in a worker.

        Raises:
            KeyError: there is no such target.
        """
        crew = self.crews[target]
        station = crew.add(member)
        self._tend(crew)
        return station

    def remove(self, target: str, key: str) -> None:
        """Lets a worker go. Its connections are closed when what runs on it has ended, or the grace is over.

        Raises:
            KeyError: there is no such target or worker.
        """
        station = self.crews[target].remove(key)
        for task in self._tasks.pop(station, {}).values():
            task.cancel()
        self._leaving.add(station)
        if self._spawn is not None:
            self._spawn(self._see_off(station), "closing of a worker")

    async def aclose(self) -> None:
        """Closes every worker's connections."""
        self.rest()
        stations = [*self._leaving, *(station for crew in self.crews.values() for station in crew.stations.values())]
        await asyncio.gather(*(station.client.aclose() for station in stations))
        await self.boards.aclose()

    def _tend(self, crew: Crew) -> None:
        """Begins to look after the stations of ``crew`` that nobody looks after yet."""
        if self._spawn is None or crew.target.provider.embedded:
            return
        for station in crew.stations.values():
            tasks = self._tasks.setdefault(station, {})
            if crew.health is not None and "probe" not in tasks:
                tasks["probe"] = self._spawn(keep_probing(crew, station, crew.health), "probe")
            if crew.discovers and "models" not in tasks:
                tasks["models"] = self._spawn(learn(crew, station), "question for models")
            interval = crew.target.settings.report_interval if crew.target.provider.load_paths else 0
            if isinstance(crew.policy, LeastLoad) and crew.reads and interval and "load" not in tasks:
                tasks["load"] = self._spawn(keep_asking(crew.policy, station, interval), "question for load")

    async def _see_off(self, station: Station) -> None:
        try:
            await asyncio.wait_for(station.empty(), self._grace or None)
        except TimeoutError:
            logger.warning("%s was removed and is closed with %d exchanges running", station, station.load)
        finally:
            self._leaving.discard(station)
            await station.client.aclose()
