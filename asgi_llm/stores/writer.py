"""Rows on their way to the ledger: they wait in a bounded queue and are written in batches, never by a request.

    the store does not work     rows stay where they are and are tried again, less and less often
    one row cannot be written   it alone is given up, found by halving its batch
    the queue is full           a row is dropped and counted, or requests wait; as the settings have it
    the loop ends               what waits is written first

What a row still lacks is worked out here, too: prices, and what must be guessed.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Protocol, TypeVar

from asgi_llm.errors import Kind, PolicyError, StoreError
from asgi_llm.metering.row import Row
from asgi_llm.settings import LedgerSettings

from .ledger import Ledger

__all__ = ["LedgerWriter"]

logger = logging.getLogger("asgi_llm.ledger")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 15.0
_LAST_WORDS = 5.0
"""Seconds that a loop which is being closed waits, at least, for a store that does not answer."""


class Sized(Protocol):
    """What becomes a row. ``size`` is the bytes that it keeps in memory until then."""

    @property
    def size(self) -> int: ...


Draft = TypeVar("Draft", bound=Sized)


class LedgerWriter(Generic[Draft]):
    """Belongs to one event loop.

    Args:
        ledger: where rows go.
        settings: sizes and times.
        complete: makes rows of drafts; called once for each of them, and again after a ``StoreError``.

    Attributes:
        dropped: rows that were lost, since the start.
        failing: whether the last write did not work.
        held: bytes that the drafts keep in memory.
    """

    __slots__ = (
        "_complete", "_enough", "_pen", "_ready", "_room", "_settings", "_task", "_waiting", "_worked_on", "dropped",
        "failing", "held", "ledger",
    )  # fmt: skip

    def __init__(
        self,
        ledger: Ledger,
        settings: LedgerSettings,
        complete: Callable[[Sequence[Draft]], Awaitable[list[Row]]],
    ) -> None:
        self.ledger = ledger
        self.dropped = 0
        self.failing = False
        self.held = 0
        self._settings = settings
        self._complete = complete
        self._waiting: deque[Draft] = deque()
        self._ready: list[Row] = []
        self._enough = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._worked_on = 0
        self._task: asyncio.Task[None] | None = None
        self._pen = asyncio.Lock()

    def __len__(self) -> int:
        """Rows that wait."""
        return len(self._waiting) + self._worked_on + len(self._ready)

    @property
    def full(self) -> bool:
        return not self._room.is_set()

    def add(self, draft: Draft) -> None:
        """Takes a row on its way. Never waits, never raises."""
        settings = self._settings
        size = len(self)
        if size >= settings.queue and settings.when_full == "drop":
            self._drop(1)
            return
        self._waiting.append(draft)
        self.held += draft.size
        if size + 1 >= settings.queue:
            self._room.clear()
        if size + 1 >= settings.batch:
            self._enough.set()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="asgi-llm ledger")

    async def room(self) -> None:
        """Waits until the queue has room, where that is what the settings want.

        Raises:
            PolicyError: it has not become free in time.
        """
        if self._settings.when_full == "drop":
            return
        try:
            async with asyncio.timeout(self._settings.wait):
                await self._room.wait()
        except TimeoutError:
            raise PolicyError(
                "too many requests wait to be recorded; try again later",
                kind=Kind.OVERLOADED,
                code="ledger_full",
                retry_after=5,
            ) from None

    async def flush(self) -> None:
        """Writes everything that waits.

        Raises:
            StoreError: the store does not work; the rows still wait.
        """
        async with self._pen:
            while self:
                await self._write_batch()

    async def aclose(self, grace: float) -> None:
        """Writes what waits, however long that takes. A store that writes nothing for ``grace`` seconds, a few at
        least, is given up; the log tells what is lost."""
        if self._task is not None and not self._pen.locked():
            self._task.cancel()  # it waits for more rows, or for the store to recover
        last = asyncio.create_task(self._flush_stubbornly())
        tasks = (last,) if self._task is None else (last, self._task)
        try:
            while self:
                left = len(self)
                await asyncio.wait((last,), timeout=max(grace, _LAST_WORDS))
                if len(self) >= left:
                    # The store's own failure was logged when it began.
                    logger.error("%d rows of the ledger could not be written and are lost", left)
                    break
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await self.ledger.aclose()

    async def _flush_stubbornly(self) -> None:
        pause = _FIRST_PAUSE
        while self:
            try:
                await self.flush()
            except StoreError:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    async def _run(self) -> None:
        """Ends when nothing waits, so that an idle gateway does nothing."""
        try:
            while self:
                await self._gather()
                await self._flush_stubbornly()
        finally:
            self._task = None

    async def _gather(self) -> None:
        try:
            async with asyncio.timeout(self._settings.interval):
                await self._enough.wait()
        except TimeoutError:
            return

    async def _write_batch(self) -> None:
        if not self._ready:
            drafts = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._settings.batch))]
            # From here to the write nothing may get lost: not by a cancellation, which only waits for the pen.
            self._ready = await self._finished(drafts)
        try:
            await self._write(self._ready)
        except StoreError as error:
            if not self.failing:
                logger.warning("the ledger cannot be written (%s); rows wait", error.__cause__ or error)
            self.failing = True
            raise
        if self.failing:
            logger.warning("the ledger is written again; %d rows wait", len(self._waiting))
        self.failing = False
        self._ready = []
        if len(self) < self._settings.queue:
            self._room.set()
        if len(self._waiting) < self._settings.batch:
            self._enough.clear()

    async def _finished(self, drafts: list[Draft]) -> list[Row]:
        self._worked_on = len(drafts)
        try:
            rows = await self._complete(drafts)
        except (asyncio.CancelledError, StoreError):
            self._waiting.extendleft(reversed(drafts))
            raise
        except Exception:
            logger.exception("%d rows of the ledger could not be worked out and are lost", len(drafts))
            self.dropped += len(drafts)
            rows = []
        finally:
            self._worked_on = 0
        self.held -= sum(draft.size for draft in drafts)
        return rows

    async def _write(self, rows: list[Row]) -> None:
        if not rows:
            return
        try:
            await self.ledger.add(rows)
        except StoreError:
            raise
        except Exception:
            if len(rows) == 1:
                logger.exception("the row %s cannot be written and is lost", rows[0].id)
                self.dropped += 1
                return
            half = len(rows) // 2
            await self._write(rows[:half])
            await self._write(rows[half:])

    def _drop(self, count: int) -> None:
        if not self.dropped:
            logger.error("the queue of the ledger is full: rows are lost")
        self.dropped += count
