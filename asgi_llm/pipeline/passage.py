"""How the bytes of a stream become the bytes that are sent: as they are, or through the neutral model.

Sans-I/O: ``feed`` takes what was read and gives what to send; usage, finish and failure are known in passing.
"""

from typing import Protocol

from asgi_llm.dialects.costs import HideCosts
from asgi_llm.dialects.interface import Answer, StreamDecoder, StreamFilter, StreamForm
from asgi_llm.dialects.rename import RenameModel
from asgi_llm.dialects.sse import event_end
from asgi_llm.errors import Cause, UpstreamError
from asgi_llm.exchange import Exchange
from asgi_llm.neutral.events import Event, Failure, Finished, Start, TextDelta, UsageUpdate
from asgi_llm.neutral.stops import Cutter
from asgi_llm.neutral.usage import Usage, merge

from .attempt import Reply
from .plan import Leg

__all__ = ["Passage", "Translation", "Verbatim", "answer_for", "cutter_for", "open_passage"]

_HELD = 64 * 1024
"""Bytes of an event that wait for its end; a larger one passes in pieces."""


_TELLING = frozenset({Start, UsageUpdate, Finished, Failure})
"""Events that say more than a piece of the answer. Types are compared: ``isinstance`` on a struct is slow."""


class Passage(Protocol):
    """One stream's way through the gateway.

    Attributes:
        usage: as known so far.
        finish: why it ended, in the word of whoever said it.
        failure: what broke it off. Once ``feed`` or ``end`` set it, what they returned tells it in the caller's
            grammar.
        over: nothing more is wanted of the upstream; so it is after a failure, too.
    """

    @property
    def failure(self) -> UpstreamError | None: ...

    @property
    def over(self) -> bool: ...

    @property
    def usage(self) -> Usage | None: ...

    @property
    def finish(self) -> str | None: ...

    @property
    def complete(self) -> bool:
        """Whether all of the answer has passed: what may follow says nothing more."""
        ...

    def feed(self, data: bytes) -> bytes: ...

    def end(self) -> bytes: ...

    def break_off(self, error: UpstreamError) -> bytes:
        """What tells the caller that no more will come, because of ``error``; as ``end`` where all of it has come."""
        ...

    def keepalive(self) -> bytes: ...

    def at_boundary(self) -> bool: ...


def answer_for(exchange: Exchange) -> Answer:
    """What the encoder of the caller's dialect must know."""
    assert exchange.envelope is not None  # noqa: S101  # admit() filled it in
    return Answer(
        model=exchange.envelope.model, include_usage=exchange.envelope.include_usage, request=exchange.request
    )


def cutter_for(exchange: Exchange, reply: Reply) -> Cutter | None:
    """What cuts the answer at stop sequences that the upstream was not told; None where it was told all."""
    stops = reply.outgoing.restore.stops
    if not stops:
        return None
    asked = exchange.request.n if exchange.request is not None else None
    return Cutter(stops, asked or 1)


def open_passage(exchange: Exchange, reply: Reply, leg: Leg, decoder: StreamDecoder | None = None) -> "Passage":
    """``decoder`` reads the upstream's stream in place of its dialect's own."""
    translated = reply.outgoing.translated or decoder is not None
    passage = Translation(exchange, reply, leg, decoder) if translated else Verbatim(exchange, reply, leg)
    return passage if exchange.dialect.form is None else Formed(passage, exchange.dialect.form())


class Verbatim:
    """The upstream's bytes, watched. Two things are taken out or put back where they must be: usage that only the
    gateway asked for, and the caller's name of a model that has another one upstream. The beginning of an event waits
    for its end: where that never comes, clients would take what tells of the failure for the rest of it."""

    __slots__ = (
        "_calm", "_dialect", "_filters", "_held", "_mark", "_open", "_skips", "_watch", "_watcher", "failure", "over",
    )  # fmt: skip

    def __init__(self, exchange: Exchange, reply: Reply, leg: Leg) -> None:
        self._dialect = leg.dialect
        self._watcher = leg.dialect.watcher()
        self._watch = self._watcher.feed
        self._filters: list[StreamFilter] = []
        self.failure: UpstreamError | None = None
        self.over = False
        if reply.outgoing.hide_usage and leg.dialect.hide_usage is not None:
            self._filters.append(leg.dialect.hide_usage())
        if leg.hides_cost:
            self._filters.append(HideCosts())
        if exchange.envelope is not None and leg.model != exchange.envelope.model:
            self._filters.append(RenameModel(exchange.envelope.model, leg.dialect.answer_model))
        # Nearly all streams have one filter at most, and nearly all events have nothing for it.
        self._mark = self._filters[0].mark if self._filters else None
        self._skips = not self._filters or (len(self._filters) == 1 and self._mark is not None)
        self._calm = self._skips
        """Whether all that was read has been sent, up to the end of an event."""
        self._held = b""
        self._open = False
        """Whether what was sent ends within an event."""

    @property
    def usage(self) -> Usage | None:
        return self._watcher.usage

    @property
    def finish(self) -> str | None:
        return self._watcher.finish

    @property
    def complete(self) -> bool:
        return self._watcher.ended

    def feed(self, data: bytes) -> bytes:
        self._watch(data)
        if self._calm and data[-2:] == b"\n\n" and (self._mark is None or data.find(self._mark) < 0):
            return data
        return self._edited(data)

    def _edited(self, data: bytes) -> bytes:
        whole = data[-2:] == b"\n\n"
        for edit in self._filters:
            data = edit.feed(data)
        if self._open or self._held or data[-2:] != b"\n\n":
            data = self._whole(data)
        self._calm = self._skips and whole and not (self._open or self._held)
        return data

    def _whole(self, data: bytes) -> bytes:
        """``data`` up to the end of its last event, behind what was held."""
        data = self._held + data
        end = event_end(data)
        torn = len(data) - end > _HELD
        if torn:
            end = len(data)
        self._open = torn or (self._open and not end)
        self._held = data[end:]
        return data[:end]

    def end(self) -> bytes:
        self._watcher.end()
        data = b""
        for edit in self._filters:
            data = (edit.feed(data) if data else b"") + edit.end()
        self.failure, self.over = self._watcher.failure, True
        if self.failure is None and not self._watcher.ended:
            return self._whole(data) + self._broken(truncated())
        return self._held + data

    def break_off(self, error: UpstreamError) -> bytes:
        return self.end() if self._watcher.over else self._broken(error)

    def _broken(self, error: UpstreamError) -> bytes:
        """The failure in an event of its own, also where the upstream stopped midway in one."""
        self.failure, self.over = error, True
        if self._dialect.break_off is not None:
            failure = self._dialect.break_off(self._watcher, error)
        else:
            failure = self._dialect.encode_failure(error)
        return b"\n\n" + failure if self._open else failure

    def keepalive(self) -> bytes:
        return self._dialect.keepalive

    def at_boundary(self) -> bool:
        return not self._open


