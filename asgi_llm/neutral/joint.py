"""Several rounds of one answer as one answer.

A provider may pause in the middle of its own tools' work and want to be asked to go on. To a caller that knows no such
thing the rounds are told as one: blocks are numbered on, what was used is added up, only the last end is told. Nothing
here knows a wire format, or how to ask.
"""

from collections.abc import Iterable

from msgspec import structs

from .events import Event, Finished, Start, UsageUpdate
from .fold import Folder
from .request import Part, ToolCall
from .response import Finish, Response
from .usage import Usage, merge, plus

__all__ = ["Joint", "joined", "pause_of"]


def pause_of(response: Response) -> Finish | None:
    """How the answer paused; None where it is complete, or it is the caller's turn to run tools."""
    if len(response.candidates) != 1:
        return None
    (candidate,) = response.candidates
    if candidate.finish.reason != "pause" or any(isinstance(part, ToolCall) for part in candidate.parts):
        return None
    return candidate.finish


def joined(earlier: Response, later: Response) -> Response:
    """Both rounds as one answer. Each has one candidate."""
    (first,), (second,) = earlier.candidates, later.candidates[:1]
    whole = structs.replace(first, parts=(*first.parts, *second.parts), finish=second.finish, logprobs=None)
    return structs.replace(earlier, candidates=(whole,), usage=plus(earlier.usage, later.usage))


class Joint:
    """The push form of ``joined``, for answers of one candidate.

    Attributes:
        paused: how the round that ended last paused; it is held back until ``go_on`` or ``end``. None where it did not.
    """

    __slots__ = ("_calls", "_folder", "_keep", "_later", "_next", "_offset", "_used", "_using", "paused")

    def __init__(self, *, keep: bool) -> None:
        """``keep``: what a round said is wanted when it pauses."""
        self._keep = keep
        self._folder = Folder() if keep else None
        self._later = False
        self._offset = 0
        """Blocks of the rounds before this one."""
        self._next = 0
        self._calls = False
        self._used: Usage | None = None
        """By the rounds before this one."""
        self._using: Usage | None = None
        self.paused: Finish | None = None

    def feed(self, events: Iterable[Event]) -> list[Event]:
        return [told for event in events if (told := self._told(event)) is not None]

    def end(self) -> list[Event]:
        """Nobody will go on: the pause is told as it is."""
        paused, self.paused = self.paused, None
        return [] if paused is None else [Finished(paused)]

    def forget(self) -> None:
        """What the round says is not wanted after all, because it is too much to keep."""
        self._folder = None

    def go_on(self) -> None:
        """The next round begins."""
        self.paused, self._later = None, True
        self._used, self._using = plus(self._used, self._using), None
        self._offset = self._next
        self._folder = Folder() if self._keep else None

    def parts(self) -> tuple[Part, ...] | None:
        """What the round said that has just paused; None where it was too much to keep."""
        if not self._keep:
            return ()
        if self._folder is None or self.paused is None:
            return None
        self._folder.feed(Finished(self.paused))
        return self._folder.response().candidates[0].parts

    def _told(self, event: Event) -> Event | None:
        if isinstance(event, Finished):
            if event.finish.reason == "pause" and not self._calls:
                self.paused = event.finish
                return None
            return event
        if self._folder is not None:
            self._folder.feed(event)
        match event:
            case Start():
                self._using = merge(self._using, event.usage)
                if self._later:
                    return None if event.usage is None else UsageUpdate(plus(self._used, self._using) or Usage())
                return event
            case UsageUpdate():
                self._using = merge(self._using, event.usage)
                return event if self._used is None else UsageUpdate(plus(self._used, self._using) or Usage())
        return self._moved(event)

    def _moved(self, event: Event) -> Event:
        index = getattr(event, "index", None)
        if index is None:
            return event
        if index + self._offset >= self._next:
            self._next = index + self._offset + 1
            self._calls = self._calls or isinstance(getattr(event, "part", None), ToolCall)
        return structs.replace(event, index=index + self._offset) if self._offset else event
