"""A worker: one base URL of a target, or one rank behind it, with its own breaker and load."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from asgi_llm.errors import UpstreamError
from asgi_llm.routing.balance.interface import Facts, Policy
from asgi_llm.routing.breaker import Breaker
from asgi_llm.routing.retry import NOT_TAKEN_UP, blames_worker
from asgi_llm.settings import BreakerSettings
from asgi_llm.upstream.interface import Client

if TYPE_CHECKING:
    from .station import Station
    from .variation import Variation

__all__ = ["Worker"]

logger = logging.getLogger("asgi_llm.fleet")


class Worker:
    """Bound to one event loop through its client. Implements ``routing.balance.Candidate``.

    Attributes:
        name: ``target#index``, of a rank ``target#index@rank``: what logs and explanations call it, without its
            address.
        key: its base URL, of a rank ``url@rank``: who it is, and nothing to send to.
        fit: whether it may be picked: it is neither unhealthy nor draining.
        station: the address it is at, which knows its health and its models.
        variation: how requests to it differ from those to others; None where they do not.
        weight: its share of the work beside the others'.
        load: the number of exchanges it works on now.
    """

    __slots__ = (
        "_policy", "_troubled", "breaker", "client", "fit", "key", "load", "name", "rank", "station", "target",
        "variation", "weight",
    )  # fmt: skip

    def __init__(
        self,
        target: str,
        name: str,
        key: str,
        client: Client,
        breaker: BreakerSettings,
        weight: float = 1.0,
        *,
        policy: Policy | None,
        troubled: "set[Worker]",
        station: "Station",
        rank: int | None = None,
        variation: "Variation | None" = None,
    ) -> None:
        """``policy`` is told what is sent and what ends, where that has facts. Among the ``troubled`` it is for as long
        as its breaker has anything to say about who may ask it."""
        self.target = target
        self.name = name
        self.key = key
        self.fit = True
        self.station = station
        self.rank = rank
        self.variation = variation
        self.client = client
        self.weight = weight
        self.load = 0
        self._policy = policy
        self._troubled = troubled
        self.breaker = Breaker(
            failures=breaker.failures, window=breaker.window, open_for=breaker.open_for, probes=breaker.probes
        )

    def enter(self, facts: Facts | None) -> bool:
        """An attempt begins; exactly one of ``succeeded``, ``failed`` and ``abandoned`` must follow, with the same
        facts and what this returned: whether the attempt is a probe of a worker that was passed over."""
        self.load += 1
        if self._policy is not None and facts is not None:
            self._policy.sent(self, facts)
        return self.breaker.troubled and self.breaker.enter()

    def succeeded(self, facts: Facts | None, probe: bool) -> None:
        # As in `_leave`, without its call.
        self.load -= 1
        if not self.fit:
            self.station.rested()
        if facts is not None and self._policy is not None:
            self._policy.ended(self, facts, served=True)
        if probe or self.breaker.troubled:
            self.breaker.succeeded(probe=probe)
            if probe:
                logger.info("worker %s answers again", self.name)
            if not self.breaker.troubled:
                self._troubled.discard(self)

    def failed(self, error: UpstreamError, now: float, facts: Facts | None, probe: bool) -> None:
        # What the worker has seen of the request may be in its cache.
        self._leave(facts, served=error.cause not in NOT_TAKEN_UP)
        if blames_worker(error):
            if self.breaker.failed(now, probe=probe):
                # Not the error's message, which may hold words of the caller's.
                said = f" {error.upstream_status}" if error.upstream_status else ""
                logger.warning("worker %s fails and is passed over for a while: %s%s", self.name, error.cause, said)
            self._troubled.add(self)
        else:
            self.breaker.abandoned(probe=probe)

    def abandoned(self, facts: Facts | None, probe: bool) -> None:
        """The attempt ended without saying anything about the worker: the caller left."""
        self._leave(facts)
        self.breaker.abandoned(probe=probe)

    def joined(self) -> None:
        """It is new, or has come back with an empty cache."""
        if self._policy is not None:
            self._policy.joined(self)

    def produced(self, origins: Sequence[str]) -> None:
        """It has made what later requests will name by ``origins``."""
        if self._policy is not None and origins:
            self._policy.produced(self, origins)

    def left(self) -> None:
        """It is gone for good, though what runs on it may still have to end."""
        if self._policy is not None:
            self._policy.left(self)

    def _leave(self, facts: Facts | None, *, served: bool = True) -> None:
        self.load -= 1
        if not self.fit:
            self.station.rested()
        if self._policy is not None and facts is not None:
            self._policy.ended(self, facts, served=served)

    def __repr__(self) -> str:
        return f"<Worker {self.name} load={self.load}>"
