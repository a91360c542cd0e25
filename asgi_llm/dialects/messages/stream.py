"""An upstream's Messages stream -> neutral events.

The protocol's events map almost one to one; what this adds is tolerance: blocks nobody opened or closed, frames without
an event name, events and deltas of later versions, usage in any event. A stream without ``message_stop`` is truncated,
whatever came before. Spec: Anthropic Messages API, "Streaming messages".
"""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from asgi_llm.dialects.interface import Restore
from asgi_llm.dialects.sse import FrameTooLargeError, SSEReader
from asgi_llm.errors import Cause, ClientError, UpstreamError
from asgi_llm.neutral.events import (
    ArgumentsDelta,
    BlockStart,
    BlockStop,
    CarrierSet,
    CitationAdd,
    Event,
    Failure,
    Finished,
    Ping,
    ReasoningDelta,
    Start,
    TextDelta,
    UsageUpdate,
)
from asgi_llm.neutral.request import Carrier, Part, Reasoning, ServerCall, Text, ToolCall

from .errors import in_band
from .raws import NULL
from .restore import FreeText, restored
from .signatures import envelope, is_ours
from .stops import StopDetails, finish_of
from .usage import WireUsage, decode_usage, fold, to_neutral
from .wire import citation, parts_of_block

__all__ = ["MessagesDecoder"]


class _Delta(Struct, tag_field="type"):
    pass


class _TextDelta(_Delta, tag="text_delta"):
    text: str


class _InputDelta(_Delta, tag="input_json_delta"):
    partial_json: str


class _ThinkingDelta(_Delta, tag="thinking_delta"):
    thinking: str


class _SignatureDelta(_Delta, tag="signature_delta"):
    signature: str


class _CitationsDelta(_Delta, tag="citations_delta"):
    citation: Raw


class _Event(Struct, tag_field="type"):
    pass


class _Message(Struct):
    id: Any = None
    model: Any = None
    usage: Raw = NULL


class _MessageStart(_Event, tag="message_start"):
    message: _Message


class _BlockStart(_Event, tag="content_block_start"):
    content_block: Raw
    index: int = 0


class _BlockDelta(_Event, tag="content_block_delta"):
    delta: _TextDelta | _InputDelta | _ThinkingDelta | _SignatureDelta | _CitationsDelta
    index: int = 0


class _BlockStop(_Event, tag="content_block_stop"):
    index: int = 0


class _Stop(Struct):
    stop_reason: Any = None
    stop_sequence: Any = None
    stop_details: StopDetails | None = None


class _MessageDelta(_Event, tag="message_delta"):
    delta: _Stop | None = None
    usage: Raw = NULL


class _MessageStop(_Event, tag="message_stop"):
    pass


class _Ping(_Event, tag="ping"):
    pass


class _Error(_Event, tag="error"):
    pass


_EVENT = msgspec.json.Decoder(
    _MessageStart | _BlockStart | _BlockDelta | _BlockStop | _MessageDelta | _MessageStop | _Ping | _Error
)


class _Peek(Struct):
    type: Any = None
    delta: Any = None
    error: Any = None


_PEEK = msgspec.json.Decoder(_Peek)


class _Thought(Struct):
    thinking: Any = None
    signature: Any = None


class _Open:
    """The block being received. ``wire`` is its index there; ``mode`` says what its deltas mean."""

    __slots__ = ("arguments", "free", "index", "mode", "wire")

    def __init__(self, index: int, wire: int, mode: str) -> None:
        self.index = index
        self.wire = wire
        self.mode = mode
        self.free: FreeText | None = None
        self.arguments = ""
        """Arguments that came whole with the block's start, used where no delta follows."""


_KNOWN = frozenset(
    {"message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop", "ping", "error"}
)
_KNOWN_DELTAS = frozenset({"text_delta", "input_json_delta", "thinking_delta", "signature_delta", "citations_delta"})


