"""All targets with their workers, for one event loop."""

import asyncio
import random
from collections.abc import Collection, Mapping

from asgi_llm.providers.echo import EchoClient
from asgi_llm.routing.balance.interface import NO_FACTS, Clock, Facts
from asgi_llm.routing.balance.registry import POLICIES, build
from asgi_llm.upstream.choose import open_client
from asgi_llm.upstream.interface import Client, ClientOptions

from .target import Target
from .worker import Worker

__all__ = ["Crew", "Fleet"]

_BLIND = frozenset({"round_robin", "random", "weighted", "power_of_two"})
"""Policies that look at no request, and need not be told what is sent and what ends."""


class Crew:
    """The workers of one target.

    Attributes:
        reads: whether choosing among them takes more than their number: facts of the request.
    """

    __slots__ = ("_policy", "reads", "target", "workers")

    def __init__(self, target: Target, clock: Clock) -> None:
        self.target = target
        settings = target.settings
        options = POLICIES[settings.balance].options(**settings.balance_options)
        self._policy = build(settings.balance, options, clock=clock, random=random.random)
        alone = len(target.options) == 1
        self.reads = not alone and settings.balance not in _BLIND
        self.workers = [
            Worker(
                target.name, index, options.base_url, _client(target, options), settings.breaker, weight, self._policy
            )
            for index, (options, weight) in enumerate(zip(target.options, target.weights, strict=True))
        ]

    def pick(self, tried: Collection[Worker], now: float, facts: Facts | None = None) -> Worker | None:
        """The worker for the next attempt: one that was not tried and whose breaker admits it; None if there is none.

        ``now`` is seconds of the loop's clock.
        """
        workers = self.workers
        if len(workers) == 1:
            worker = workers[0]
            if worker in tried or (worker.breaker.troubled and not worker.breaker.admits(now)):
                return None
            return worker
        fit = [worker for worker in workers if worker not in tried and worker.breaker.admits(now)]
        return self._policy.pick(fit, facts or NO_FACTS) if fit else None


class Fleet:
    """Every target's crew by name. Opening it opens no connection."""

    __slots__ = ("crews",)

    def __init__(self, targets: Mapping[str, Target], clock: Clock) -> None:
        self.crews = {name: Crew(target, clock) for name, target in targets.items()}

    async def aclose(self) -> None:
        """Closes every worker's connections."""
        workers = [worker for crew in self.crews.values() for worker in crew.workers]
        await asyncio.gather(*(worker.client.aclose() for worker in workers))


def _client(target: Target, options: ClientOptions) -> Client:
    return EchoClient() if target.provider.embedded else open_client(options, target.transport)
