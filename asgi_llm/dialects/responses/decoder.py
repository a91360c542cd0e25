"""A Responses stream -> neutral events.

OpenAI Responses API reference, "Streaming events". Items may overlap on the wire; neutral blocks may not, so what
belongs to a later block waits until the earlier one is closed. Servers leave rungs of the ladder out: a block opens
at the first event that speaks of it, and ``output_item.done`` or the terminal event brings what no delta brought.
"""

from collections import deque
from typing import TypeVar

import msgspec
from msgspec import Raw

from asgi_llm.dialects.interface import Restore
from asgi_llm.dialects.money import with_gateway
from asgi_llm.dialects.sse import Frame, FrameTooLargeError, SSEReader
from asgi_llm.errors import Cause, ClientError, UpstreamError
from asgi_llm.neutral.events import Event, Failure, Finished, Start, UsageUpdate
from asgi_llm.neutral.request import Part, Refusal, Text, ToolCall
from asgi_llm.neutral.usage import Usage

from . import items, wire
from .errors import failure_from
from .pieces import CallPiece, Piece, ReasoningPiece, Seen, TextPiece, WholePiece
from .response import Body, finish_of, item_parts
from .usage import decode_usage, is_search, with_searches
from .wire import Item, StreamEvent, first, given

__all__ = ["Decoder"]

P = TypeVar("P", bound=Piece)


_event = msgspec.json.Decoder(StreamEvent)
_kind = msgspec.json.Decoder(wire.Typed)
_body = msgspec.json.Decoder(Body)

_TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})


