"""The order of the events of one answer, as ``events`` promises it, checked.

Made for tests and debugging: it costs a few comparisons an event and never changes one.
"""

from typing import assert_never

from .events import (
    ArgumentsDelta,
    BlockStart,
    BlockStop,
    CarrierSet,
    CitationAdd,
    Event,
    Failure,
    Finished,
    MediaDelta,
    Ping,
    RawEvent,
    ReasoningDelta,
    Start,
    TextDelta,
    UsageUpdate,
)

__all__ = ["Grammar", "GrammarError"]

_Delta = TextDelta | ArgumentsDelta | ReasoningDelta | MediaDelta | CarrierSet | CitationAdd


class GrammarError(ValueError):
    """An event came where the order of events does not allow it."""


class Grammar:
    """Checks the order of the events of one answer.

    ``candidates`` is how many answers were asked for; until all of them are finished a ``Failure`` is still in order.
    A ``Ping`` may come before the ``Start`` (the upstream is alive, the answer has not begun), and so may a
    ``Failure`` (it never began).
    """

    __slots__ = ("_asked", "_ended", "_finished", "_next", "_open", "_started", "_usage_is_late")

    def __init__(self, candidates: int = 1) -> None:
        self._asked = candidates
        self._started = False
        self._ended = False
        self._usage_is_late = False
        self._open: dict[int, int] = {}
        self._next: dict[int, int] = {}
        self._finished: set[int] = set()

    def feed(self, event: Event) -> None:
        """
        Raises:
            GrammarError: the event is out of order.
        """
        if self._ended:
            raise GrammarError(f"{_name(event)} after Failure")
        if not self._started and not isinstance(event, Start | Ping | Failure):
            raise GrammarError(f"{_name(event)} before Start")
        match event:
            case Start():
                self._start()
            case BlockStart():
                self._block_start(event)
            case BlockStop():
                self._inside(event)
                del self._open[event.candidate]
            case UsageUpdate():
                self._usage_is_late = bool(self._finished)
            case Finished():
                self._finish(event)
            case Failure():
                self._fail()
            case Ping() | RawEvent():
                pass
            case TextDelta() | ArgumentsDelta() | ReasoningDelta() | MediaDelta() | CarrierSet() | CitationAdd():
                self._inside(event)
            case _:
                assert_never(event)

    def end(self) -> None:
        """Nothing more comes.

        Raises:
            GrammarError: something is missing.
        """
        if self._ended:
            return
        if not self._finished:
            raise GrammarError("the answer ends with neither Finished nor Failure")
        if unfinished := self._next.keys() - self._finished:
            raise GrammarError(f"candidate {min(unfinished)} has no Finished")
        if self._usage_is_late:
            raise GrammarError("UsageUpdate after the last Finished")

    def _start(self) -> None:
        if self._started:
            raise GrammarError("a second Start")
        self._started = True

    def _block_start(self, event: BlockStart) -> None:
        candidate = event.candidate
        self._running(event, candidate)
        if candidate in self._open:
            raise GrammarError(f"BlockStart {event.index} while block {self._open[candidate]} is open")
        expected = self._next.get(candidate, 0)
        if event.index != expected:
            raise GrammarError(f"BlockStart {event.index} where block {expected} is next")
        self._open[candidate] = event.index
        self._next[candidate] = expected + 1

    def _inside(self, event: _Delta | BlockStop) -> None:
        self._running(event, event.candidate)
        if (block := self._open.get(event.candidate)) != event.index:
            state = "no block is open" if block is None else f"block {block} is open"
            raise GrammarError(f"{_name(event)} for block {event.index} while {state}")

    def _finish(self, event: Finished) -> None:
        self._running(event, event.candidate)
        if event.candidate in self._open:
            raise GrammarError(f"Finished while block {self._open[event.candidate]} is open")
        self._finished.add(event.candidate)
        self._usage_is_late = False

    def _fail(self) -> None:
        if len(self._finished) >= self._asked:
            raise GrammarError("Failure after Finished")
        self._ended = True

    def _running(self, event: Event, candidate: int) -> None:
        if candidate in self._finished:
            raise GrammarError(f"{_name(event)} after Finished of candidate {candidate}")


def _name(event: Event) -> str:
    return type(event).__name__
