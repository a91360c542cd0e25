"""An upstream's stream -> neutral events.

Every piece is a whole ``GenerateContentResponse`` that goes on where the last one stopped; what has the same kind goes
on in the same block. The end is told at the end of the stream only: usage may come after the reason to finish. A
stream in which a candidate has no such reason is truncated, whatever came before.
Spec: Gemini API, "streamGenerateContent".
"""

from typing import Any

import msgspec
from msgspec import Raw

from asgi_llm.dialects.interface import Restore
from asgi_llm.dialects.sse import FrameTooLargeError
from asgi_llm.errors import Cause, UpstreamError
from asgi_llm.neutral.events import (
    ArgumentsDelta,
    BlockStart,
    BlockStop,
    CarrierSet,
    CitationAdd,
    Event,
    Failure,
    Finished,
    ReasoningDelta,
    Start,
    TextDelta,
    UsageUpdate,
)
from asgi_llm.neutral.request import Carrier, Part, Reasoning, Text
from asgi_llm.neutral.response import Finish
from asgi_llm.neutral.usage import Usage

from .answer import CHUNK, RawParts, WireCandidate, WireChunk
from .citations import Sources, read_sources
from .errors import content_error, in_band
from .finish import blocked, finish_of
from .logprobs import read_logprobs
from .parts import is_plain, plain_part, raw_part
from .raws import NULL, given
from .reader import PieceReader
from .restore import call_of
from .signatures import carriers_of
from .spelling import camel
from .streamed_call import StreamedCall
from .usage import decode_usage
from .wire import FunctionCall, WirePart

__all__ = ["GeminiDecoder"]

_TEXT, _THOUGHT = Text(""), Reasoning()
_EVERY = 8
"""Pieces after which usage is told anew. Nearly each piece repeats it, each time a little more."""


class _Candidate:
    """One answer in the making. The open text is kept, because citations count its bytes."""

    __slots__ = ("calls", "index", "kind", "message", "number", "signed", "sources", "streamed", "texts",
                 "token", "word")  # fmt: skip

    def __init__(self, number: int) -> None:
        self.number = number
        self.index = -1
        """Of the block opened last."""
        self.kind = ""
        """Of the open block: text or thought; empty where none is open."""
        self.signed = False
        """The open block has its signature; nothing may be added to it."""
        self.texts: list[str] = []
        self.sources: Sources = ()
        self.calls = False
        self.streamed: StreamedCall | None = None
        """A call of which not all has come; it is told when it is whole, as others come here."""
        self.word: str | None = None
        self.message: str | None = None
        self.token: Any = None

    def part(self, wire: WirePart, restore: Restore, events: list[Event]) -> bool:
        """Take a part; False where its raw bytes are needed."""
        if wire.function_call is not None:
            self._call(wire.function_call, carriers_of(wire.thought_signature), restore, events)
        elif wire.text is not None:
            self.text(
                wire.text, "thought" if wire.thought else "text", carriers_of(wire.thought_signature), None, events
            )
        elif is_plain(wire):
            self.whole(plain_part(wire), events)
        else:
            return False
        return True

    def text(
        self, text: str, kind: str, carriers: tuple[Carrier, ...], logprobs: Raw | None, events: list[Event]
    ) -> None:
        """More of a text or a thought."""
        if not text and not carriers and logprobs is None:
            return
        if self.kind != kind or self.signed:
            self.close(events)
            self._open(kind, events)
        number, index = self.number, self.index
        if kind == "thought":
            if text:
                events.append(ReasoningDelta(index, text, True, 0, number))
        elif text or logprobs is not None:
            self.texts.append(text)
            events.append(TextDelta(index, text, number, logprobs))
        for carrier in carriers:
            self.signed = True
            events.append(CarrierSet(index, carrier, number))

    def _open(self, kind: str, events: list[Event]) -> None:
        self.index += 1
        self.kind = kind
        events.append(BlockStart(self.index, _THOUGHT if kind == "thought" else _TEXT, self.number))

    def _call(self, wire: FunctionCall, carriers: tuple[Carrier, ...], restore: Restore, events: list[Event]) -> None:
        if self.streamed is None and not wire.will_continue and not wire.partial_args:
            self._whole_call(wire, carriers, restore, events)
            return
        if self.streamed is not None and not self.streamed.goes_on_with(wire):
            self._end_call(restore, events)
        if self.streamed is None:
            self.streamed = StreamedCall(wire)
        self.streamed.add(wire, carriers)
        if not wire.will_continue:
            self._end_call(restore, events)

    def _end_call(self, restore: Restore, events: list[Event]) -> None:
        if (streamed := self.streamed) is not None:
            self.streamed = None
            self._whole_call(streamed.whole(), streamed.carriers, restore, events)

    def _whole_call(
        self, wire: FunctionCall, carriers: tuple[Carrier, ...], restore: Restore, events: list[Event]
    ) -> None:
        self.calls = True
        call = call_of(wire, carriers, restore)
        self.close(events)
        self.index += 1
        events.append(BlockStart(self.index, msgspec.structs.replace(call, arguments=""), self.number))
        if call.arguments:
            events.append(ArgumentsDelta(self.index, call.arguments, self.number))
        events.append(BlockStop(self.index, self.number))

    def whole(self, part: Part, events: list[Event]) -> None:
        """A part that comes all at once."""
        self.close(events)
        self.index += 1
        events += (BlockStart(self.index, part, self.number), BlockStop(self.index, self.number))

    def close(self, events: list[Event]) -> None:
        if not self.kind:
            return
        if self.kind == "text" and self.sources:
            text = "".join(self.texts)
            events.extend(CitationAdd(self.index, cited.citation(text), self.number) for cited in self.sources)
            self.sources = ()
        events.append(BlockStop(self.index, self.number))
        self.kind, self.signed, self.texts = "", False, []

    def finish(self) -> Finish:
        word = self.word or ""
        if self.streamed is not None and word != "MAX_TOKENS":
            word = "MALFORMED_FUNCTION_CALL"  # it was never whole
        return finish_of(word, self.message, self.token, calls=self.calls)


