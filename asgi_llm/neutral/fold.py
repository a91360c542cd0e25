"""Pieces into a whole and back, and the check that the pieces come in their order.

A streamed answer, folded, is the answer that would have come without streaming. ``fold`` and ``unfold`` are pure;
``Folder`` is the push form. Nothing here knows a wire format.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable
from typing import assert_never

import msgspec
from msgspec import Raw, structs

from asgi_llm.errors import AsgiLLMError

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
from .grammar import Grammar, GrammarError
from .request import (
    Audio,
    Carrier,
    Citation,
    Compaction,
    Document,
    Image,
    Inline,
    Part,
    Reasoning,
    Refusal,
    ServerCall,
    Text,
    ToolCall,
    Video,
)
from .response import Candidate, Finish, Response
from .usage import Usage, merge

__all__ = ["Folder", "Grammar", "GrammarError", "fold", "joined_base64", "unfold"]


_Delta = TextDelta | ArgumentsDelta | ReasoningDelta | MediaDelta | CarrierSet | CitationAdd


def fold(events: Iterable[Event]) -> Response:
    """The whole answer that the events add up to.

    Raises:
        AsgiLLMError: the events end in a ``Failure``; its error.
        GrammarError: an event has no place to go, or the end is missing.
    """
    folder = Folder()
    for event in events:
        folder.feed(event)
    return folder.response()


class Folder:
    """The push form of ``fold``. Holds the whole answer, so its memory is the answer's size."""

    __slots__ = ("_candidates", "_failure", "_start", "_usage")

    def __init__(self) -> None:
        self._start: Start | None = None
        self._usage: Usage | None = None
        self._failure: AsgiLLMError | None = None
        self._candidates: dict[int, _Candidate] = {}

    def feed(self, event: Event) -> None:
        """Take in one event. ``Ping`` and ``RawEvent`` leave no trace in a whole answer.

        Raises:
            GrammarError: a delta without its block, or one that does not fit the block's part.
        """
        match event:
            case TextDelta() | ArgumentsDelta() | ReasoningDelta() | MediaDelta() | CarrierSet() | CitationAdd():
                self._candidate(event.candidate).open_block(event).add(event)
            case BlockStart():
                self._candidate(event.candidate).blocks[event.index] = _Block(event.part)
            case Start():
                self._start = event
                self._usage = merge(self._usage, event.usage)
            case UsageUpdate():
                self._usage = merge(self._usage, event.usage)
            case Finished():
                self._candidate(event.candidate).finish = event.finish
            case Failure():
                self._failure = event.error
            case BlockStop() | Ping() | RawEvent():
                pass
            case _:
                assert_never(event)

    @property
    def usage(self) -> Usage | None:
        """As known so far."""
        return self._usage

    def response(self) -> Response:
        """The whole answer. Candidates come in the order of their index.

        Raises:
            AsgiLLMError: a ``Failure`` came; its error.
            GrammarError: no ``Start`` came, or a candidate has no ``Finished``.
        """
        if self._failure is not None:
            raise self._failure
        if self._start is None:
            raise GrammarError("the answer has no Start")
        if not self._candidates:
            raise GrammarError("the answer has no Finished")
        return Response(
            id=self._start.id,
            model=self._start.model,
            candidates=tuple(candidate.whole(index) for index, candidate in sorted(self._candidates.items())),
            usage=self._usage,
            created=self._start.created,
            service_tier=self._start.service_tier,
        )

    def _candidate(self, index: int) -> "_Candidate":
        candidate = self._candidates.get(index)
        if candidate is None:
            candidate = self._candidates[index] = _Candidate()
        return candidate


class _Candidate:
    __slots__ = ("blocks", "finish")

    def __init__(self) -> None:
        self.blocks: dict[int, _Block] = {}
        self.finish: Finish | None = None

    def open_block(self, event: _Delta) -> "_Block":
        block = self.blocks.get(event.index)
        if block is None:
            raise GrammarError(f"{_name(event)} for block {event.index}, which was not started")
        return block

    def whole(self, index: int) -> Candidate:
        if self.finish is None:
            raise GrammarError(f"candidate {index} has no Finished")
        blocks = [self.blocks[number] for number in sorted(self.blocks)]
        return Candidate(
            parts=tuple(block.whole() for block in blocks),
            finish=self.finish,
            index=index,
            logprobs=_join([raw for block in blocks for raw in block.logprobs]),
        )


