"""Keeps a stream open while the upstream is silent.

After ``stream.keepalive`` seconds without a byte to the caller, the status is committed (if it was not yet) and
something that means nothing is sent, as the dialect has it. It costs one timer a stream; a task exists only while a
keep-alive is being sent.
"""

import asyncio
from collections.abc import Callable

from asgi_llm.exchange import Caller, Exchange
from asgi_llm.runtime import Runtime

from .head import stream_head

__all__ = ["Heartbeat"]


def _always() -> bool:
    return True


class Heartbeat:
    """Counts silence from its making on. ``touch`` is called for every piece that is sent, ``pause`` makes sure that
    nothing is being sent, ``stop`` ends it.

    Attributes:
        words: what a keep-alive is.
        boundary: whether one may be put in now, which is not so in the middle of an event.
    """

    __slots__ = ("_caller", "_exchange", "_interval", "_runtime", "_task", "_timer", "_touched", "boundary", "words")

    def __init__(self, runtime: Runtime, exchange: Exchange, caller: Caller) -> None:
        self._runtime = runtime
        self._exchange = exchange
        self._caller = caller
        self._interval = runtime.blueprint.settings.stream.keepalive
        self._timer: asyncio.TimerHandle | None = None
        if self._interval:
            self._timer = runtime.loop.call_later(self._interval, self._fire)
        self._task: asyncio.Task[None] | None = None
        self._touched = runtime.loop.time()
        self.words: Callable[[], bytes] = self._default_words
        self.boundary: Callable[[], bool] = _always

    @property
    def beating(self) -> bool:
        """Whether a keep-alive is being sent now."""
        return self._task is not None

    def touch(self) -> None:
        """A piece was sent."""
        self._touched = self._runtime.loop.time()

    async def pause(self) -> None:
        """Waits until a keep-alive that is being sent is out: sends must not overlap."""
        if self._task is not None:
            await asyncio.wait([self._task])

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is not None:
            self._task.cancel()

    def _default_words(self) -> bytes:
        return self._exchange.dialect.keepalive

    def _fire(self) -> None:
        loop = self._runtime.loop
        silent = loop.time() - self._touched
        if silent < self._interval or not self.boundary():
            self._timer = loop.call_later(max(self._interval - silent, 0.05), self._fire)
            return
        self._task = self._runtime.spawn(self._beat(), "keep-alive")

    async def _beat(self) -> None:
        caller = self._caller
        try:
            if not caller.started:
                self._exchange.status = 200
                await caller.start(200, stream_head(self._exchange, []))
            await caller.send(self.words())
        except Exception:  # noqa: BLE001  # a server that cannot send any more also reports that the caller left
            return
        finally:
            self._task = None
        self.touch()
        if self._timer is not None:
            self._timer = self._runtime.loop.call_later(self._interval, self._fire)
