"""A chat stream of an upstream -> neutral events (OpenAI API reference, "Streaming").

Lenient: what is missing, repeated, null or out of order in the streams of compatible servers is put right here, so
that the events keep neutral's order. The end is held back until the usage chunk, ``[DONE]`` or the end of the bytes,
since usage comes after ``finish_reason``; without either of the two a stream is cut off, which is a failure.
"""

import msgspec
from msgspec import Raw

from asgi_llm.dialects.interface import Restore
from asgi_llm.dialects.money import with_gateway
from asgi_llm.dialects.sse import Frame, FrameTooLargeError, SSEReader
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
    MediaDelta,
    ReasoningDelta,
    Start,
    TextDelta,
    UsageUpdate,
)
from asgi_llm.neutral.request import Audio, Inline, Part, Reasoning, Refusal, Text
from asgi_llm.neutral.usage import Usage

from .annotations import read_annotations
from .answer import Choice, Chunk, Said, ToolPiece, content_text, stamp
from .errors import content_error, in_band_error
from .finish import FAILED, read_finish
from .mould import Mould
from .pieces import Call, Calls
from .response import fresh_id, read_images
from .restore import Unwrapper, restored
from .thoughts import carrier_of, detail_text, read_details
from .usage import read_usage
from .wire import given

__all__ = ["ChatStreamDecoder"]

_chunk = msgspec.json.Decoder(Chunk)
_LESSONS = 4
"""So many events of a stream are looked at for what they have in common. Some servers write something new into each."""
_LF = ord("\n")  # as a number: looking for one byte is cheaper so than for a string of one byte


class ChatStreamDecoder:
    """See ``StreamDecoder``."""

    __slots__ = (
        "_candidates",
        "_costs",
        "_done",
        "_framing",
        "_ids",
        "_lessons",
        "_mould",
        "_out",
        "_reader",
        "_restore",
        "_started",
        "_usage",
    )

    def __init__(self, restore: Restore) -> None:
        self._restore = restore
        self._reader = SSEReader()
        self._candidates: dict[int, _Candidate] = {}
        self._out: list[Event] = []
        self._usage: Raw | None = None
        self._costs: Raw | None = None
        self._ids: set[str] = set()
        self._started = self._done = False
        self._framing = False
        """Whether the reader holds the beginning of an event."""
        self._mould: tuple[Mould, _Candidate] | None = None
        self._lessons = _LESSONS

    def feed(self, data: bytes) -> list[Event]:
        out: list[Event] = []
        self._out = out
        at_start = not (self._done or self._framing)
        if self._mould is not None and at_start:
            mould, candidate = self._mould
            text = mould.text(data)
            if text and candidate.go_on(text, out):
                return out
        if at_start and data[:6] == b"data: " and data.find(_LF) == len(data) - 2 and data[-1] == _LF:
            # One whole event of one line, as most reads bring: there is nothing to frame.
            self._event(b"", data[6:-2])
            if self._lessons:
                self._learn(data)
            return out
        try:
            self._frames(self._reader.feed(data))
        except FrameTooLargeError:
            self._fail(content_error("An event of the upstream's stream is too large."))
        self._framing = self._reader.pending
        return out

    def end(self) -> list[Event]:
        out: list[Event] = []
        self._out = out
        self._frames(self._reader.end())
        if not self._done:
            self._close(terminated=False)
        return out

    def _frames(self, frames: list[Frame]) -> None:
        for frame in frames:
            if self._done:
                return
            self._event(frame.event, frame.data)

    def _event(self, name: bytes, data: bytes) -> None:
        try:
            if not data.isascii():
                str(data, "utf-8")  # raw members are passed on without being looked at
            chunk = _chunk.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._no_chunk(name, data)
            return
        if chunk.failed or (name == b"error" and not chunk.choices):
            self._fail(in_band_error(data))
        else:
            self._take(chunk)

    def _learn(self, data: bytes) -> None:
        """From an event that was nothing but more of a text: what those to come probably look like."""
        if len(self._out) != 1 or type(event := self._out[0]) is not TextDelta or event.logprobs is not None:
            return
        self._lessons -= 1
        mould = Mould.of(data, event.text)
        candidates = [each for each in self._candidates.values() if each.says(event)]
        if mould is not None and candidates:
            self._mould = (mould, candidates[0])

    def _no_chunk(self, name: bytes, data: bytes) -> None:
        if data[:6] == b"[DONE]":
            self._close(terminated=True)
        elif data and not data.isspace():
            failed = name == b"error" or data.find(b'"error"') >= 0
            self._fail(in_band_error(data) if failed else content_error("The upstream's stream holds no chat chunk."))

    def _take(self, chunk: Chunk) -> None:
        choices = chunk.choices
        reported = chunk.reported
        if reported is not None:
            self._usage = Raw(bytes(reported))
        if chunk.provider_metadata:
            self._costs = Raw(bytes(chunk.provider_metadata))
        if choices:
            if not self._started:
                self._start(chunk)
            for choice in choices:
                self._choice(choice)
                if self._done:
                    return
        elif reported is not None and self._candidates and all(c.finished for c in self._candidates.values()):
            self._close(terminated=True)

    def _start(self, chunk: Chunk) -> None:
        self._started = True
        self._out.append(Start(*stamp(chunk), service_tier=chunk.service_tier))

    def _choice(self, choice: Choice) -> None:
        index = choice.index or 0
        candidate = self._candidates.get(index)
        if candidate is None:
            # In the order of appearance, whatever the server counts from: callers wait for the one they asked for.
            candidate = self._candidates[index] = _Candidate(len(self._candidates), self)
        if choice.finish_reason in FAILED:
            reason = choice.finish_reason
            told = {"error": {"message": f"The upstream broke off: {reason}.", "type": reason}}
            self._fail(in_band_error(msgspec.json.encode(told)))
            return
        said = choice.delta
        if said is None and candidate.silent:
            said = choice.message  # the whole answer in one chunk; after deltas it only repeats them
        if said is not None:
            candidate.hear(said, given(choice.logprobs))
            if said.provider_metadata:
                self._costs = Raw(bytes(said.provider_metadata))
        if choice.finish_reason and not candidate.finished:
            candidate.finish_reason = choice.finish_reason
            candidate.stop_reason = choice.stop_reason
            candidate.finished = True

    def _close(self, *, terminated: bool) -> None:
        candidates = list(self._candidates.values())
        if not any(candidate.finished or not candidate.silent for candidate in candidates):
            self._fail(content_error("The upstream's stream holds no answer."))
            return
        if not terminated and not all(candidate.finished for candidate in candidates):
            message = "The upstream's stream ended before the answer was whole."
            self._fail(UpstreamError(message, cause=Cause.TRUNCATED, code="upstream_truncated"))
            return
        for candidate in candidates:
            if not candidate.close():
                self._fail(content_error("The upstream's stream holds a tool call without a name."))
                return
        if (usage := self._used()) is not None:
            self._out.append(UsageUpdate(usage))
        self._out += [candidate.finish() for candidate in candidates]
        self._done = True

    def _fail(self, error: UpstreamError) -> None:
        if self._started and (usage := self._used()) is not None:
            self._out.append(UsageUpdate(usage))
        self._out.append(Failure(error))
        self._done = True

    @property
    def told(self) -> Usage | None:
        """What was used, as far as it was told: among the events it is only at the end."""
        return self._used()

    def _used(self) -> Usage | None:
        usage = None if self._usage is None else read_usage(self._usage)
        if self._costs is None:
            return usage
        return with_gateway(usage, b'{"provider_metadata":%b}' % self._costs)

    def emit(self, event: Event) -> None:
        self._out.append(event)

    def header(self, call: Call) -> tuple[Part, bool]:
        """The header of a call's block, and whether its arguments are wrapped free text."""
        call_id = fresh_id(call.id, self._ids)
        header, wrapped = restored(self._restore, call_id, call.name, custom=call.custom)
        return msgspec.structs.replace(header, carriers=call.carriers), wrapped