class _Block:
    """One part under construction: its header and what came after it."""

    __slots__ = ("carriers", "citations", "logprobs", "part", "pieces", "summary", "transcript")

    def __init__(self, part: Part) -> None:
        self.part = part
        self.pieces: list[str] = []
        self.transcript: list[str] = []
        self.summary: dict[int, list[str]] = {}
        self.carriers: list[Carrier] = []
        self.citations: list[Citation] = []
        self.logprobs: list[Raw] = []

    def add(self, event: _Delta) -> None:
        match event, self.part:
            case TextDelta(), Text() | Refusal():
                self.pieces.append(event.text)
                if event.logprobs is not None:
                    self.logprobs.append(event.logprobs)
            case TextDelta(), Audio():
                self.transcript.append(event.text)
            case ArgumentsDelta(), ToolCall() | ServerCall():
                self.pieces.append(event.text)
            case ReasoningDelta(summary=True), Reasoning():
                self.summary.setdefault(event.part, []).append(event.text)
            case ReasoningDelta(), Reasoning():
                self.pieces.append(event.text)
            case MediaDelta(), Image(source=Inline()) | Document(source=Inline()) | Audio(source=Inline()):
                self.pieces.append(event.data)
            case MediaDelta(), Video(source=Inline()):
                self.pieces.append(event.data)
            case CarrierSet(), Text() | Reasoning() | ToolCall() | Compaction():
                self.carriers.append(event.carrier)
            case CitationAdd(), Text():
                self.citations.append(event.citation)
            case _:
                raise GrammarError(f"{_name(event)} does not fit a block of {_name(self.part)}")

    def whole(self) -> Part:
        text = "".join(self.pieces)
        match self.part:
            case Text() as part:
                return structs.replace(
                    part,
                    text=part.text + text,
                    citations=(*part.citations, *self.citations),
                    carriers=(*part.carriers, *self.carriers),
                )
            case Refusal() as part:
                return Refusal(part.text + text)
            case Reasoning() as part:
                return structs.replace(
                    part,
                    text=part.text + text,
                    summary=self._summary(part.summary),
                    carriers=(*part.carriers, *self.carriers),
                )
            case ToolCall() as part:
                return structs.replace(part, arguments=part.arguments + text, carriers=(*part.carriers, *self.carriers))
            case ServerCall() as part:
                return structs.replace(part, arguments=part.arguments + text)
            case Compaction() as part:
                return structs.replace(part, carrier=self.carriers[-1]) if self.carriers else part
            case Image(source=Inline() as source) | Document(source=Inline() as source) as part:
                return structs.replace(part, source=structs.replace(source, data=source.data + text))
            case Audio() as part:
                part = structs.replace(part, transcript="".join([part.transcript, *self.transcript]))
                if not isinstance(part.source, Inline):
                    return part
                data = joined_base64([part.source.data, *self.pieces])
                return structs.replace(part, source=structs.replace(part.source, data=data))
            case Video(source=Inline() as source) as part:
                return structs.replace(part, source=structs.replace(source, data=source.data + text))
            case part:
                return part

    def _summary(self, header: tuple[str, ...]) -> tuple[str, ...]:
        """In the order of the part numbers; numbers that were left out leave no gap."""
        parts = dict(enumerate(header))
        for number, pieces in self.summary.items():
            parts[number] = parts.get(number, "") + "".join(pieces)
        return tuple(parts[number] for number in sorted(parts))


def joined_base64(pieces: Iterable[str]) -> str:
    """Base64 that came in pieces, of which each may be whole in itself."""
    said = [piece for piece in pieces if piece]
    if not any(piece.endswith("=") for piece in said[:-1]):
        return "".join(said)
    try:
        return b64encode(b"".join(map(b64decode, said))).decode()
    except ValueError:
        return "".join(said)


_Logprobs = list[Raw] | dict[str, list[Raw] | None]


def _join(pieces: list[Raw]) -> Raw | None:
    """Log probabilities of several deltas as one value: lists are strung together, objects of lists key by key.

    One piece is kept byte for byte. Of pieces of any other shape the last one counts.
    """
    if len(pieces) <= 1:
        return pieces[0] if pieces else None
    try:
        values: list[_Logprobs] = [msgspec.json.decode(piece, type=_Logprobs) for piece in pieces]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return pieces[-1]
    if all(isinstance(value, list) for value in values):
        return Raw(msgspec.json.encode([entry for value in values for entry in value]))
    whole: dict[str, list[Raw] | None] = {}
    for value in values:
        if isinstance(value, dict):
            for key, entries in value.items():
                earlier = whole.get(key)
                whole[key] = earlier if entries is None else [*(earlier or ()), *entries]
    return Raw(msgspec.json.encode(whole))


def unfold(response: Response) -> list[Event]:
    """A whole answer as the shortest legal list of events, candidate after candidate.

    ``fold`` gives the answer back, with two exceptions that events cannot carry: ``ext``, and the ``logprobs`` of a
    candidate without any text.
    """
    events: list[Event] = [
        Start(response.id, response.model, created=response.created, service_tier=response.service_tier)
    ]
    for candidate in response.candidates:
        logprobs = candidate.logprobs
        for index, part in enumerate(candidate.parts):
            events += _unfold_part(index, part, candidate.index, logprobs)
            if isinstance(part, Text | Refusal):
                logprobs = None
        if response.usage is not None and candidate is response.candidates[-1]:
            events.append(UsageUpdate(response.usage))
        events.append(Finished(candidate.finish, candidate.index))
    return events


def _unfold_part(i: int, part: Part, c: int, logprobs: Raw | None) -> list[Event]:
    """``logprobs`` belongs to the first text of the candidate ``c`` and is left to it."""
    header: Part = part
    body: list[Event] = []
    match part:
        case Text():
            header = structs.replace(part, text="", citations=(), carriers=())
            if part.text or logprobs is not None:
                body.append(TextDelta(i, part.text, c, logprobs))
            body += [CitationAdd(i, citation, c) for citation in part.citations]
            body += [CarrierSet(i, carrier, c) for carrier in part.carriers]
        case Refusal():
            header = Refusal("")
            if part.text or logprobs is not None:
                body.append(TextDelta(i, part.text, c, logprobs))
        case Reasoning(redacted=False):
            header = Reasoning(id=part.id)
            if part.text:
                body.append(ReasoningDelta(i, part.text, candidate=c))
            body += [ReasoningDelta(i, text, True, number, c) for number, text in enumerate(part.summary)]
            body += [CarrierSet(i, carrier, c) for carrier in part.carriers]
        case ToolCall():
            # With its carriers: where a dialect keeps them beside the call, they must be known before it.
            header = structs.replace(part, arguments="")
            if part.arguments:
                body.append(ArgumentsDelta(i, part.arguments, c))
        case _:
            pass  # arrives whole in its header
    return [BlockStart(i, header, c), *body, BlockStop(i, c)]


def _name(value: Event | Part) -> str:
    return type(value).__name__
