"""All targets with their workers, for one event loop."""

import asyncio
import random
from collections.abc import Collection, Mapping

from asgi_llm.errors import Cause, Kind, UpstreamError
from asgi_llm.providers.echo import EchoClient
from asgi_llm.routing.balance.interface import NO_FACTS, Clock, Facts
from asgi_llm.routing.balance.registry import POLICIES, build
from asgi_llm.routing.budget import Budget
from asgi_llm.routing.cooldown import Cooldown
from asgi_llm.routing.pace import Pace
from asgi_llm.routing.retry import cooling, rule_of
from asgi_llm.settings import LimitSettings
from asgi_llm.upstream.choose import open_client
from asgi_llm.upstream.interface import Client, ClientOptions

from .gate import gate_of
from .keys import KeyPool
from .target import Target
from .worker import Worker

__all__ = ["Crew", "Fleet"]

_BLIND = frozenset({"round_robin", "random", "weighted", "power_of_two"})
"""Policies that look at no request, and need not be told what is sent and what ends."""
_SILENT = 1.0
"""Seconds for which a worker that said 429, but not for how long, is passed over where there are others."""


class Crew:
    """The workers of one target.

    Attributes:
        reads: whether choosing among them takes more than their number: facts of the request.
        budget: of retries.
        cooldown: the workers that said they want to be left alone.
        keys: the target's keys where it has several, else None.
        gate: keeps to the target's ``concurrency``, or None.
        pace: how long answers took to begin, where a second attempt may be made beside a slow one, else None.
    """

    __slots__ = ("_policy", "budget", "cooldown", "gate", "keys", "pace", "reads", "target", "workers")

    def __init__(self, target: Target, clock: Clock, limits: LimitSettings) -> None:
        self.target = target
        settings = target.settings
        options = POLICIES[settings.balance].options(**settings.balance_options)
        self._policy = build(settings.balance, options, clock=clock, random=random.random)
        alone = len(target.options) == 1
        self.reads = not alone and settings.balance not in _BLIND
        self.budget = Budget(settings.retry.budget, clock())
        self.cooldown = Cooldown()
        self.keys = KeyPool(target.name, target.keys, settings.retry.cooldown) if target.keys else None
        self.gate = gate_of(settings.concurrency, limits)
        self.pace = None if settings.hedge is None else Pace(settings.hedge)
        self.workers = [
            Worker(
                target.name, index, options.base_url, _client(target, options), settings.breaker, weight, self._policy
            )
            for index, (options, weight) in enumerate(zip(target.options, target.weights, strict=True))
        ]

    def pick(self, tried: Collection[Worker], now: float, facts: Facts | None = None, model: str = "") -> Worker | None:
        """The worker for the next attempt: one that was not tried, whose breaker admits it and that is not cooling
        down for ``model``; None if there is none.

        ``now`` is seconds of the loop's clock.
        """
        workers = self.workers
        if self.keys is not None and self.keys.ready(now, model):
            return None
        if len(workers) == 1:
            worker = workers[0]
            if worker in tried or (worker.breaker.troubled and not worker.breaker.admits(now)):
                return None
            return None if self.cooldown and self.cooldown.until(worker.name, model, now) else worker
        fit = [worker for worker in workers if worker not in tried and worker.breaker.admits(now)]
        if self.cooldown:
            fit = [worker for worker in fit if not self.cooldown.until(worker.name, model, now)]
        return self._policy.pick(fit, facts or NO_FACTS) if fit else None

    def ready(self, tried: Collection[Worker], now: float, model: str) -> float | None:
        """When a worker that was not tried can be asked whose only fault is that it, or every key, is cooling down;
        ``now`` or earlier where one can be asked at once; None where there is no such worker."""
        ends = [
            self.cooldown.until(worker.name, model, now)
            for worker in self.workers
            if worker not in tried and worker.breaker.admits(now)
        ]
        if not ends:
            return None
        return min(ends) if self.keys is None else max(min(ends), self.keys.ready(now, model))

    def learn(self, worker: Worker, key: int | None, error: UpstreamError, model: str, now: float) -> None:
        """Remembers what a failed attempt says about later ones: who wants to be left alone, and for how long."""
        if key is not None and self.keys is not None and rule_of(error).key:
            self.keys.failed(key, error, model, now)
            return
        seconds = cooling(error)
        if seconds is None:
            return
        if not seconds and len(self.workers) > 1:
            seconds = _SILENT
        if seconds := min(seconds, self.target.settings.retry.cooldown):
            self.cooldown.begin(worker.name, model, now + seconds, now)

    def unavailable(self, now: float, model: str) -> UpstreamError:
        """Why nobody can be asked at all: they are at their limits, or they are out of order."""
        until = self.ready((), now, model)
        if until is not None and until > now:
            return UpstreamError(
                "every worker for this model is at its limit; try again later",
                cause=Cause.UNAVAILABLE,
                kind=Kind.RATE_LIMIT,
                code="all_workers_cooling_down",
                retry_after=until - now,
            )
        opens = [worker.breaker.opens(now) for worker in self.workers]
        return UpstreamError(
            "no worker is available for this model now; try again later",
            cause=Cause.UNAVAILABLE,
            kind=Kind.OVERLOADED,
            code="no_available_workers",
            retry_after=max(1.0, min(opens, default=now) - now),
        )


class Fleet:
    """Every target's crew by name. Opening it opens no connection."""

    __slots__ = ("crews",)

    def __init__(self, targets: Mapping[str, Target], clock: Clock, limits: LimitSettings) -> None:
        self.crews = {name: Crew(target, clock, limits) for name, target in targets.items()}

    async def aclose(self) -> None:
        """Closes every worker's connections."""
        workers = [worker for crew in self.crews.values() for worker in crew.workers]
        await asyncio.gather(*(worker.client.aclose() for worker in workers))


def _client(target: Target, options: ClientOptions) -> Client:
    return EchoClient() if target.provider.embedded else open_client(options, target.transport)
