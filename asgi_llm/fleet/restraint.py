"""What holds requests to a target back: limits that its workers or keys told of, the budget of retries, and the most
that it may work on at a time."""

from collections.abc import Collection, Sequence

from asgi_llm.errors import Cause, Kind, UpstreamError
from asgi_llm.routing.balance.interface import Clock
from asgi_llm.routing.budget import Budget
from asgi_llm.routing.cooldown import Cooldown
from asgi_llm.routing.pace import Pace
from asgi_llm.routing.retry import cooling, rule_of
from asgi_llm.settings import LimitSettings

from .gate import gate_of
from .keys import KeyPool
from .target import Target
from .worker import Worker

__all__ = ["Restraint"]

_SILENT = 1.0
"""Seconds for which a worker that wants to be left alone, but did not say for how long, is passed over where there are
others."""


class Restraint:
    """Belongs to one crew.

    Attributes:
        budget: of retries.
        cooldown: the workers that said they want to be left alone.
        keys: the target's keys where it has several, else None.
        gate: keeps to the target's ``concurrency``, or None.
        pace: how long answers took to begin, where a second attempt may be made beside a slow one, else None.
    """

    __slots__ = ("_longest", "budget", "cooldown", "gate", "keys", "pace")

    def __init__(self, target: Target, clock: Clock, limits: LimitSettings) -> None:
        settings = target.settings
        self._longest = settings.retry.cooldown
        self.budget = Budget(settings.retry.budget, clock())
        self.cooldown = Cooldown()
        self.keys = KeyPool(target.name, target.keys, self._longest) if target.keys else None
        self.gate = gate_of(settings.concurrency, limits)
        self.pace = None if settings.hedge is None else Pace(settings.hedge)

    def rested(self, workers: Sequence[Worker], now: float, model: str) -> list[Worker]:
        """Those of ``workers`` that are not cooling down for ``model``; none where every key is."""
        if self.keys is not None and self.keys.ready(now, model):
            return []
        return [worker for worker in workers if not self.cooldown.until(worker.name, model, now)]

    def ready(self, workers: Sequence[Worker], tried: Collection[Worker], now: float, model: str) -> float | None:
        """When one of ``workers`` that was not tried can be asked whose only fault is that it, or every key, is cooling
        down; ``now`` or earlier where one can be asked at once; None where there is no such worker."""
        ends = [
            self.cooldown.until(worker.name, model, now)
            for worker in workers
            if worker.fit and worker not in tried and worker.breaker.admits(now)
        ]
        if not ends:
            return None
        return min(ends) if self.keys is None else max(min(ends), self.keys.ready(now, model))

    def learn(
        self, worker: Worker, key: int | None, error: UpstreamError, model: str, now: float, *, alone: bool
    ) -> None:
        """Remembers what a failed attempt says about later ones: who wants to be left alone, and for how long.
        ``alone``: the target has no other worker."""
        if key is not None and self.keys is not None and rule_of(error).key:
            self.keys.failed(key, error, model, now)
            return
        seconds = cooling(error)
        if seconds is None:
            return
        if not seconds and not alone:
            seconds = _SILENT
        if seconds := min(seconds, self._longest):
            limited = error.kind is Kind.RATE_LIMIT or error.upstream_status == 429
            self.cooldown.begin(worker.name, model, now + seconds, now, overloaded=not limited)

    def unavailable(self, workers: Sequence[Worker], now: float, model: str) -> UpstreamError:
        """Why none of ``workers`` can be asked: they are at their limits, or out of order."""
        until = self.ready(workers, (), now, model)
        if until is not None and until > now:
            if self._overloaded(workers, now, model):
                return UpstreamError(
                    "every worker for this model is overloaded; try again later",
                    cause=Cause.UNAVAILABLE,
                    kind=Kind.OVERLOADED,
                    code="all_workers_overloaded",
                    retry_after=until - now,
                )
            return UpstreamError(
                "every worker for this model is at its limit; try again later",
                cause=Cause.UNAVAILABLE,
                kind=Kind.RATE_LIMIT,
                code="all_workers_cooling_down",
                retry_after=until - now,
            )
        opens = [worker.breaker.opens(now) - now for worker in workers if worker.fit]
        return UpstreamError(
            "no worker is available for this model now; try again later",
            cause=Cause.UNAVAILABLE,
            kind=Kind.OVERLOADED,
            code="no_available_workers",
            retry_after=max(1.0, min(opens, default=_UNFIT)),
        )

    def _overloaded(self, workers: Sequence[Worker], now: float, model: str) -> bool:
        """Whether nobody is at a limit: those that could be asked all said that they have too much to do."""
        if self.keys is not None and self.keys.ready(now, model) > now:
            return False
        return all(
            self.cooldown.overloaded(worker.name, model)
            for worker in workers
            if worker.fit and worker.breaker.admits(now)
        )


_UNFIT = 5.0
"""Seconds after which to ask again where every worker is known to be ill."""
