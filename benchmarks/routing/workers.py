"""A worker as far as routing is concerned: a bounded prefix cache, a queue for prompts, and answers in parallel.

The cache forgets what was not used for the longest time, ends before beginnings, as the engines do. A prompt is worked
on when those before it are done, and takes time for what is not in the cache; its answer then takes time of its own.
"""

from collections import OrderedDict
from dataclasses import dataclass

BLOCK = 256
"""Characters of one block of the cache, about 64 tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """
    Attributes:
        prefill: characters of a prompt a second.
        decode: characters of an answer a second.
        overhead: seconds a prompt takes in any case.
    """

    prefill: float = 60_000.0
    decode: float = 160.0
    overhead: float = 0.02


def blocks(text: str) -> list[int]:
    """The blocks of a text, each named by everything from the beginning up to its end."""
    found = []
    name = 0
    for at in range(0, len(text) - BLOCK + 1, BLOCK):
        name = hash((name, text[at : at + BLOCK]))
        found.append(name)
    return found


class Cache:
    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._blocks: OrderedDict[int, None] = OrderedDict()

    def hits(self, prompt: list[int]) -> int:
        """How many blocks of the prompt it holds, from the beginning on."""
        held = self._blocks
        low, high = 0, len(prompt)
        # A block is held only with all before it, because beginnings are used after their ends.
        while low < high:
            middle = (low + high) // 2
            if prompt[middle] in held:
                low = middle + 1
            else:
                high = middle
        return low

    def use(self, prompt: list[int]) -> None:
        held = self._blocks
        for name in reversed(prompt):
            held[name] = None
            held.move_to_end(name)
        while len(held) > self._capacity:
            held.popitem(last=False)


class Worker:
    """What all gateway processes send to."""

    def __init__(self, number: int, capacity: int, speed: Speed) -> None:
        self.key = f"http://10.0.0.{number}:8000"
        self.cache = Cache(capacity)
        self.running = 0  # requests of all processes
        self.requests = 0
        self.busy = 0.0  # seconds spent on requests, each counted on its own
        self.prefill = 0.0  # seconds spent on prompts
        self._speed = speed
        self._free = 0.0

    def serve(self, now: float, prompt: list[int], length: int, answer: int) -> tuple[float, float, int]:
        """When the first and the last token of the answer come, and how many blocks of the prompt were cached."""
        hits = self.cache.hits(prompt)
        self.cache.use(prompt)
        work = self._speed.overhead + max(length - hits * BLOCK, 0) / self._speed.prefill
        first = max(now, self._free) + work
        self._free = first
        last = first + answer / self._speed.decode
        self.requests += 1
        self.busy += last - now
        self.prefill += work
        return first, last, hits


class View:
    """A worker as one process of the gateway sees it: it knows its own requests only."""

    __slots__ = ("key", "load", "weight", "worker")

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.key = worker.key
        self.weight = 1.0
        self.load = 0