class GeminiDecoder:
    """One stream, of events or of the elements of an array."""

    __slots__ = ("_blocked", "_candidates", "_over", "_reader", "_restore", "_snake", "_started", "_untold", "_usage")

    def __init__(self, restore: Restore) -> None:
        self._reader = PieceReader()
        self._restore = restore
        self._candidates: dict[int, _Candidate] = {}
        self._started = False
        self._over = False
        self._blocked: Finish | None = None
        self._usage = NULL
        self._untold = 0
        self._snake: bool | None = None

    @property
    def told(self) -> Usage | None:
        return decode_usage(self._usage) if self._untold else None

    def feed(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        if self._over:
            return events
        try:
            pieces = self._reader.feed(data)
        except FrameTooLargeError as error:
            self._fail(content_error(str(error)), events)
            return events
        for piece in pieces:
            if self._take(piece, events):
                break
        return events

    def end(self) -> list[Event]:
        events: list[Event] = []
        if self._over:
            return events
        if not any(self._take(piece, events) for piece in self._reader.end()):
            self._finish(events)
        return events

    def _take(self, data: bytes, events: list[Event]) -> bool:
        """Take one piece; whether the stream is over now."""
        try:
            if not data.isascii():
                str(data, "utf-8")  # raw members are passed on without being looked at
            if self._snake is not False:
                # A server spells all its pieces alike; the first one tells.
                self._snake = (spelled := camel(data)) is not data
                data = spelled
            chunk = CHUNK.decode(data)
            if given(chunk.error) is not None:
                self._fail(in_band(data), events)
            else:
                self._chunk(chunk, data, events)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if data.strip() not in (b"", b"[DONE]"):  # imitations end like Chat Completions do
                broken = "breaks its protocol" if isinstance(error, msgspec.ValidationError) else "is not JSON"
                self._fail(content_error(f"The upstream sent an event that {broken}."), events)
        return self._over

    def _chunk(self, chunk: WireChunk, data: bytes, events: list[Event]) -> None:
        if chunk.usage_metadata != NULL:
            self._usage = chunk.usage_metadata
            self._untold += 1
        if not self._started:
            self._started = True
            self._untold = 0
            events.append(Start(chunk.response_id or "", chunk.model_version or "", usage=decode_usage(self._usage)))
        if chunk.candidates:
            raw = RawParts(data)
            for position, candidate in enumerate(chunk.candidates):
                self._candidate(candidate, position, raw, events)
        elif (feedback := chunk.prompt_feedback) is not None and feedback.block_reason:
            self._blocked = blocked(feedback.block_reason, feedback.block_reason_message)
        if self._untold >= _EVERY:
            self._tell_usage(events)

    def _tell_usage(self, events: list[Event]) -> None:
        if self._untold and (known := decode_usage(self._usage)) is not None:
            events.append(UsageUpdate(known))
        self._untold = 0

    def _candidate(self, wire: WireCandidate, position: int, raw: RawParts, events: list[Event]) -> None:
        number = wire.index if wire.index is not None and wire.index >= 0 else position
        candidate = self._candidates.get(number)
        if candidate is None:
            # In the order of appearance, whatever the server counts from: callers wait for the one they asked for.
            candidate = self._candidates[number] = _Candidate(len(self._candidates))
        parts = wire.content.parts if wire.content is not None else None
        raws: list[Raw] = []
        for place, part in enumerate(parts or ()):
            if not candidate.part(part, self._restore, events):
                raws = raws or raw.of(position)
                whole = raw_part(raws[place])
                if whole is not None:
                    candidate.whole(whole, events)
        if wire.logprobs_result != NULL and candidate.kind != "thought":
            candidate.text("", "text", (), read_logprobs(wire.logprobs_result), events)
        if wire.grounding_metadata != NULL or wire.citation_metadata != NULL:
            candidate.sources = read_sources(wire.grounding_metadata, wire.citation_metadata) or candidate.sources
        if wire.finish_reason and wire.finish_reason != "FINISH_REASON_UNSPECIFIED":
            candidate.word, candidate.token = wire.finish_reason, wire.continuation_token
            candidate.message = wire.finish_message if isinstance(wire.finish_message, str) else None

    def _finish(self, events: list[Event]) -> None:
        candidates = list(self._candidates.values())
        self._tell_usage(events)
        if self._blocked is not None and not candidates:
            events.append(Finished(self._blocked))
        elif not candidates or any(candidate.word is None for candidate in candidates):
            truncated = UpstreamError(
                "The upstream's stream ended before the answer was complete.",
                cause=Cause.TRUNCATED,
                code="upstream_truncated",
            )
            self._fail(truncated, events)
        else:
            for candidate in candidates:
                candidate.close(events)
                events.append(Finished(candidate.finish(), candidate.number))
        self._over = True

    def _fail(self, error: UpstreamError, events: list[Event]) -> None:
        if self._started:
            self._tell_usage(events)
        events.append(Failure(error))
        self._over = True
