"""Sends traffic through some gateway processes with one policy, and says what the workers' caches made of it."""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from statistics import fmean

from traffic import Conversation
from workers import BLOCK, Speed, View, Worker, blocks

from asgi_llm.routing.balance.interface import Facts, Keys, Policy
from asgi_llm.routing.text import RoutingText

Clock = Callable[[], float]
Make = Callable[[Clock, Callable[[], float], list[Worker]], Policy]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """
    Attributes:
        processes: of the gateway; any of them may get any turn of a conversation.
        capacity: characters of a worker's cache.
        sessions: whether callers name their session.
    """

    workers: int = 8
    processes: int = 4
    capacity: int = 6_000_000
    sessions: bool = False
    speed: Speed = field(default_factory=Speed)


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    Attributes:
        hit_rate: the share of all prompts' characters that were in a cache.
        imbalance: requests in flight at the busiest worker, averaged over the run, in mean ones of all workers.
        peak: the same at one moment: how much more than the mean the busiest worker held, averaged over all requests.
        work: seconds of prefill at the busiest worker in mean ones of all.
        first, slow: seconds to the first token, the mean and the 95th percentile.
    """

    requests: int
    hit_rate: float
    imbalance: float
    peak: float
    work: float
    first: float
    slow: float


class Simulation:
    def __init__(self, site: Site, make: Make, seed: int) -> None:
        self.now = 0.0
        self._random = random.Random(seed)
        self._workers = [Worker(number, site.capacity // BLOCK, site.speed) for number in range(1, site.workers + 1)]
        self._site = site
        self._policies = [
            make(lambda: self.now, random.Random(f"{seed} {process}").random, self._workers)
            for process in range(site.processes)
        ]
        self._views = [[View(worker) for worker in self._workers] for _ in range(site.processes)]
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._asked = 0
        self._cached = 0
        self._waits: list[float] = []
        self._peaks: list[float] = []

    def run(self, conversations: list[Conversation]) -> Outcome:
        for conversation in conversations:
            self._begin(conversation, conversation.start)
        while self._events:
            self.now, _, happens = heapq.heappop(self._events)
            happens()
        return self._outcome()

    def _at(self, when: float, happens: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), happens))

    def _begin(self, conversation: Conversation, when: float) -> None:
        texts = conversation.texts()
        self._at(when, lambda: self._turn(conversation, texts, 0))

    def _turn(self, conversation: Conversation, texts: list[RoutingText], index: int) -> None:
        turn = conversation.turns[index]
        process = self._random.randrange(self._site.processes)
        policy, views = self._policies[process], self._views[process]
        text = texts[index]
        facts = Facts(model="model", length=len(text.text), read_text=lambda: text)
        if self._site.sessions:
            facts.read_keys = lambda: Keys(sessions=(f"session {conversation.number}",))
        view = policy.pick(views, facts)
        view.load += 1
        policy.sent(view, facts)
        worker = view.worker
        worker.running += 1
        first, last, hits = worker.serve(self.now, blocks(text.text), len(text.text), len(turn.answer))
        self._asked += len(text.text)
        self._cached += hits * BLOCK
        self._waits.append(first - self.now)
        running = [one.running for one in self._workers]
        self._peaks.append(max(running) / fmean(running))

        def ends() -> None:
            view.load -= 1
            worker.running -= 1
            policy.ended(view, facts)
            if turn.helper is not None:
                self._begin(turn.helper, self.now)
            if index + 1 < len(conversation.turns):
                self._at(
                    self.now + conversation.turns[index + 1].pause, lambda: self._turn(conversation, texts, index + 1)
                )

        self._at(last, ends)

    def _outcome(self) -> Outcome:
        waits = sorted(self._waits)
        return Outcome(
            requests=len(waits),
            hit_rate=self._cached / self._asked,
            imbalance=_busiest([worker.busy for worker in self._workers]),
            peak=fmean(self._peaks),
            work=_busiest([worker.prefill for worker in self._workers]),
            first=fmean(waits),
            slow=waits[int(len(waits) * 0.95)],
        )


def _busiest(amounts: list[float]) -> float:
    return max(amounts) / fmean(amounts)


def pooled(site: Site) -> Site:
    """The same caches and the same power in one worker: what no policy over several workers can beat by much."""
    speed = replace(site.speed, prefill=site.speed.prefill * site.workers)
    return replace(site, workers=1, processes=1, capacity=site.capacity * site.workers, speed=speed)
