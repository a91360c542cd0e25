"""One address of a target, live: its client, its health, and the worker, or the ranks, behind it."""

import asyncio

from asgi_llm.providers.echo import EchoClient
from asgi_llm.routing.balance.interface import Policy
from asgi_llm.settings import HealthSettings
from asgi_llm.upstream.choose import open_client
from asgi_llm.upstream.interface import Client

from .health import Health
from .member import Member
from .target import Target
from .variation import variation_of
from .worker import Worker

__all__ = ["Station"]


class Station:
    """Bound to one event loop through its client. Nothing is opened before the first request.

    Attributes:
        key: its base URL.
        health: what probes say, or None where nobody probes.
        models: those it said it has; None where that is not known.
        workers: one, or one for each rank; they share the client.
        draining: it gets no new exchanges.
    """

    __slots__ = ("_empty", "client", "draining", "health", "key", "member", "models", "target", "workers")

    def __init__(
        self,
        target: Target,
        member: Member,
        index: int,
        policy: Policy,
        health: HealthSettings | None,
        troubled: set[Worker],
        *,
        known: bool,
    ) -> None:
        self.target = target
        self.member = member
        self.key = member.key
        self.client: Client = (
            EchoClient() if target.provider.embedded else open_client(member.options, target.transport)
        )
        self.health: Health | None = None
        self.is_probed_by(health, known=known)
        self.models: frozenset[str] | None = frozenset(member.settings.models) or None
        self.draining = False
        self._empty: asyncio.Event | None = None
        ranks = range(member.settings.dp_size) if member.settings.dp_size > 1 else (None,)
        self.workers = [self._worker(index, rank, policy, troubled) for rank in ranks]
        self.refit()

    @property
    def role(self) -> str:
        """``regular``, ``prefill`` or ``decode``."""
        return self.member.settings.role

    def _worker(self, index: int, rank: int | None, policy: Policy, troubled: set[Worker]) -> Worker:
        name = f"{self.target.name}#{index}"
        return Worker(
            self.target.name,
            name if rank is None else f"{name}@{rank}",
            self.key if rank is None else f"{self.key}@{rank}",
            self.client,
            self.target.settings.breaker,
            self.member.settings.weight,
            policy=policy,
            troubled=troubled,
            station=self,
            rank=rank,
            variation=variation_of(self.member, self.target.provider, rank),
        )

    def is_probed_by(self, health: HealthSettings | None, *, known: bool = True) -> None:
        """From now on, if it was not before. ``known``: it is taken to be well until probes say otherwise."""
        if self.health is None and health is not None:
            self.health = Health(health, known=known)

    @property
    def state(self) -> str:
        """``starting``, ``ready``, ``unhealthy`` or ``draining``."""
        return "draining" if self.draining else self.health.state if self.health is not None else "ready"

    @property
    def load(self) -> int:
        return sum(worker.load for worker in self.workers)

    def refit(self) -> None:
        """Lets the workers know whether they may be picked."""
        for worker in self.workers:
            worker.fit = self.state == "ready"

    def rested(self) -> None:
        """Told when an exchange ends while its worker is not fit: whoever waits for the last one hears of it."""
        if self._empty is not None and not self.load:
            self._empty.set()

    async def empty(self) -> None:
        """Returns when no exchange is left. Nothing new may come, or this could take for ever."""
        if self.load:
            self._empty = asyncio.Event()
            await self._empty.wait()

    def has(self, model: str) -> bool:
        """Whether it may have ``model``, as far as is known."""
        return self.models is None or model in self.models

    def __repr__(self) -> str:
        return f"<Station {self.workers[0].name} {self.state} load={self.load}>"
