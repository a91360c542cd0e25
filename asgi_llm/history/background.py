"""Responses that run in the background: whoever asked may leave, come back, take up the stream where it was, or cancel.

A run is a task of the gateway's with a lease in the store, which it renews. Whoever finds a lease that has ended says
of the response that it failed: the process that ran it is gone. Its events are written into a log as they come; all
who follow a stream, the one who asked for it as well, read them there.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw, Struct

from asgi_llm.errors import AsgiLLMError, Kind, PolicyError, StoreError
from asgi_llm.exchange import Caller, Exchange
from asgi_llm.identity import Identity
from asgi_llm.pipeline.handle import handle
from asgi_llm.runtime import Runtime
from asgi_llm.stores.responses import EventRow, ResponseRow
from asgi_llm.stores.scope import Scope

from .edit import edited
from .errand import Errand, errand_exchange
from .records import Kept, unseal
from .vault import UnreadableError

if TYPE_CHECKING:
    from .history import History

__all__ = [
    "RUNNING",
    "BackgroundCaller",
    "Run",
    "finish_as",
    "follow",
    "make_room",
    "recovered",
    "start_run",
    "until_ended",
]

logger = logging.getLogger("asgi_llm")

RUNNING = ("queued", "in_progress")
_TERMINAL = re.compile(rb'"type"\s*:\s*"response\.(?:completed|incomplete|failed)"')
_NUMBER = re.compile(rb'"sequence_number"\s*:\s*(\d{1,10})\b')
_FLUSH = 0.1
"""Seconds after which events that came are in the log."""
_POLL = 0.25
"""Seconds between two looks at a log that another process writes."""
_GRACE = 2.0
"""Seconds that the last event may take to follow the end of its response into the log."""
_SILENCE = 15.0
_PAGE = 200
_encode = msgspec.json.Encoder().encode


class _Failed(Struct):
    error: Raw = Raw(b"null")


_failed = msgspec.json.Decoder(_Failed)


class Run:
    """One response that runs here. ``news`` is set when something was written into its log."""

    __slots__ = ("_last", "_over", "_pending", "_waiting", "history", "id", "news", "scope", "task")

    def __init__(self, history: "History", scope: Scope, response_id: str) -> None:
        self.history = history
        self.scope = scope
        self.id = response_id
        self.news = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self._pending: list[EventRow] = []
        self._waiting = 0
        self._last = -1
        self._over = asyncio.Event()

    def log(self, frame: bytes) -> None:
        """Takes in an event; comments are none.

        Raises:
            StoreError: too much waits to be written down.
        """
        if b"data:" not in frame:
            return
        self._waiting += len(frame)
        if self._waiting > self.history.settings.max_history:
            raise StoreError
        numbers = _NUMBER.findall(frame)
        self._last = max(self._last + 1, int(numbers[-1]) if numbers else 0)
        self._pending.append(EventRow(self._last, self.history.vault.seal(frame)))

    async def _flush(self) -> None:
        if rows := self._pending.copy():
            await self.history.store.add_events(self.scope, self.id, rows)
            del self._pending[: len(rows)]
            self._waiting = sum(len(row.data) for row in self._pending)
            self.news.set()
            self.news.clear()

    async def work(self, runtime: Runtime, caller: "BackgroundCaller", exchange: Exchange) -> None:
        # Not to be broken off: what it is writing would be lost, or written twice.
        watch = asyncio.ensure_future(self._watch(asyncio.current_task()))
        problem: bytes = b""
        try:
            await handle(runtime, exchange, caller)
            problem = caller.answered if not 200 <= caller.status < 300 else b""
        finally:
            self._over.set()
            await asyncio.wait([watch])
            await self._end(problem)
            watch.result()

    async def _end(self, problem: bytes) -> None:
        """Whatever happened: the log is whole, and the response has ended."""
        self.history.runs.pop((self.scope, self.id), None)
        try:
            await self._flush()
            now = self.history.now()
            row = await self.history.store.get(self.scope, self.id, now)
            if row is not None and row.status in RUNNING:
                await _fail(self.history, self.scope, row, problem)
        except StoreError as error:
            logger.warning("the end of response %s is not kept: %r", self.id, error.__cause__)
        self.news.set()

    async def _watch(self, task: "asyncio.Task[Any] | None") -> None:
        """Writes the log, renews the lease, and breaks off a run that was cancelled elsewhere."""
        lease = self.history.settings.background_lease
        renewed = self.history.now()
        while not self._over.is_set():
            await _heard(self._over, _FLUSH)
            try:
                await self._flush()
                if (now := self.history.now()) - renewed < lease / 3:
                    continue
                renewed = now
                if await self.history.store.renew(self.scope, self.id, now + lease) not in RUNNING and task is not None:
                    task.cancel()
                    return
            except StoreError as error:
                logger.warning("the log of response %s cannot be written: %r", self.id, error.__cause__)


class BackgroundCaller(Errand):
    """Hears the answer of a run."""

    __slots__ = ("run",)

    def __init__(self, by: Caller, identity: Identity, body: bytes, run: Run) -> None:
        super().__init__(by, identity, body)
        self.run = run

    async def send(self, data: bytes) -> None:
        if not 200 <= self.status < 300:
            await super().send(data)
            return
        if b"data:" in data:
            for frame in data.replace(b"\r\n", b"\n").split(b"\n\n"):
                if frame:
                    self.run.log(frame + b"\n\n")


def make_room(history: "History") -> None:
    """
    Raises:
        PolicyError: as many as may run here do already.
    """
    if len(history.runs) >= history.settings.background_limit:
        raise PolicyError(
            "too many responses run in the background now; try again later",
            kind=Kind.OVERLOADED,
            code="too_many_background_responses",
            retry_after=5,
        )


def start_run(runtime: Runtime, history: "History", exchange: Exchange, caller: Caller, response_id: str) -> Run:
    """Begins to answer the request of ``exchange``, under that id."""
    run = Run(history, Scope.of(exchange.identity), response_id)
    history.runs[run.scope, run.id] = run
    inner = errand_exchange(exchange, exchange.endpoint)
    # It is settled as that one, and once.
    inner.trace, exchange.trace, exchange.settled = exchange.trace, None, True
    hears = BackgroundCaller(caller, exchange.identity, exchange.body, run)
    run.task = runtime.spawn(run.work(runtime, hears, inner), "background response")
    return run


async def follow(history: "History", scope: Scope, response_id: str, after: int) -> AsyncIterator[bytes]:
    """The events numbered above ``after``, as they come, up to the last one; comments while nothing comes."""
    silent = ended_for = 0.0
    while True:
        rows = await history.store.events(scope, response_id, after, _PAGE)
        for row in rows:
            try:
                frame, after = history.vault.open(row.data), row.number
            except UnreadableError:
                logger.warning("the log of response %s cannot be read", response_id)
                return
            yield frame
            if _TERMINAL.search(frame):
                return
        if rows:
            silent = ended_for = 0.0
            continue
        found = await history.store.get(scope, response_id, history.now())
        if found is None:
            return
        found = await recovered(history, scope, found)
        if found.status not in RUNNING:
            if ended_for >= _GRACE or found.status == "cancelled":
                yield _ended(history, found, after + 1)
                return
            ended_for += _POLL
        await _wait(history.runs.get((scope, response_id)))
        if (silent := silent + _POLL) >= _SILENCE:
            silent = 0.0
            yield b": keep-alive\n\n"


async def until_ended(history: "History", scope: Scope, response_id: str) -> AsyncIterator[bytes]:
    """Comments, as long as it runs; for those without a log."""
    silent = 0.0
    while (row := await history.store.get(scope, response_id, history.now())) is not None:
        if (await recovered(history, scope, row)).status not in RUNNING:
            return
        await _wait(history.runs.get((scope, response_id)))
        if (silent := silent + _POLL) >= _SILENCE:
            silent = 0.0
            yield b": keep-alive\n\n"


async def _wait(run: Run | None) -> None:
    if run is None:
        await asyncio.sleep(_POLL)
        return
    await _heard(run.news, _POLL)


async def _heard(event: asyncio.Event, seconds: float) -> None:
    """Waits for the event, or so long."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


