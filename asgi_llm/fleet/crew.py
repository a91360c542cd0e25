"""The workers of one target: who they are now, and which of them is next."""

import asyncio
import random
from collections.abc import Collection

from asgi_llm.routing.balance.interface import NO_FACTS, Clock, Facts, Policy
from asgi_llm.routing.balance.least_load import LeastLoad
from asgi_llm.routing.balance.registry import POLICIES, build
from asgi_llm.routing.balance.sticky import Sticky
from asgi_llm.settings import HealthSettings, LimitSettings

from .member import Member
from .pair import Pair, blamed
from .restraint import Restraint
from .station import Station
from .target import Target
from .warmth import Warmth
from .worker import Worker

__all__ = ["Crew"]

_BLIND = frozenset({"round_robin", "random", "weighted", "power_of_two"})
"""Policies that look at no request, and need not be told what is sent and what ends."""


class Crew:
    """The workers of one target. Workers come and go; whoever picks always sees those of now.

    Attributes:
        reads: whether choosing among them takes more than their number: facts of the request.
        stations: by key, in the order in which they came.
        workers: all of all stations.
        plain: whether nothing has to be found out, and no place to be taken, before one is chosen.
        pooled: whether one of several keys has to be chosen.
        policy: how one is chosen; of pairs the prefill worker, whose cache is the one that counts.
        remembers: whether the policy wants to know what each worker has made.
        restraint: what holds requests back.
        health: how they are probed; None where they are not.
        discovers: whether they are asked which models they have.
        knows: whether of any of them it is known which models it has.
        looking, looked: the look that is being had for a model that nobody is known to have, and when the last began.
    """

    __slots__ = (
        "_clock", "_decoding", "_even", "_index", "_paired", "_troubled", "_uneven", "discovers", "health", "knows",
        "looked", "looking", "plain", "policy", "pooled", "reads", "remembers", "restraint", "stations", "target",
        "warmth", "workers",
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
        slow_start = (settings.health or HealthSettings()).slow_start  # also where nobody is probed
        self.warmth = Warmth(slow_start, random.random)
        strict = target.provider.strict_models and len(target.members) > 1
        self.discovers = strict if settings.discover is None else settings.discover
        self.stations: dict[str, Station] = {}
        self.workers: list[Worker] = []
        self._troubled: set[Worker] = set()
        self.pooled = self.restraint.keys is not None
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
        self._troubled.difference_update(station.workers)
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
        self.plain = not (self.reads or self.knows) and self.restraint.gate is None
        self._even = (
            bool(self.workers)
            and not (self._uneven or self._paired or self.pooled)
            and all(worker.fit for worker in self.workers)
        )

    def pick(self, tried: Collection[Worker], now: float, facts: Facts | None = None, model: str = "") -> Worker | None:
        """The worker for the next attempt: one that was not tried, whose breaker admits it and that is not cooling
        down for ``model``; None if there is none.

        ``now`` is seconds of the loop's clock.
        """
        workers = self.workers
        restraint = self.restraint
        if self._even and not tried and not self._troubled and not restraint.cooldown.ends:
            # Nobody has to be passed over: however many there are, none of them is looked at for it.
            return workers[0] if len(workers) == 1 else self.policy.pick(workers, facts or NO_FACTS)
        if self._paired:
            return self._pick_pair(tried, now, facts or NO_FACTS, model)
        if restraint.cooldown.ends or restraint.keys is not None:
            workers = restraint.rested(workers, now, model)
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
        station = Station(self.target, member, self._index, policy, self.health, self._troubled, known=known)
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