class _Candidate:
    """One answer as it arrives: which block is open, and what must wait until it closes."""

    __slots__ = (
        "_block",
        "_calls",
        "_chars",
        "_index",
        "_kind",
        "_later",
        "_offset",
        "_refused",
        "_spoken",
        "_stream",
        "_tools",
        "_unwrapper",
        "finish_reason",
        "finished",
        "stop_reason",
    )

    def __init__(self, index: int, stream: ChatStreamDecoder) -> None:
        self._index = index
        self._stream = stream
        self._kind = ""
        """What block is open: text, refusal, reasoning, audio, tool, or none."""
        self._block = -1
        self._chars = self._offset = 0
        """Code points of content so far, and where the open text block begins among them."""
        self._calls: Calls | None = None
        self._later: list[Said] = []
        """What came between the pieces of a call; said when the call is whole."""
        self._spoken: list[str] = []
        """What the audio says in words, for an answer that has no other text; it comes between the pieces of audio."""
        self._unwrapper: Unwrapper | None = None
        self._tools = self._refused = False
        self.finished = False
        self.finish_reason: str | None = None
        self.stop_reason: str | int | None = None

    @property
    def silent(self) -> bool:
        return self._block < 0 and self._calls is None

    def says(self, event: TextDelta) -> bool:
        """Whether ``event`` was this one's, and its text."""
        return event.candidate == self._index and self._kind == "text" and not self.finished

    def go_on(self, text: str, out: list[Event]) -> bool:
        """More of the text that is open; false if there is none."""
        if self._kind != "text":
            return False
        self._chars += len(text)
        out.append(TextDelta(self._block, text, self._index))
        return True

    def hear(self, said: Said, logprobs: Raw | None = None) -> None:
        content = said.content
        if self._kind == "text" and type(content) is str and content and _plain(said):
            self._chars += len(content)
            self._stream.emit(TextDelta(self._block, content, self._index, logprobs))
            return
        pieces = said.tool_calls or []
        if said.function_call is not None and not pieces:
            pieces = [ToolPiece(index="function_call", function=said.function_call)]
        queue = self._calls.queue if self._calls is not None else []
        if queue and queue[0].custom and _mute(said):
            pass  # its text goes on: only something else shows that free text is whole
        elif queue and not self._settle():
            self._later.append(said)
        else:
            self._speak(said, logprobs)
        for piece in pieces:
            self._piece(piece)

    def _speak(self, said: Said, logprobs: Raw | None) -> None:
        """Everything but tool calls."""
        entries = read_details(said.reasoning_details)
        thought = said.thought or detail_text(entries)
        if thought:
            self._open("reasoning", Reasoning())
            self._stream.emit(ReasoningDelta(self._block, thought, candidate=self._index))
        for entry, raw in entries:
            if (carrier := carrier_of(entry, raw)) is not None:
                self._open("reasoning", Reasoning())
                self._stream.emit(CarrierSet(self._block, carrier, self._index))
        if text := content_text(said.content):
            self._open("text", Text(""))
            self._chars += len(text)
            self._stream.emit(TextDelta(self._block, text, self._index, logprobs))
        if said.refusal:
            self._refused = True
            self._open("refusal", Refusal(""))
            self._stream.emit(TextDelta(self._block, said.refusal, self._index))
        self._media(said)
        if self._kind == "text":
            for citation in read_annotations(said.annotations, self._offset):
                self._stream.emit(CitationAdd(self._block, citation, self._index))

    def _media(self, said: Said) -> None:
        for image in read_images(said.images):
            self._open("image", image)
            self._stop()
        if said.audio is not None:
            if said.audio.transcript and not self._chars:
                self._spoken.append(said.audio.transcript)
            if said.audio.data:
                self._open("audio", Audio(Inline("audio/pcm", "")))
                self._stream.emit(MediaDelta(self._block, said.audio.data, self._index))

    def _open(self, kind: str, part: Part) -> None:
        if self._kind == kind:
            return
        self._stop()
        self._block += 1
        self._kind = kind
        self._offset = self._chars
        self._stream.emit(BlockStart(self._block, part, self._index))

    def _stop(self) -> None:
        if self._kind:
            self._stream.emit(BlockStop(self._block, self._index))
            self._kind = ""

    def _piece(self, piece: ToolPiece) -> None:
        if self._calls is None:
            self._calls = Calls()
        call = self._calls.take(piece)
        first = self._calls.queue[0] if self._calls.queue else None
        if call is not first:
            if first is not None:
                self._settle()
            return
        self._advance(call)
        if len(self._calls.queue) > 1 or self._later:
            self._settle()

    def _advance(self, call: Call) -> None:
        """Hand on what is known of the first call in the queue; its block opens with the first arguments."""
        if call.block is None:
            if not call.name or not call.said:
                return
            self._begin(call)
        self._arguments(call)

    def _begin(self, call: Call) -> None:
        part, wrapped = self._stream.header(call)
        self._open("tool", part)
        self._tools = True
        call.block = self._block
        self._unwrapper = Unwrapper() if wrapped else None

    def _arguments(self, call: Call) -> None:
        text = "".join(call.waiting)
        call.waiting.clear()
        if self._unwrapper is not None:
            text = self._unwrapper.feed(text)
        if text:
            self._stream.emit(ArgumentsDelta(self._block, text, self._index))

    def _settle(self) -> bool:
        """Close the calls that are whole, in order; whether none is left."""
        calls = self._calls
        if calls is None:
            return True
        while calls.queue and calls.queue[0].whole and calls.queue[0].name:
            self._conclude(calls.queue.pop(0))
            if calls.queue:
                self._advance(calls.queue[0])
        if calls.queue:
            return False
        later, self._later = self._later, []
        for said in later:
            self._speak(said, None)
        return True

    def _conclude(self, call: Call) -> None:
        if call.block is None:
            self._begin(call)
        self._arguments(call)
        if self._unwrapper is not None and (rest := self._unwrapper.end()):
            self._stream.emit(ArgumentsDelta(self._block, rest, self._index))
        self._unwrapper = None
        call.closed = True
        self._stop()

    def close(self) -> bool:
        """No more comes: close what is open. False if a call has arguments but no name."""
        calls = self._calls.queue if self._calls is not None else []
        for call in calls:
            if call.name:
                self._conclude(call)
            elif call.said:
                return False
        calls.clear()
        self._settle()
        if self._spoken and not self._chars:
            self._open("text", Text(""))
            self._stream.emit(TextDelta(self._block, "".join(self._spoken), self._index))
        self._stop()
        return True

    def finish(self) -> Finished:
        finish = read_finish(self.finish_reason, self.stop_reason, tools=self._tools, refused=self._refused)
        return Finished(finish, self._index)


def _plain(said: Said) -> bool:
    """Whether content is all that a delta says."""
    return not (
        said.tool_calls
        or said.reasoning_content
        or said.reasoning
        or said.refusal
        or said.reasoning_details
        or said.annotations
        or said.function_call
        or said.audio
        or said.images
    )


def _mute(said: Said) -> bool:
    """Whether a delta says nothing, but for pieces of calls."""
    return not said.content and _plain(msgspec.structs.replace(said, tool_calls=None, function_call=None))