class Translation:
    """The upstream's events in the caller's grammar, cut at stop sequences that only the gateway knows."""

    __slots__ = ("_alone", "_cutter", "_decoder", "_encoder", "_quick", "_usage", "failure", "finish", "over")

    def __init__(self, exchange: Exchange, reply: Reply, leg: Leg, decoder: StreamDecoder | None = None) -> None:
        self._alone = decoder is None
        """Of several rounds, one that is whole is not all."""
        self._decoder = decoder or leg.dialect.stream_decoder(reply.outgoing.restore)
        self._encoder = exchange.dialect.stream_encoder(answer_for(exchange))
        self._usage: Usage | None = None
        self.finish: str | None = None
        self.failure: UpstreamError | None = None
        self.over = False
        self._cutter = cutter_for(exchange, reply)
        self._quick = self._encoder.quick if self._cutter is None else None

    @property
    def usage(self) -> Usage | None:
        return merge(self._usage, self._decoder.told)

    @property
    def complete(self) -> bool:
        return self.finish is not None

    def feed(self, data: bytes) -> bytes:
        events = self._decoder.feed(data)
        if self._quick is not None and len(events) == 1 and type(only := events[0]) is TextDelta:
            said = self._quick(only)
            if said is not None:
                return said
        return self._encode(events)

    def end(self) -> bytes:
        return self._encode(self._decoder.end())

    def break_off(self, error: UpstreamError) -> bytes:
        events: list[Event] = self._decoder.end() if self._alone else [Failure(error)]
        broken = any(isinstance(event, Failure) for event in events)
        return self._encode([Failure(error)] if broken else events)

    def keepalive(self) -> bytes:
        return self._encoder.keepalive()

    def at_boundary(self) -> bool:
        return True

    def _encode(self, events: list[Event]) -> bytes:
        if self._cutter is not None:
            events = self._cutter.feed(events)
            self.over = self._cutter.over
        for event in events:
            if type(event) in _TELLING:
                self._note(event)
        return self._encoder.feed(events)

    def _note(self, event: Event) -> None:
        match event:
            case UsageUpdate() | Start():
                self._usage = merge(self._usage, event.usage)
            case Finished():
                self.finish = event.finish.reason
            case Failure():
                error = event.error
                self.failure = error if isinstance(error, UpstreamError) else truncated()
                self.over = True
            case _:
                pass


class Formed:
    """A passage whose bytes the caller gets in another form."""

    __slots__ = ("_form", "_passage")

    def __init__(self, passage: Passage, form: StreamForm) -> None:
        self._passage = passage
        self._form = form

    @property
    def failure(self) -> UpstreamError | None:
        return self._passage.failure

    @property
    def over(self) -> bool:
        return self._passage.over

    @property
    def usage(self) -> Usage | None:
        return self._passage.usage

    @property
    def finish(self) -> str | None:
        return self._passage.finish

    @property
    def complete(self) -> bool:
        return self._passage.complete

    def feed(self, data: bytes) -> bytes:
        data = self._passage.feed(data)
        if self.failure is not None:
            return self._form.break_off(data)
        formed = self._form.feed(data)
        return formed + self._form.end() if self._passage.over else formed

    def end(self) -> bytes:
        data = self._passage.end()
        return self._form.feed(data) + self._form.end() if self.failure is None else self._form.break_off(data)

    def break_off(self, error: UpstreamError) -> bytes:
        data = self._passage.break_off(error)
        return self._form.feed(data) + self._form.end() if self.failure is None else self._form.break_off(data)

    def keepalive(self) -> bytes:
        return self._passage.keepalive()

    def at_boundary(self) -> bool:
        return True  # only whole events have been sent


def truncated() -> UpstreamError:
    return UpstreamError(
        "the upstream's answer ended before it was complete", cause=Cause.TRUNCATED, code="upstream_truncated"
    )