async def recovered(history: "History", scope: Scope, row: ResponseRow) -> ResponseRow:
    """The response as it is: one whose process is gone has failed."""
    if row.status not in RUNNING or not 0 < row.lease <= history.now():
        return row
    await _fail(history, scope, row, b"")
    return await history.store.get(scope, row.id, history.now()) or row


async def _fail(history: "History", scope: Scope, row: ResponseRow, problem: bytes) -> None:
    error: bytes = _encode({"code": "server_error", "message": "the gateway that ran this response was stopped"})
    if problem:
        try:
            error = bytes(_failed.decode(problem).error)
        except msgspec.MsgspecError:
            logger.warning("response %s ended in something that is no error", row.id)
    await finish_as(history, scope, row, "failed", {"error": error})


async def finish_as(history: "History", scope: Scope, row: ResponseRow, status: Any, values: dict[str, bytes]) -> bool:
    """Ends a running response; whether it was running."""
    try:
        kept = unseal(history.vault, row.data, Kept)
        response = edited(bytes(kept.response), {"status": _encode(status), **values})
        data = history.vault.seal(_encode(msgspec.structs.replace(kept, response=Raw(response))))
    except AsgiLLMError:
        data = row.data  # it cannot be read, and ends all the same
    return await history.store.finish(scope, msgspec.structs.replace(row, status=status, data=data, lease=0.0))


def _ended(history: "History", row: ResponseRow, number: int) -> bytes:
    """The last event of a log that lacks it."""
    response = bytes(unseal(history.vault, row.data, Kept).response)
    kind = f"response.{row.status if row.status in ('completed', 'failed') else 'incomplete'}"
    data = _encode({"type": kind, "sequence_number": number, "response": Raw(response)})
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)
