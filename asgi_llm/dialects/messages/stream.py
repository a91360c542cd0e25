"""An upstream's Messages stream -> neutral events.

The protocol's events map almost one to one; what this adds is tolerance: blocks nobody opened or closed, frames without
an event name, events and deltas of later versions, usage in any event. A stream without ``message_stop`` is truncated,
whatever came before. Spec: Anthropic Messages API, "Streaming messages".
"""

from typing import Any

import msgspec
from msgspec import Struct

from asgi_llm.dialects.interface import Restore
from asgi_llm.dialects.money import with_gateway
from asgi_llm.dialects.sse import Frame, FrameTooLargeError, SSEReader
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
from asgi_llm.neutral.usage import Usage

from .blocks import citation, parts_of_block
from .errors import in_band
from .restore import FreeText, restored
from .signatures import envelope, is_ours
from .stops import finish_of
from .stream_events import (
    EVENT,
    WireBlockDelta,
    WireBlockStart,
    WireBlockStop,
    WireCitation,
    WireError,
    WireEvent,
    WireInput,
    WireMessage,
    WireMessageDelta,
    WireMessageStart,
    WireMessageStop,
    WirePing,
    WireSignature,
    WireStop,
    WireText,
    WireThinking,
)
from .usage import WireUsage, decode_usage, fold, to_neutral

__all__ = ["MessagesDecoder"]


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
    """One stream. State does not grow with its length."""

    __slots__ = ("_calls", "_next", "_open", "_over", "_reader", "_restore", "_started", "_stop", "_usage", "_waiting")

    def __init__(self, restore: Restore) -> None:
        self._reader = SSEReader()
        self._restore = restore
        self._open: _Open | None = None
        self._next = 0
        self._started = False
        self._over = False
        self._calls = False
        self._stop = WireStop()
        self._usage: WireUsage | None = None
        self._waiting: tuple[Carrier, ...] = ()

    @property
    def told(self) -> Usage | None:
        return None  # it stands among the events as soon as it is read

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
            if self._take(frame, events):
                break
        return events

    def end(self) -> list[Event]:
        events: list[Event] = []
        if self._over:
            return events
        if not any(self._take(frame, events) for frame in self._reader.end()):
            truncated = UpstreamError(
                "The upstream's stream ended before the answer was complete.",
                cause=Cause.TRUNCATED,
                code="upstream_truncated",
            )
            self._fail(truncated, events)
        return events

    def _take(self, frame: Frame, events: list[Event]) -> bool:
        """Take one event; whether the stream is over now. The data says what it is: names may be missing."""
        data = frame.data
        try:
            if not data.isascii():
                str(data, "utf-8")  # raw members are passed on without being looked at
            event = EVENT.decode(data)
            if type(event) is WireBlockDelta:
                self._delta(event, events)
            else:
                self._other(event, data, events)
        except (msgspec.ValidationError, ClientError):
            self._unknown(frame, events)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if data.strip() not in (b"", b"[DONE]"):
                self._fail(_content("The upstream sent an event that is not JSON."), events)
        return self._over

    def _unknown(self, frame: Frame, events: list[Event]) -> None:
        """Not an event of the union: of a later version (passed over), an error in another shape, or broken."""
        try:
            peek = _PEEK.decode(frame.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            peek = _Peek(type="message_start")
        if peek.error or frame.event == b"error":
            self._fail(in_band(frame.data), events)
            return
        known = peek.type in _KNOWN if isinstance(peek.type, str) else False
        if peek.type == "content_block_delta":
            kind = peek.delta.get("type") if isinstance(peek.delta, dict) else "text_delta"
            known = isinstance(kind, str) and kind in _KNOWN_DELTAS
        if known:
            self._fail(_content("The upstream sent an event that breaks its protocol."), events)

    def _other(self, event: WireEvent, data: bytes, events: list[Event]) -> None:
        match event:
            case WireBlockStart():
                self._begin(events)
                self._close(events)
                self._start(event, events)
            case WireBlockStop():
                self._close(events)
            case WireMessageStart():
                self._message_start(event.message, events)
            case WireMessageDelta():
                self._message_delta(event, data, events)
            case WireMessageStop():
                self._finish(events)
            case WirePing():
                events.append(Ping())
            case WireError():
                self._fail(in_band(data), events)

    def _message_start(self, message: WireMessage, events: list[Event]) -> None:
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

    def _message_delta(self, event: WireMessageDelta, data: bytes, events: list[Event]) -> None:
        self._begin(events)
        self._close(events)
        if event.delta is not None and (event.delta.stop_reason is not None or self._stop.stop_reason is None):
            self._stop = event.delta
        if (usage := decode_usage(event.usage)) is not None:
            self._usage = fold(self._usage, usage)
            if (known := with_gateway(to_neutral(self._usage), data)) is not None:
                events.append(UsageUpdate(known))

    def _start(self, event: WireBlockStart, events: list[Event]) -> None:
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

    def _start_thought(self, event: WireBlockStart, events: list[Event]) -> None:
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

    def _delta(self, event: WireBlockDelta, events: list[Event]) -> None:
        block, delta = self._open, event.delta
        if block is None or block.wire != event.index:
            block = self._missing(event, events)
            if block is None:
                if type(delta) is WireInput and delta.partial_json:
                    # Without them the call would be another one than the model made.
                    self._fail(_content("The upstream sent arguments of a call that is not open."), events)
                return
        if type(delta) is WireText:
            if block.mode == "text" and delta.text:
                events.append(TextDelta(block.index, delta.text))
        elif type(delta) is WireInput:
            self._arguments(block, delta.partial_json, events)
        elif type(delta) is WireThinking:
            if block.mode == "thought" and delta.thinking:
                events.append(ReasoningDelta(block.index, delta.thinking))
        elif type(delta) is WireSignature:
            if block.mode == "thought" and delta.signature:
                self._sign(block, delta.signature, events)
        elif type(delta) is WireCitation and block.mode == "text":
            events.append(CitationAdd(block.index, citation(delta.citation)))

    def _missing(self, event: WireBlockDelta, events: list[Event]) -> _Open | None:
        """A delta of a block that was never opened: text and thoughts open one (some servers send no start)."""
        delta = event.delta
        if type(delta) is WireText and delta.text:
            self._begin(events)
            self._close(events)
            return self._opened(event.index, "text", Text(""), events)
        if type(delta) is WireThinking and delta.thinking:
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
        finish = finish_of(stop.stop_reason, stop.stop_sequence, stop.stop_details, stop.container, calls=self._calls)
        events.append(Finished(finish))
        self._over = True

    def _fail(self, error: UpstreamError, events: list[Event]) -> None:
        events.append(Failure(error))
        self._over = True


def _content(message: str) -> UpstreamError:
    return UpstreamError(message, cause=Cause.CONTENT, code="upstream_invalid_answer")
