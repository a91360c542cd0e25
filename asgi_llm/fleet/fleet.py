"""All targets with their workers, for one event loop."""

import asyncio
from collections.abc import Collection, Mapping

from asgi_llm.providers.echo import EchoClient
from asgi_llm.routing.balance.round_robin import RoundRobin
from asgi_llm.upstream.choose import open_client
from asgi_llm.upstream.interface import Client, ClientOptions

from .target import Target
from .worker import Worker

__all__ = ["Crew", "Fleet"]


class Crew:
    """The workers of one target."""

    __slots__ = ("_balance", "target", "workers")

    def __init__(self, target: Target) -> None:
        self.target = target
        self.workers = [
            Worker(target.name, index, options.base_url, _client(target, options), target.settings.breaker)
            for index, options in enumerate(target.options)
        ]
        self._balance = RoundRobin()

    def pick(self, tried: Collection[Worker], now: float) -> Worker | None:
        """The worker for the next attempt: one that was not tried and whose breaker admits it; None if there is none.

        ``now`` is seconds of the loop's clock.
        """
        workers = self.workers
        if len(workers) == 1:
            worker = workers[0]
            if worker in tried or (worker.breaker.troubled and not worker.breaker.admits(now)):
                return None
            return worker
        fit = [
            worker
            for worker in workers
            if worker not in tried and (not worker.breaker.troubled or worker.breaker.admits(now))
        ]
        return self._balance.pick(fit) if fit else None


class Fleet:
    """Every target's crew by name. Opening it opens no connection."""

    __slots__ = ("crews",)

    def __init__(self, targets: Mapping[str, Target]) -> None:
        self.crews = {name: Crew(target) for name, target in targets.items()}

    async def aclose(self) -> None:
        """Closes every worker's connections."""
        workers = [worker for crew in self.crews.values() for worker in crew.workers]
        await asyncio.gather(*(worker.client.aclose() for worker in workers))


def _client(target: Target, options: ClientOptions) -> Client:
    return EchoClient() if target.provider.embedded else open_client(options, target.transport)