class MessagesDecoder:
    """One stream. State does not grow with its length, free-text arguments excepted."""

    __slots__ = ("_calls", "_next", "_open", "_over", "_reader", "_restore", "_started", "_stop", "_usage", "_waiting")

    def __init__(self, restore: Restore) -> None:
        self._reader = SSEReader()
        self._restore = restore
        self._open: _Open | None = None
        self._next = 0
        self._started = False
        self._over = False
        self._calls = False
        self._stop = _Stop()
        self._usage: WireUsage | None = None
        self._waiting: tuple[Carrier, ...] = ()

    def feed(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        if self._over:
            return events
        try:
            frames = self._reader.feed(data)
        except FrameTooLargeError as error:
            self._fail(_content(str(error)), events)
            return events
        for frame in frames:
            if self._take(frame.data, events):
                break
        return events

    def end(self) -> list[Event]:
        events: list[Event] = []
        if self._over:
            return events
        if not any(self._take(frame.data, events) for frame in self._reader.end()):
            truncated = UpstreamError(
                "The upstream's stream ended before the answer was complete.",
                cause=Cause.TRUNCATED,
                code="upstream_truncated",
            )
            self._fail(truncated, events)
        return events

    def _take(self, data: bytes, events: list[Event]) -> bool:
        """Take one event's data; whether the stream is over now."""
        try:
            event = _EVENT.decode(data)
            if type(event) is _BlockDelta:
                self._delta(event, events)
            else:
                self._other(event, data, events)
        except (msgspec.ValidationError, ClientError):
            self._unknown(data, events)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if data.strip() not in (b"", b"[DONE]"):
                self._fail(_content("The upstream sent an event that is not JSON."), events)
        return self._over

    def _unknown(self, data: bytes, events: list[Event]) -> None:
        """Not an event of the union: of a later version (passed over), an error in another shape, or broken."""
        try:
            peek = _PEEK.decode(data)
        except (msgspec.DecodeError, RecursionError):
            peek = _Peek(type="message_start")
        if peek.error:
            self._fail(in_band(data), events)
            return
        known = peek.type in _KNOWN if isinstance(peek.type, str) else False
        if peek.type == "content_block_delta":
            kind = peek.delta.get("type") if isinstance(peek.delta, dict) else "text_delta"
            known = isinstance(kind, str) and kind in _KNOWN_DELTAS
        if known:
            self._fail(_content("The upstream sent an event that breaks its protocol."), events)

    def _other(self, event: _Event, data: bytes, events: list[Event]) -> None:
        match event:
            case _BlockStart():
                self._begin(events)
                self._close(events)
                self._start(event, events)
            case _BlockStop():
                self._close(events)
            case _MessageStart():
                self._message_start(event.message, events)
            case _MessageDelta():
                self._message_delta(event, events)
            case _MessageStop():
                self._finish(events)
            case _Ping():
                events.append(Ping())
            case _Error():
                self._fail(in_band(data), events)

    def _message_start(self, message: _Message, events: list[Event]) -> None:
        if self._started:
            return
        self._started = True
        self._usage = decode_usage(message.usage)
        tier = self._usage.service_tier if self._usage else None
        events.append(
            Start(
                message.id if isinstance(message.id, str) else "",
                message.model if isinstance(message.model, str) else "",
                usage=to_neutral(self._usage),
                service_tier=tier if isinstance(tier, str) else None,
            )
        )

    def _begin(self, events: list[Event]) -> None:
        if not self._started:
            self._started = True
            events.append(Start("", ""))

    def _message_delta(self, event: _MessageDelta, events: list[Event]) -> None:
        self._begin(events)
        self._close(events)
        if event.delta is not None and (event.delta.stop_reason is not None or self._stop.stop_reason is None):
            self._stop = event.delta
        if (usage := decode_usage(event.usage)) is not None:
            self._usage = fold(self._usage, usage)
            if (known := to_neutral(self._usage)) is not None:
                events.append(UsageUpdate(known))

    def _start(self, event: _BlockStart, events: list[Event]) -> None:
        parts = parts_of_block(event.content_block, "content_block")
        part = parts[0] if parts else Reasoning()
        match part:
            case Text():
                block = self._opened(event.index, "text", Text("", cache=None), events)
                if part.text:
                    events.append(TextDelta(block.index, part.text))
                events.extend(CitationAdd(block.index, said) for said in part.citations)
            case Reasoning(redacted=True):
                self._opened(event.index, "whole", part, events)
            case Reasoning():
                self._start_thought(event, events)
            case ToolCall():
                self._start_call(part, event.index, events)
            case ServerCall():
                block = self._opened(event.index, "call", msgspec.structs.replace(part, arguments=""), events)
                block.arguments = part.arguments
            case _:
                self._opened(event.index, "whole", part, events)

    def _start_thought(self, event: _BlockStart, events: list[Event]) -> None:
        said = msgspec.json.decode(event.content_block, type=_Thought)
        block = self._opened(event.index, "thought", Reasoning(), events)
        if isinstance(said.thinking, str) and said.thinking:
            events.append(ReasoningDelta(block.index, said.thinking))
        if isinstance(said.signature, str) and said.signature:
            self._sign(block, said.signature, events)

    def _start_call(self, call: ToolCall, wire: int, events: list[Event]) -> None:
        if self._restore.unwrap_output is not None and call.name == self._restore.unwrap_output:
            block = self._opened(wire, "text", Text(""), events)
            block.arguments = call.arguments
            return
        self._calls = True
        header = restored(call, self._restore)
        header = msgspec.structs.replace(header, arguments="", carriers=self._waiting)
        self._waiting = ()
        block = self._opened(wire, "call", header, events)
        block.arguments = call.arguments
        if header.kind == "text":
            block.free = FreeText()

    def _opened(self, wire: int, mode: str, part: Part, events: list[Event]) -> _Open:
        block = self._open = _Open(self._next, wire, mode)
        self._next += 1
        events.append(BlockStart(block.index, part))
        return block

    def _delta(self, event: _BlockDelta, events: list[Event]) -> None:
        block, delta = self._open, event.delta
        if block is None or block.wire != event.index:
            block = self._missing(event, events)
            if block is None:
                return
        if type(delta) is _TextDelta:
            if block.mode == "text" and delta.text:
                events.append(TextDelta(block.index, delta.text))
        elif type(delta) is _InputDelta:
            self._arguments(block, delta.partial_json, events)
        elif type(delta) is _ThinkingDelta:
            if block.mode == "thought" and delta.thinking:
                events.append(ReasoningDelta(block.index, delta.thinking))
        elif type(delta) is _SignatureDelta:
            if block.mode == "thought" and delta.signature:
                self._sign(block, delta.signature, events)
        elif type(delta) is _CitationsDelta and block.mode == "text":
            events.append(CitationAdd(block.index, citation(delta.citation)))

    def _missing(self, event: _BlockDelta, events: list[Event]) -> _Open | None:
        """A delta of a block that was never opened: text and thoughts open one (some servers send no start)."""
        delta = event.delta
        if type(delta) is _TextDelta and delta.text:
            self._begin(events)
            self._close(events)
            return self._opened(event.index, "text", Text(""), events)
        if type(delta) is _ThinkingDelta and delta.thinking:
            self._begin(events)
            self._close(events)
            return self._opened(event.index, "thought", Reasoning(), events)
        return None

    def _arguments(self, block: _Open, text: str, events: list[Event]) -> None:
        if not text:
            return
        block.arguments = ""
        if block.free is not None:
            text = block.free.feed(text)
        if text and block.mode == "call":
            events.append(ArgumentsDelta(block.index, text))
        elif text and block.mode == "text":
            events.append(TextDelta(block.index, text))

    def _sign(self, block: _Open, signature: str, events: list[Event]) -> None:
        if not is_ours(signature):
            carrier = Carrier("anthropic.signature", signature, provider="anthropic")
            events.append(CarrierSet(block.index, carrier))
            return
        held = envelope(signature)
        if held.to == "next":
            self._waiting = held.carriers
        elif held.to == "thought":
            events.extend(CarrierSet(block.index, carrier) for carrier in held.carriers)

    def _close(self, events: list[Event]) -> None:
        block = self._open
        if block is None:
            return
        if block.arguments and block.arguments != "{}":
            self._arguments(block, block.arguments, events)
        if block.free is not None and (rest := block.free.end()):
            events.append(ArgumentsDelta(block.index, rest))
        events.append(BlockStop(block.index))
        self._open = None

    def _finish(self, events: list[Event]) -> None:
        self._begin(events)
        self._close(events)
        stop = self._stop
        finish = finish_of(stop.stop_reason, stop.stop_sequence, stop.stop_details, calls=self._calls)
        events.append(Finished(finish))
        self._over = True

    def _fail(self, error: UpstreamError, events: list[Event]) -> None:
        events.append(Failure(error))
        self._over = True


def _content(message: str) -> UpstreamError:
    return UpstreamError(message, cause=Cause.CONTENT, code="upstream_content")
