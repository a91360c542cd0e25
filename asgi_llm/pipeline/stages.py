"""One hook's look at one streamed answer: event by event with a delay, or all of it at its end."""

import logging
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from asgi_llm.errors import Kind
from asgi_llm.hooks import Ask, Hook, Refused, overrides
from asgi_llm.neutral.events import (
    ArgumentsDelta,
    Event,
    Failure,
    Finished,
    MediaDelta,
    ReasoningDelta,
    Start,
    TextDelta,
)
from asgi_llm.neutral.fold import Folder, unfold

from .calling import call

__all__ = ["Stage", "open_stage"]

logger = logging.getLogger("asgi_llm.hooks")

_EVENTS = 10_000
"""Most events that are kept back."""


class Stage(Protocol):
    """Attributes:
    changed: whether anything left it that was not what came in.
    """

    changed: bool

    async def feed(self, event: Event) -> Sequence[Event]:
        """What may go on now.

        Raises:
            Refused: nothing of this and of what was kept back may.
        """
        ...


def open_stage(hook: Hook, ask: Ask, limit: int) -> Stage:
    """``limit`` is how many characters may be collected for a hook that wants the whole."""
    return Delayed(hook, ask) if overrides(hook, "on_event") else Collected(hook, ask, limit)


def _size(event: Event) -> int:
    """Characters that a caller would get to read."""
    match event:
        case TextDelta() | ArgumentsDelta() | ReasoningDelta():
            return len(event.text)
        case MediaDelta():
            return len(event.data)
    return 0


class Delayed:
    """Shows each event to the hook and keeps the last ``hook.hold`` characters back."""

    __slots__ = ("_ask", "_held", "_hook", "_size", "changed")

    def __init__(self, hook: Hook, ask: Ask) -> None:
        self._hook = hook
        self._ask = ask
        self._held: deque[tuple[int, Event]] = deque()
        self._size = 0
        self.changed = False

    async def feed(self, event: Event) -> Sequence[Event]:
        told = await call(self._hook, self._hook.on_event(self._ask, event))
        if told is None:
            out: Sequence[Event] = (event,)
        else:
            out = (told,) if not isinstance(told, Sequence) else told
            self.changed = self.changed or len(out) != 1 or out[0] is not event
        if isinstance(event, Failure):
            self._held.clear()  # nothing more will be seen that could speak for it
            return out
        if not self._hook.hold:
            return out
        for each in out:
            self._held.append((_size(each), each))
            self._size += self._held[-1][0]
        return self._released(everything=isinstance(event, Finished))

    def _released(self, *, everything: bool) -> list[Event]:
        released = []
        while self._held:
            size, event = self._held[0]
            if not everything and size and self._size - size < self._hook.hold and len(self._held) <= _EVENTS:
                break
            self._held.popleft()
            self._size -= size
            released.append(event)
        return released


class Collected:
    """Keeps the answer until its end and shows it to a hook that wants to see it whole."""

    __slots__ = ("_ask", "_events", "_folder", "_hook", "_left", "_passes", "_waiting", "changed")

    def __init__(self, hook: Hook, ask: Ask, limit: int) -> None:
        self._hook = hook
        self._ask = ask
        self._left = limit
        self._events: list[Event] = []
        self._folder = Folder()
        self._waiting = (ask.request.n if ask.request is not None else None) or 1
        self._passes = False
        self.changed = False

    async def feed(self, event: Event) -> Sequence[Event]:
        if self._passes or isinstance(event, Failure):
            return (event,)
        self._left -= _size(event)
        if self._left < 0:
            return self._too_long(event)
        self._folder.feed(event)
        if isinstance(event, Start):
            return (event,)
        self._events.append(event)
        if isinstance(event, Finished):
            self._waiting -= 1
            if not self._waiting:
                return await self._judged()
        return ()

    async def _judged(self) -> Sequence[Event]:
        self._passes = True
        whole = self._folder.response()
        told = await call(self._hook, self._hook.on_response(self._ask, whole))
        if told is None or told is whole:
            return self._events
        self.changed = True
        return unfold(told)[1:]

    def _too_long(self, event: Event) -> Sequence[Event]:
        if self._hook.on_failure == "closed":
            raise Refused("the answer is too long to be looked at", code="hook_failed", kind=Kind.OVERLOADED)
        logger.warning("an answer is too long to be shown to %r and passes", self._hook)
        self._passes = True
        return [*self._events, event]
