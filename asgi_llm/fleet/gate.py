"""So many at a time and no more; the others wait in order, for a while, and not too many of them."""

import asyncio
from collections import deque

from asgi_llm.errors import Kind, PolicyError
from asgi_llm.settings import LimitSettings

__all__ = ["Gate", "gate_of"]

_MOST = 60.0
"""Seconds; the longest that a caller is told to wait before asking again."""
_WEIGHT = 0.2
"""Of the newest, in the average time between two departures while every slot was taken."""


class Gate:
    """A slot for each of ``limit``. One that is given back goes to whoever has waited longest, so that nobody who
    comes at that moment overtakes. Belongs to one event loop.

    Attributes:
        limit: how many slots there are.
        inside: how many are taken.
    """

    __slots__ = ("_gap", "_left_at", "_length", "_loop", "_patience", "_queue", "inside", "limit")

    def __init__(self, limit: int, *, queue: int, timeout: float) -> None:
        """At most ``queue`` wait, each for at most ``timeout`` seconds."""
        self.limit = limit
        self.inside = 0
        self._length = queue
        self._patience = timeout
        self._queue: deque[asyncio.Future[None]] = deque()
        self._loop = asyncio.get_running_loop()
        self._left_at = 0.0
        self._gap = 1.0

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def try_enter(self) -> bool:
        """Takes a slot if one is free; ``leave`` must follow then."""
        # A free slot while somebody waits does not exist: it would have been theirs.
        if self.inside >= self.limit:
            return False
        self.inside += 1
        if self.inside == self.limit:
            self._left_at = self._loop.time()
        return True

    async def enter(self) -> None:
        """Takes a slot, waiting for it if need be; ``leave`` must follow. Cancelling leaves the queue at once.

        Raises:
            PolicyError: too many wait already (429 ``queue_full``), or it took too long (503 ``queue_timeout``).
        """
        if self.try_enter():
            return
        if len(self._queue) >= self._length:
            raise PolicyError(
                "too many requests are waiting already; try again later",
                kind=Kind.RATE_LIMIT,
                code="queue_full",
                retry_after=self._expected(),
            )
        place: asyncio.Future[None] = self._loop.create_future()
        self._queue.append(place)
        alarm = self._loop.call_later(self._patience, self._give_up, place)
        try:
            await place
        except BaseException:
            self._forget(place)
            raise
        finally:
            alarm.cancel()

    def leave(self) -> None:
        """Gives a slot back."""
        if self.inside == self.limit:
            now = self._loop.time()
            self._gap += _WEIGHT * (now - self._left_at - self._gap)
            self._left_at = now
        while self._queue:
            place = self._queue.popleft()
            if not place.done():
                place.set_result(None)
                return
        self.inside -= 1

    def _give_up(self, place: "asyncio.Future[None]") -> None:
        if not place.done():
            self._queue.remove(place)
            place.set_exception(
                PolicyError(
                    "no place came free in time; try again later",
                    kind=Kind.OVERLOADED,
                    code="queue_timeout",
                    retry_after=self._expected(),
                )
            )

    def _forget(self, place: "asyncio.Future[None]") -> None:
        """Whoever held ``place`` is gone: its slot, if it was given one meanwhile, is for the next."""
        if place.done() and not place.cancelled() and place.exception() is None:
            self.leave()
        elif place in self._queue:
            self._queue.remove(place)

    def _expected(self) -> float:
        """Seconds until a place may be free for one more, going by how often one came free lately."""
        return min(_MOST, max(1.0, self._gap * (len(self._queue) + 1)))


def gate_of(concurrency: int, limits: LimitSettings) -> Gate | None:
    """A gate for so many at a time, with the queue that the settings have; None where there is no limit."""
    return Gate(concurrency, queue=limits.queue, timeout=limits.queue_timeout) if concurrency else None
