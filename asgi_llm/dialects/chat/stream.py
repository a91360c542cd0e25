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
from asgi_llm.neutral.events import Event, Failure, Start, TextDelta, UsageUpdate
from asgi_llm.neutral.request import Part
from asgi_llm.neutral.usage import Usage

from .answer import Choice, Chunk, stamp
from .candidate import Candidate
from .errors import content_error, in_band_error
from .finish import FAILED
from .mould import Mould
from .pieces import Call
from .response import fresh_id
from .restore import restored
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
        self._candidates: dict[int, Candidate] = {}
        self._out: list[Event] = []
        self._usage: Raw | None = None
        self._costs: Raw | None = None
        self._ids: set[str] = set()
        self._started = self._done = False
        self._framing = False
        """Whether the reader holds the beginning of an event."""
        self._mould: tuple[Mould, Candidate] | None = None
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
            candidate = self._candidates[index] = Candidate(len(self._candidates), self)
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
        """See ``Outlet``."""
        call_id = fresh_id(call.id, self._ids)
        header, wrapped = restored(self._restore, call_id, call.name, custom=call.custom)
        return msgspec.structs.replace(header, carriers=call.carriers), wrapped
