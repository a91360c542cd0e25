"""The blocks of a stream that is being decoded: each keeps its header and how much of it has been told.

A piece that is not yet the open block queues its events; it does not keep the text of what it has passed on.
"""

from msgspec import Raw, structs

from asgi_llm.dialects.interface import Restore
from asgi_llm.neutral.events import (
    ArgumentsDelta,
    BlockStart,
    BlockStop,
    CarrierSet,
    CitationAdd,
    Event,
    ReasoningDelta,
    TextDelta,
)
from asgi_llm.neutral.request import Citation, Part, Reasoning, Refusal, Text, ToolCall

from . import wire
from .items import citation
from .restoring import restored, unwrapped
from .wire import Item

__all__ = ["CallPiece", "Piece", "ReasoningPiece", "Seen", "TextPiece", "WholePiece"]

_NO_LOGPROBS = (b"null", b"[]")

_InBlock = ArgumentsDelta | CarrierSet | CitationAdd | ReasoningDelta | TextDelta


class Piece:
    """One block. ``ready`` once its header is complete, ``closed`` once nothing more belongs to it."""

    __slots__ = ("_index", "_out", "_queue", "closed", "header", "key", "ready")

    def __init__(self, header: Part) -> None:
        self.header = header
        self.key = (0, "", 0)
        self.ready = True
        self.closed = False
        self._index = 0
        self._out: list[Event] | None = None
        self._queue: list[_InBlock] = []

    @property
    def opened(self) -> bool:
        return self._out is not None

    def open(self, index: int, out: list[Event]) -> None:
        self._index, self._out = index, out
        out.append(BlockStart(index, self.header))
        out.extend(structs.replace(event, index=index) for event in self._queue)
        self._queue.clear()

    def close(self) -> None:
        self.closed = True

    def stop(self) -> BlockStop:
        return BlockStop(self._index)

    def _emit(self, event: _InBlock) -> None:
        if self._out is None:
            self._queue.append(event)
        else:
            self._out.append(event)


class WholePiece(Piece):
    """A part that arrives in one event."""

    __slots__ = ()


class TextPiece(Piece):
    """A text or a refusal."""

    __slots__ = ("_cited", "_told")

    def __init__(self, header: Text | Refusal) -> None:
        super().__init__(header)
        self._told = 0
        self._cited = False

    def delta(self, text: str, logprobs: Raw = wire.NOTHING) -> None:
        if text:
            self._told += len(text)
            told = None if bytes(logprobs) in _NO_LOGPROBS else logprobs
            self._emit(TextDelta(self._index, text, logprobs=told))

    def cite(self, found: Citation) -> None:
        """A refusal has no sources, whatever is said of it."""
        self._cited = True
        if isinstance(self.header, Text):
            self._emit(CitationAdd(self._index, found))

    def rest(self, part: wire.Part) -> None:
        """What the whole part has beyond what its deltas told."""
        whole = part.refusal if isinstance(self.header, Refusal) else part.text
        self.delta((whole or "")[self._told :])
        if not self._cited and part.annotations:
            for raw in part.annotations:
                if (found := citation(raw)) is not None:
                    self.cite(found)


class ReasoningPiece(Piece):
    """A thought: raw text, summary parts, proofs."""

    __slots__ = ("_told",)

    def __init__(self, item_id: str | None) -> None:
        super().__init__(Reasoning(id=item_id))
        self._told: dict[tuple[bool, int], int] = {}

    def delta(self, text: str, *, summary: bool, part: int) -> None:
        if text:
            key = (summary, part)
            self._told[key] = self._told.get(key, 0) + len(text)
            self._emit(ReasoningDelta(self._index, text, summary=summary, part=part if summary else 0))

    def rest(self, whole: Reasoning) -> None:
        """What the whole item has beyond what its deltas told. Its proof is final only here."""
        for index, text in enumerate(whole.summary):
            self.delta(text[self._told.get((True, index), 0) :], summary=True, part=index)
        if not any(not summary for summary, _ in self._told):
            self.delta(whole.text, summary=False, part=0)
        for carrier in whole.carriers:
            self._emit(CarrierSet(self._index, carrier))


class CallPiece(Piece):
    """A call of a function or custom tool, which opens once its name is known."""

    __slots__ = ("_held", "_restore", "_told")

    def __init__(self, restore: Restore) -> None:
        super().__init__(ToolCall("", ""))
        self.ready = False
        self._restore = restore
        self._told = 0
        self._held: list[str] | None = None
        """The arguments so far, where they can be unwrapped only as a whole."""

    def named(self, item: Item) -> None:
        if self.ready or not item.name:
            return
        kind = "text" if item.type == "custom_tool_call" else "json"
        call = ToolCall(item.call_id or item.id or "", item.name, namespace=item.namespace, item_id=item.id)
        if kind == "text":
            call = structs.replace(call, kind="text")
        header = restored(call, self._restore)
        if header.kind == "text" and kind == "json":
            self._held = []
            header = structs.replace(header, arguments="")
            self._hold_queue()
        self.header = header
        self.ready = True

    def delta(self, text: str) -> None:
        if not text:
            return
        self._told += len(text)
        if self._held is not None:
            self._held.append(text)
        else:
            self._emit(ArgumentsDelta(self._index, text))

    def rest(self, arguments: str) -> None:
        """What the whole arguments have beyond what the deltas told."""
        self.delta(arguments[self._told :])

    def close(self) -> None:
        if not self.closed and self._held is not None:
            text = unwrapped("".join(self._held))
            if text:
                self._emit(ArgumentsDelta(self._index, text))
        super().close()

    def _hold_queue(self) -> None:
        assert self._held is not None  # noqa: S101 - for the type checker: set by the caller just before
        self._held.extend(event.text for event in self._queue if isinstance(event, ArgumentsDelta))
        self._queue.clear()


class Seen:
    """What is known of one output item."""

    __slots__ = ("call", "call_id", "done", "id", "parts", "refusal", "searches")

    def __init__(self) -> None:
        self.id: str | None = None
        self.call_id: str | None = None
        self.done = False
        self.call = False
        self.refusal = False
        self.searches = 0
        self.parts: set[int] = set()
        """Content parts that were begun."""

    def is_of(self, item: Item) -> bool:
        """Whether this is the item, by its call id or else its id."""
        if item.call_id is not None or self.call_id is not None:
            return item.call_id == self.call_id
        return item.id is not None and item.id == self.id
