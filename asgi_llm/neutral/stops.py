"""Stop sequences for upstreams that have none: the answer is cut at the first one in its text.

What was thought and what tools are called with is not looked at. Nothing here knows a wire format.
"""

from collections.abc import Iterable

from msgspec import structs

from .events import BlockStart, BlockStop, CitationAdd, Event, Failure, Finished, Start, TextDelta, UsageUpdate
from .request import Part, Text
from .response import Candidate, Finish, Response

__all__ = ["Cutter", "cut"]


def cut(response: Response, stops: tuple[str, ...]) -> Response:
    """The answer up to the first of ``stops`` in a text of it, for each candidate."""
    stops = tuple(stop for stop in stops if stop)
    return structs.replace(response, candidates=tuple(_cut(candidate, stops) for candidate in response.candidates))


def _cut(candidate: Candidate, stops: tuple[str, ...]) -> Candidate:
    for place, part in enumerate(candidate.parts):
        if isinstance(part, Text) and (found := _first(part.text, stops)) is not None:
            at, stop = found
            parts = (*candidate.parts[:place], *_shortened(part, at))
            return structs.replace(candidate, parts=parts, finish=_finish(stop), logprobs=None)
    return candidate


def _shortened(part: Text, length: int) -> tuple[Part, ...]:
    if length == 0:
        return ()
    citations = tuple(citation for citation in part.citations if (citation.end or 0) <= length)
    return (structs.replace(part, text=part.text[:length], citations=citations),)


def _finish(stop: str) -> Finish:
    return Finish("stop_sequence", stop_sequence=stop)


def _first(text: str, stops: tuple[str, ...]) -> tuple[int, str] | None:
    """Where the stop sequence begins that is complete first, and which it is; as it would be found word by word."""
    found = [(at + len(stop), at, stop) for stop in stops if (at := text.find(stop)) >= 0]
    if not found:
        return None
    _, at, stop = min(found)
    return at, stop


class Cutter:
    """The push form of ``cut``. Text is held back for as long as it may be the beginning of a stop sequence.

    Attributes:
        over: the answer was cut, and nothing of what the upstream may still say is wanted.
    """

    __slots__ = ("_alone", "_begun", "_finishes", "_held", "_stops", "over")

    def __init__(self, stops: tuple[str, ...], candidates: int = 1) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._alone = candidates == 1
        self._held: dict[int, TextDelta] = {}
        """What is held back of the open text block, by candidate."""
        self._finishes: dict[int, Finish] = {}
        """How the candidates end that were cut."""
        self.over = False

    def feed(self, events: Iterable[Event]) -> list[Event]:
        out: list[Event] = []
        for event in events:
            if self.over:
                break
            match event:
                case TextDelta():
                    self._text(event, out)
                case UsageUpdate() | Start():
                    out.append(event)
                case Finished() if event.candidate in self._finishes:
                    out.append(Finished(self._finishes[event.candidate], event.candidate))
                case BlockStart() | BlockStop() | CitationAdd() | Finished():
                    if event.candidate not in self._finishes:
                        self._release(event.candidate, out)
                        out.append(event)
                case Failure():
                    for candidate in list(self._held):
                        self._release(candidate, out)
                    out.append(event)
                case _ if getattr(event, "candidate", None) not in self._finishes:
                    out.append(event)
        return out

    def _text(self, event: TextDelta, out: list[Event]) -> None:
        candidate = event.candidate
        if candidate in self._finishes:
            return
        held = self._held.pop(candidate, None)
        text = event.text if held is None else held.text + event.text
        found = _first(text, self._stops)
        if found is not None:
            at, stop = found
            self._say(event, text[:at], out)
            out.append(BlockStop(event.index, candidate))
            self._finishes[candidate] = _finish(stop)
            if self._alone:
                out.append(Finished(self._finishes[candidate], candidate))
                self.over = True
            return
        keep = self._beginning(text)
        self._say(event, text[: len(text) - keep], out)
        if keep:
            self._held[candidate] = structs.replace(event, text=text[-keep:], logprobs=None)

    def _say(self, event: TextDelta, text: str, out: list[Event]) -> None:
        if text or event.logprobs is not None:
            out.append(structs.replace(event, text=text))

    def _beginning(self, text: str) -> int:
        """How many characters at the end of ``text`` may become a stop sequence."""
        return max((_overlap(text, stop) for stop in self._stops), default=0)

    def _release(self, candidate: int, out: list[Event]) -> None:
        if (held := self._held.pop(candidate, None)) is not None:
            out.append(held)


def _overlap(text: str, stop: str) -> int:
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)
