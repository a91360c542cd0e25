"""Which worker is asked next: through the workers of a leg, then through the legs. Decides, and does nothing else."""

import random

from asgi_llm.errors import Cause, Kind, UpstreamError
from asgi_llm.exchange import Caller, Exchange
from asgi_llm.fleet.worker import Worker
from asgi_llm.routing.retry import Verdict, delay, judge
from asgi_llm.runtime import Runtime

from .plan import Leg
from .prepare import Outgoing, prepare

__all__ = ["Course"]


class Course:
    """One exchange's way through its plan. ``next_worker`` and ``failed`` alternate until one gives None.

    Attributes:
        leg: the leg that the next worker belongs to.
        outgoing: what is sent to it, made anew from the caller's request for each leg.
        wait: seconds to let pass first.
        failure: the failure that counts: the last attempt's.
    """

    __slots__ = ("_caller", "_exchange", "_legs", "_runtime", "_tried", "failure", "leg", "outgoing", "wait")

    leg: Leg
    outgoing: Outgoing

    def __init__(self, runtime: Runtime, exchange: Exchange, caller: Caller) -> None:
        assert exchange.plan is not None  # noqa: S101  # make_plan() filled it in
        self._runtime = runtime
        self._exchange = exchange
        self._caller = caller
        self._legs = iter(exchange.plan.legs)
        self._tried: list[Worker] = []
        self.wait = 0.0
        self.failure: UpstreamError | None = None
        self._next_leg()

    def next_worker(self) -> Worker | None:
        """The worker to ask: none that was asked before, and none whose breaker is open; None if there is none left.

        Raises:
            ClientError: a leg's dialect cannot express the request.
        """
        while True:
            worker = self._pick()
            if worker is not None:
                self._tried.append(worker)
                return worker
            if not self._next_leg():
                self.failure = self.failure or _unavailable()
                return None

    def failed(self, error: UpstreamError) -> bool:
        """Notes a failure; False if nothing that could be tried would mend it."""
        self.failure = error
        verdict = judge(error)
        if verdict is Verdict.NEXT_LEG:
            return self._next_leg()
        return verdict is Verdict.RETRY

    def _pick(self) -> Worker | None:
        number = len(self._tried) + 1
        retry = self.leg.crew.target.settings.retry
        if number > retry.attempts:
            return None
        self.wait = 0.0
        if number > 1:
            self.wait = delay(
                number,
                base=retry.base,
                factor=retry.factor,
                cap=retry.cap,
                jitter=retry.jitter,
                spread=random.random(),  # noqa: S311  # spreads load, keeps no secret
            )
        return self.leg.crew.pick(self._tried, self._runtime.loop.time())

    def _next_leg(self) -> bool:
        leg = next(self._legs, None)
        if leg is None:
            return False
        self.leg = self._exchange.leg = leg
        self.outgoing = prepare(self._exchange, leg, self._caller)
        self._tried.clear()
        return True


def _unavailable() -> UpstreamError:
    return UpstreamError(
        "no worker is available for this model now; try again later",
        cause=Cause.UNAVAILABLE,
        kind=Kind.OVERLOADED,
        code="no_available_workers",
        retry_after=5,
    )
