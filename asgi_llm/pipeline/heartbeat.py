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


_PARTS = 8


def _always() -> bool:
    return True


class Heartbeat:
    """Counts silence from its making on. ``pause`` makes sure that nothing is being sent, ``stop`` ends it.

    Attributes:
        silent: parts of the interval that passed without a piece; whoever sends one sets it to 0. The timer looks at
            it ``_PARTS`` times an interval, so that a piece costs no look at the clock.
        beating: whether a keep-alive is being sent now.
        words: what a keep-alive is.
        boundary: whether one may be put in now, which is not so in the middle of an event.
    """

    __slots__ = (
        "_caller",
        "_exchange",
        "_runtime",
        "_task",
        "_tick",
        "_timer",
        "beating",
        "boundary",
        "silent",
        "words",
    )

    def __init__(self, runtime: Runtime, exchange: Exchange, caller: Caller) -> None:
        self._runtime = runtime
        self._exchange = exchange
        self._caller = caller
        self._tick = runtime.blueprint.settings.stream.keepalive / _PARTS
        self._timer: asyncio.TimerHandle | None = None
        if self._tick:
            self._timer = runtime.loop.call_later(self._tick, self._fire)
        self._task: asyncio.Task[None] | None = None
        self.silent = 0
        self.beating = False
        self.words: Callable[[], bytes] = self._default_words
        self.boundary: Callable[[], bool] = _always

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
        self.silent += 1
        if self.silent < _PARTS or not self.boundary():
            self._timer = self._runtime.loop.call_later(self._tick, self._fire)
            return
        self.beating = True
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
            self.beating = False
        self.silent = 0
        if self._timer is not None:
            self._timer = self._runtime.loop.call_later(self._tick, self._fire)