class Decoder:
    """See ``StreamDecoder``."""

    __slots__ = (
        "_ended",
        "_index",
        "_moved",
        "_out",
        "_pieces",
        "_reader",
        "_restore",
        "_seen",
        "_started",
        "_waiting",
    )

    def __init__(self, restore: Restore) -> None:
        self._reader = SSEReader()
        self._restore = restore
        self._out: list[Event] = []
        self._pieces: dict[tuple[int, str, int], Piece] = {}
        """Pieces that are not closed, by (output index, kind, content index)."""
        self._waiting: deque[Piece] = deque()
        """The same in order of appearance; the first of them is the open block."""
        self._moved: dict[int, int] = {}
        """Output indexes that were used twice -> the place that the later item has here."""
        self._seen: dict[int, Seen] = {}
        """What is known of each output item, a few numbers each."""
        self._index = 0
        self._started = False
        self._ended = False

    @property
    def told(self) -> Usage | None:
        return None  # it stands among the events as soon as it is read

    def feed(self, data: bytes) -> list[Event]:
        if self._ended:
            return []
        try:
            frames = self._reader.feed(data)
        except FrameTooLargeError:
            self._fail(UpstreamError("an event of the upstream's stream is too large", cause=Cause.PROTOCOL))
            return self._taken()
        self._read_into(frames)
        return self._taken()

    def end(self) -> list[Event]:
        if not self._ended:
            self._read_into(self._reader.end())
        if not self._ended:
            text = "the upstream's stream ended before its answer did"
            self._fail(UpstreamError(text, cause=Cause.TRUNCATED, code="upstream_truncated"))
        return self._taken()

    def _taken(self) -> list[Event]:
        out = self._out.copy()
        self._out.clear()
        return out

    def _read_into(self, frames: list[Frame]) -> None:
        for frame in frames:
            if self._ended:
                return
            data = frame.data.strip()
            if not data or data == b"[DONE]":
                continue
            try:
                if not data.isascii():
                    str(data, "utf-8")  # raw members are passed on without being looked at
                event = _event.decode(data)
            except msgspec.ValidationError:
                self._misshapen(data)
                continue
            except (msgspec.MsgspecError, ValueError, RecursionError):
                self._garbage()
                continue
            kind = event.type or frame.event.decode("latin-1")
            try:
                self._take(kind, event)
            except ClientError:
                self._garbage()

    def _misshapen(self, data: bytes) -> None:
        """An event whose members have other types than documented: fatal only where it carries the answer."""
        try:
            kind = _kind.decode(data).type or ""
        except (msgspec.MsgspecError, ValueError, RecursionError):
            kind = "response.completed"
        if kind in _TERMINAL or kind.endswith((".delta", "output_item.done")):
            self._garbage()

    def _garbage(self) -> None:
        self._fail(
            UpstreamError(
                "the upstream's stream holds something that is no event of it",
                cause=Cause.CONTENT,
                code="upstream_invalid_answer",
            )
        )

    def _take(self, kind: str, event: StreamEvent) -> None:
        match kind:
            case "response.output_text.delta":
                self._text(event, refusal=False).delta(event.delta or "", event.logprobs)
                return
            case "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta":
                self._call(event).delta(event.delta or "")
                return
            case "response.reasoning_summary_text.delta":
                self._reasoning(event).delta(event.delta or "", summary=True, part=event.summary_index or 0)
            case "response.reasoning_text.delta":
                self._reasoning(event).delta(event.delta or "", summary=False, part=event.content_index or 0)
            case "response.refusal.delta":
                self._text(event, refusal=True).delta(event.delta or "")
            case "response.output_item.added":
                self._added(event)
            case "response.output_item.done":
                self._done(self._place(event), event.item)
            case "response.content_part.added":
                self._part_added(event)
            case "response.content_part.done":
                self._part_done(event)
            case "response.output_text.annotation.added":
                if (citation := items.citation(event.annotation)) is not None:
                    self._text(event, refusal=False).cite(citation)
            case "response.created" | "response.in_progress" | "response.queued":
                self._start(event.response)
            case "error":
                self._fail(self._told(event))
            case _ if kind in _TERMINAL:
                self._terminal(event.response, kind)
            case _ if given(event.error) and not kind.startswith("response."):
                self._fail(self._told(event))
            case _:
                return
        self._settle()

    # The life of the response

    def _start(self, raw: Raw) -> None:
        if self._started:
            return
        self._started = True
        body = self._body(raw)
        created = None if body.created_at is None else int(body.created_at)
        self._out.append(Start(body.id or "", body.model or "", created, decode_usage(body.usage), body.service_tier))

    def _terminal(self, raw: Raw, kind: str) -> None:
        body = self._body(raw)
        self._start(raw)
        if kind in ("response.failed", "response.cancelled") or body.status == "failed":
            usage = decode_usage(body.usage)
            if usage is not None:
                self._out.append(UsageUpdate(usage))
            self._fail(failure_from(_value(body.error)))
            return
        self._catch_up(body.output or [])
        for piece in list(self._waiting):
            piece.close()
        self._settle()
        searches = sum(seen.searches for seen in self._seen.values())
        if (usage := with_searches(with_gateway(decode_usage(body.usage), bytes(raw)), searches)) is not None:
            self._out.append(UsageUpdate(usage))
        if body.status is None:
            body.status = kind.removeprefix("response.")
        self._out.append(Finished(finish_of(body, self._kinds())))
        self._ended = True

    def _catch_up(self, output: list[Raw]) -> None:
        """Some servers tell an item nowhere but in the terminal event."""
        told = sum(seen.done for seen in self._seen.values())
        for index, raw in enumerate(output if told < len(output) else ()):
            item = items.read_item(raw, "response.output")
            seen = self._seen.get(index)
            if seen is not None and not seen.done:
                self._done(index, raw)
            elif not any(other.is_of(item) for other in self._seen.values()):
                self._done(index if seen is None else max(self._seen) + 1, raw)

    def _kinds(self) -> list[Part]:
        """One empty part of each kind that decides how the answer ended."""
        kinds: list[Part] = []
        if any(seen.call for seen in self._seen.values()):
            kinds.append(ToolCall("", ""))
        if any(seen.refusal for seen in self._seen.values()):
            kinds.append(Refusal(""))
        return kinds

    def _body(self, raw: Raw) -> Body:
        try:
            return _body.decode(raw) if given(raw) else Body()
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise wire.shape_error(error, "response") from None

    def _told(self, event: StreamEvent) -> UpstreamError:
        nested = _value(event.error)
        return failure_from(nested or {"code": event.code, "message": event.message, "param": event.param})

    def _fail(self, error: UpstreamError) -> None:
        self._out.append(Failure(error))
        self._ended = True

    # Items

    def _place(self, event: StreamEvent) -> int:
        """The output index; of servers that leave it out, the item's by its id, else the latest one's."""
        if event.output_index is not None:
            return self._moved.get(event.output_index, event.output_index)
        item_id = event.item_id
        if item_id is None and given(event.item):
            item_id = items.read_item(event.item, "item").id
        for index, seen in self._seen.items():
            if item_id is not None and seen.id == item_id:
                return index
        latest = max(self._seen, default=-1)
        return latest + 1 if given(event.item) or latest < 0 else latest

    def _known(self, index: int) -> Seen:
        if index not in self._seen:
            self._seen[index] = Seen()
        return self._seen[index]

    def _added(self, event: StreamEvent) -> None:
        item = items.read_item(event.item, "item") if given(event.item) else Item()
        index = self._place(event)
        if index in self._seen and self._seen[index].done and event.output_index is not None:
            # A server that counts nothing: the next item comes under the number of a finished one.
            index = self._moved[event.output_index] = max(self._seen) + 1
        seen = self._known(index)
        seen.id = item.id
        match item.type:
            case "function_call" | "custom_tool_call":
                self._call_piece(index).named(item)
            case "reasoning":
                self._reasoning_piece(index, item.id)
            case _:
                pass

    def _part_added(self, event: StreamEvent) -> None:
        part = wire.read_optional(event.part, wire.Part, "part") or wire.Part()
        if part.type in ("output_text", "refusal"):
            self._text(event, refusal=part.type == "refusal")

    def _part_done(self, event: StreamEvent) -> None:
        part = wire.read_optional(event.part, wire.Part, "part") or wire.Part()
        if part.type in ("output_text", "refusal"):
            piece = self._text(event, refusal=part.type == "refusal")
            piece.rest(part)
            piece.close()

    def _done(self, index: int, raw: Raw) -> None:
        seen = self._known(index)
        if seen.done or not given(raw):
            return
        item = items.read_item(raw, "item")
        seen.id, seen.call_id = item.id, item.call_id
        match item.type:
            case "message":
                self._message_done(index, item)
            case "function_call" | "custom_tool_call":
                seen.call = True
                piece = self._call_piece(index)
                piece.named(item)
                piece.rest(items.call(item, "item").arguments)
                piece.close()
            case "reasoning":
                thought = self._reasoning_piece(index, item.id)
                thought.rest(items.thought(item, "item"))
                thought.close()
            case _:
                parts = item_parts(raw, self._restore)
                seen.call = any(isinstance(part, ToolCall) for part in parts)
                seen.searches = sum(map(is_search, parts))
                for number, part in enumerate(parts):
                    self._add((index, "whole", number), WholePiece(part)).close()
        seen.done = True

    def _message_done(self, index: int, item: Item) -> None:
        if first(item.content) == b"[":
            for number, raw in enumerate(wire.array(item.content, "item.content")):
                part = wire.read(raw, wire.Part, "item.content")
                if part.type in ("output_text", "refusal", "text"):
                    self._text_piece(index, number, refusal=part.type == "refusal").rest(part)
        for key in [key for key in self._pieces if key[0] == index]:
            self._pieces[key].close()

    # Pieces. Late words about what is complete go to a piece that leads nowhere.

    def _text(self, event: StreamEvent, *, refusal: bool) -> TextPiece:
        return self._text_piece(self._place(event), event.content_index or 0, refusal=refusal)

    def _text_piece(self, index: int, number: int, *, refusal: bool) -> TextPiece:
        piece = self._pieces.get((index, "text", number))
        if isinstance(piece, TextPiece):
            return piece
        seen = self._known(index)
        seen.refusal = seen.refusal or refusal
        piece = TextPiece(Refusal("") if refusal else Text(""))
        if seen.done or number in seen.parts:
            return piece
        seen.parts.add(number)
        return self._add((index, "text", number), piece)

    def _call(self, event: StreamEvent) -> CallPiece:
        return self._call_piece(self._place(event))

    def _call_piece(self, index: int) -> CallPiece:
        piece = self._pieces.get((index, "call", 0))
        if isinstance(piece, CallPiece):
            return piece
        seen = self._known(index)
        seen.call = True
        piece = CallPiece(self._restore)
        return piece if seen.done else self._add((index, "call", 0), piece)

    def _reasoning(self, event: StreamEvent) -> ReasoningPiece:
        return self._reasoning_piece(self._place(event), event.item_id)

    def _reasoning_piece(self, index: int, item_id: str | None) -> ReasoningPiece:
        piece = self._pieces.get((index, "reasoning", 0))
        if isinstance(piece, ReasoningPiece):
            return piece
        piece = ReasoningPiece(item_id)
        return piece if self._known(index).done else self._add((index, "reasoning", 0), piece)

    def _add(self, key: tuple[int, str, int], piece: P) -> P:
        piece.key = key
        self._pieces[key] = piece
        self._waiting.append(piece)
        self._settle()
        return piece

    def _settle(self) -> None:
        """Open what may be open, stop what is closed, in the order in which the pieces appeared."""
        while self._waiting:
            piece = self._waiting[0]
            if not piece.opened and piece.ready:
                self._start(wire.NOTHING)
                piece.open(self._index, self._out)
                self._index += 1
            if not piece.closed:
                return
            if piece.opened:
                self._out.append(piece.stop())
            self._waiting.popleft()
            del self._pieces[piece.key]


def _value(raw: Raw) -> object:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
