"""What has been tried for one exchange, and what may be tried next: which worker, after which wait, by when.

What a failure means is read from the table in ``routing.retry``; here it meets the workers that there are, the time
that is left and the target's budget.
"""

import asyncio
import random

from msgspec import Struct

from asgi_llm.errors import AsgiLLMError, ClientError, Kind, PolicyError, UpstreamError
from asgi_llm.exchange import Caller, Exchange
from asgi_llm.fleet.gate import Gate
from asgi_llm.fleet.worker import Worker
from asgi_llm.routing.retry import Verdict, delay, judge, rule_of
from asgi_llm.runtime import Runtime

from .admission import take_place
from .plan import Leg
from .prepare import Outgoing, prepare

__all__ = ["Course"]


class Course(Struct, eq=False):
    """Belongs to one exchange. A struct, since every request has one and most need no more of it than that.

    Attributes:
        exchange: whose it is.
        begun: when the first attempt began, in seconds of the loop's clock.
        failure: the last one, or None as long as nothing failed.
        tried: the workers that were asked on this leg, in order.
        blamed: those that broke, on this leg and those before.
        too_long: the request is too long for a model that was tried.
    """

    runtime: Runtime
    exchange: Exchange
    begun: float
    failure: AsgiLLMError | None = None
    tried: tuple[Worker, ...] = ()
    blamed: tuple[Worker, ...] = ()
    too_long: bool = False

    def leads_to(self, leg: Leg) -> bool:
        """Whether ``leg`` is tried after the failure: it is meant for such, and there is time for it."""
        if not self._meant(leg) or self._left(leg) <= 0:
            return False
        self.exchange.why = "overflow" if self.too_long else "fallback"
        return True

    def prepared(self, leg: Leg, caller: Caller) -> Outgoing | None:
        """The request for a leg after the first; None where its dialect cannot express it. That is no fault of a caller
        whose request the first leg could have served."""
        try:
            return prepare(self.exchange, leg, caller)
        except ClientError:
            return None

    async def enter(self, gate: Gate, caller: Caller) -> bool:
        """Takes a place at the target; whether one could be had.

        Raises:
            CallerGone: it left meanwhile.
        """
        try:
            await take_place(gate, self.exchange, caller)
        except PolicyError as full:
            self._failed(full)
            return False
        return True

    def first_worker(self, leg: Leg) -> Worker | None:
        """Whom to ask first on ``leg``; None, with the failure saying why, if there is nobody."""
        crew = leg.crew
        now = self.begun if self.failure is None else self.runtime.loop.time()
        # A target may be on two legs, with two models. A worker that broke on one is not asked on the other.
        tried = self.blamed if self.blamed and len(crew.workers) > 1 else ()
        worker = crew.pick(tried, now, self.exchange.facts, leg.model)
        if worker is None:
            self._failed(crew.restraint.unavailable(crew.workers, now, leg.model))
            return None
        crew.restraint.budget.requests += 1
        self.tried = (worker,)
        return worker

    async def next_worker(self, leg: Leg, error: UpstreamError) -> Worker | None:
        """Whom to ask after ``error``, once the time for it has come; None if nobody on this leg can help.

        Raises:
            UpstreamError: ``error``, if nobody on any leg can.
        """
        self.failure = error
        verdict = judge(error)
        if verdict is Verdict.FINAL:
            raise error
        rule = rule_of(error)
        if rule.blames:
            self.blamed += self.tried
        if verdict is Verdict.LARGER:
            self.too_long = True
            return None
        keys = leg.crew.restraint.keys
        own = bool(leg.credentials) or leg.key is not None
        other_key = rule.key and not own and keys is not None and keys.accepted(self.runtime.loop.time(), leg.model)
        if (verdict is Verdict.NEXT_LEG and not other_key) or len(self.tried) >= self._most(leg):
            return None
        if len(leg.crew.workers) > 1:
            excluded = self.tried + self.blamed
        elif rule.again or other_key or error.should_retry:
            excluded = ()
        else:
            return None
        return await self._after_pause(leg, error, excluded, other_key=other_key)

    def left(self, leg: Leg) -> float | None:
        """Seconds for a further attempt at ``leg``, of what the target has for all of them; None if that has no end."""
        if not leg.crew.target.settings.timeouts.total:
            return None
        return max(0.001, self._left(leg))

    async def _after_pause(
        self, leg: Leg, error: UpstreamError, excluded: tuple[Worker, ...], *, other_key: bool
    ) -> Worker | None:
        crew, now = leg.crew, self.runtime.loop.time()
        ready = crew.restraint.ready(crew.workers, excluded, now, leg.model)
        if ready is None:
            self._tell_soonest(leg, error, now)
            return None
        pause = self._pause(leg, at_once=other_key and ready <= now)
        asked_to_wait = max(ready - now, error.retry_after or 0.0 if not excluded and not other_key else 0.0)
        if asked_to_wait > (0 if self._goes_on(leg) else crew.target.settings.retry.cap):
            self._tell_soonest(leg, error, now)
            return None
        pause += asked_to_wait
        if pause >= self._left(leg) or not crew.restraint.budget.spend(now):
            return None
        await asyncio.sleep(pause)
        worker = crew.pick(excluded, self.runtime.loop.time(), self.exchange.facts, leg.model)
        if worker is not None:
            self.tried += (worker,)
            self.exchange.why = "retry"
        return worker

    def _meant(self, leg: Leg) -> bool:
        return leg.on == "any" or (leg.on == "overflow") == self.too_long

    def _goes_on(self, leg: Leg) -> bool:
        """Whether there is a leg after ``leg`` to try, so that nobody has to wait for this one."""
        assert self.exchange.plan is not None  # noqa: S101  # its legs are being tried
        return any(other.number > leg.number and self._meant(other) for other in self.exchange.plan.legs)

    def _pause(self, leg: Leg, *, at_once: bool) -> float:
        """Seconds before the next attempt, besides what the upstream asks for."""
        if at_once:
            return 0.0
        retry = leg.crew.target.settings.retry
        return delay(
            len(self.tried) + 1,
            base=retry.base,
            factor=retry.factor,
            cap=retry.cap,
            jitter=retry.jitter,
            spread=random.random(),  # noqa: S311  # spreads load, keeps no secret
        )

    def _left(self, leg: Leg) -> float:
        """Seconds that are left for attempts at ``leg``."""
        total = leg.crew.target.settings.timeouts.total
        return self.begun + total - self.runtime.loop.time() if total else float("inf")

    def _most(self, leg: Leg) -> int:
        return leg.crew.target.settings.retry.attempts

    def _tell_soonest(self, leg: Leg, error: UpstreamError, now: float) -> None:
        """The caller is told when the first of those at their limits can be asked again, not the last."""
        if error.kind not in (Kind.RATE_LIMIT, Kind.OVERLOADED) or error.retry_after is None:
            return
        ready = leg.crew.restraint.ready(leg.crew.workers, (), now, leg.model)
        if ready is not None and ready > now:
            error.retry_after = min(error.retry_after, ready - now)

    def _failed(self, failure: AsgiLLMError) -> None:
        """Nobody could be asked. What an upstream said is the better answer, except that the request is too long for
        one model when another has no time for it now."""
        if self.failure is None or self.too_long:
            self.failure = failure
