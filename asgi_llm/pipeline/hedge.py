"""Two attempts at a time: where the first is slow to begin its answer, another worker is asked, too. Whichever begins
first serves the request; the other is broken off, which is not held against it.

Streams only: before the first byte of an answer that comes whole lies all of the work.
"""

import asyncio
from copy import copy

from asgi_llm.exchange import Attempt, Exchange, Lost
from asgi_llm.fleet.worker import Worker
from asgi_llm.neutral.usage import Usage
from asgi_llm.routing.balance.interface import Facts
from asgi_llm.runtime import Runtime

from .ask import Reply, ask
from .course import Course
from .plan import Leg
from .prepare import Outgoing

__all__ = ["ask_two"]


async def ask_two(
    runtime: Runtime, course: Course, leg: Leg, worker: Worker, outgoing: Outgoing, facts: Facts | None
) -> Reply:
    """Like ``ask``. ``facts`` are for the second worker: what a policy notes in them belongs to one attempt.

    Raises:
        UpstreamError: all that were asked failed; the first one's failure.
    """
    exchange = course.exchange
    pace = leg.crew.restraint.pace
    assert pace is not None  # noqa: S101  # attempt() looked
    left = None if course.failure is None else course.left(leg)
    runners = [_Runner(runtime, exchange, leg, worker, outgoing, exchange.facts, left)]
    winner: _Runner | None = None
    try:
        if (patience := pace.patience()) is not None:
            await asyncio.wait([runners[0].task], timeout=patience)
            now = runtime.loop.time()
            if not runners[0].task.done() and (other := _other(course, leg, facts, now)) is not None:
                runners.append(_Runner(runtime, exchange, leg, other, outgoing, facts, left))
        winner = await _first_to_begin(runners)
    finally:
        for runner in runners:
            if runner is not winner:
                runner.drop()
        exchange.attempts += _entries(runtime, runners, winner)
    assert winner.reply is not None  # noqa: S101  # it would not have won
    if winner is not runners[0]:
        exchange.why = "hedge"
    won = winner.exchange
    exchange.worker, exchange.probe, exchange.facts = won.worker, won.probe, won.facts
    exchange.first_byte = won.first_byte
    pace.began(won.attempts[-1].seconds)
    return winner.reply


def _entries(runtime: Runtime, runners: "list[_Runner]", winner: "_Runner | None") -> tuple[Attempt, ...]:
    """What is to be noted of all. Where none serves, the first that was broken off stands for the answer."""
    stands = winner or next((runner for runner in runners if runner.error is None), None)
    return tuple(entry for runner in runners for entry in runner.entries(runtime, winner, lost=runner is not stands))


def _other(course: Course, leg: Leg, facts: Facts | None, now: float) -> Worker | None:
    """Another worker, if there is one to ask and the budget allows for it."""
    worker = leg.crew.pick(course.tried, now, facts, leg.model)
    if worker is None or not leg.crew.restraint.budget.spend(now):
        return None
    course.tried += (worker,)
    return worker


async def _first_to_begin(runners: "list[_Runner]") -> "_Runner":
    """
    Raises:
        Exception: what the first one failed with, if all did.
    """
    running = {runner.task for runner in runners}
    while True:
        for runner in runners:
            if runner.reply is not None:
                return runner
        if not running:
            break
        _, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    raise runners[0].error or asyncio.CancelledError


class _Runner:
    """One of the two, in a task of the gateway's, with a copy of the exchange to fill in."""

    __slots__ = ("_begun", "_known", "_leg", "error", "exchange", "reply", "task", "worker")

    def __init__(
        self,
        runtime: Runtime,
        exchange: Exchange,
        leg: Leg,
        worker: Worker,
        outgoing: Outgoing,
        facts: Facts | None,
        left: float | None,
    ) -> None:
        self.exchange = copy(exchange)
        self.exchange.facts = facts
        self.worker = worker
        self._leg = leg
        self.reply: Reply | None = None
        self.error: Exception | None = None
        self._known = len(exchange.attempts)
        self._begun = runtime.loop.time()
        self.task = runtime.spawn(self._run(runtime, leg, outgoing, left), "attempt")

    async def _run(self, runtime: Runtime, leg: Leg, outgoing: Outgoing, left: float | None) -> None:
        try:
            self.reply = await ask(runtime, self.exchange, leg, self.worker, outgoing, left)
        except Exception as error:  # noqa: BLE001  # raised where the two are waited for
            self.error = error

    def drop(self) -> None:
        """It is not needed any more."""
        if not self.task.done():
            self.task.cancel()
        elif self.reply is not None:
            self.reply.response.close()
            self.worker.abandoned(self.exchange.facts, self.exchange.probe)

    def entries(self, runtime: Runtime, winner: "_Runner | None", *, lost: bool) -> tuple[Attempt, ...]:
        """What is to be noted of it; ``lost``: what it used was for nothing."""
        noted = self.exchange.attempts[self._known :]
        if self is winner or (noted and self.reply is None):
            return noted
        seconds = runtime.loop.time() - self._begun
        told = Lost(self._leg, self._told()) if lost else None
        return (Attempt(self.worker.target, self.worker.name, "abandoned", seconds, lost=told),)

    def _told(self) -> Usage | None:
        """What it said that it used, where it had begun, too."""
        if self.reply is None:
            return None
        watcher = self._leg.dialect.watcher()
        watcher.feed(self.reply.first)
        return watcher.usage
