"""All targets with their workers, for one event loop: looks after them, and follows what is changed at run time."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import msgspec

from asgi_llm.routing.balance.interface import Clock
from asgi_llm.routing.balance.least_load import LeastLoad
from asgi_llm.settings import LimitSettings
from asgi_llm.stores.boards import Boards
from asgi_llm.stores.memory.boards import MemoryBoards

from .crew import Crew
from .discovery import learn
from .member import Member
from .probes import keep_probing
from .reports import keep_asking
from .roster import BOARD, Change, Roster
from .station import Station
from .step import keep_in_step, sync
from .target import Target

__all__ = ["Fleet", "Spawn"]

logger = logging.getLogger("asgi_llm")

Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]
"""Starts a task that the runtime owns, with a name."""


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
