"""A stream of events, edited on its way.

Text waits until it is certain what it belongs to (``Window``); arguments of tools until they are whole, for nobody can
use half of them and their escapes would hide things.
"""

from msgspec import structs

from asgi_llm.neutral.events import (
    ArgumentsDelta,
    BlockStart,
    BlockStop,
    CarrierSet,
    CitationAdd,
    Event,
    RawEvent,
    ReasoningDelta,
    TextDelta,
)
from asgi_llm.neutral.request import Reasoning, ToolCall

from .finding import Find, Forbidden, Window, edit_json, redact
from .texts import edit_part, edit_raw

__all__ = ["Screen"]

_MOST = 4 * 1024 * 1024
"""Characters of one call's arguments that are kept until they are whole; longer ones are not let through."""


class Screen:
    """One answer."""

    __slots__ = ("_blocks", "_find", "_width")

    def __init__(self, find: Find, width: int) -> None:
        self._find = find
        self._width = width
        self._blocks: dict[int, _Block] = {}

    def feed(self, event: Event) -> list[Event]:
        """What may go on now.

        Raises:
            Forbidden: something is in it that must not be.
        """
        match event:
            case BlockStart():
                self._blocks[event.candidate] = _Block(event, self._find, self._width)
                return [structs.replace(event, part=edit_part(event.part, self._edit))]
            case TextDelta() | ArgumentsDelta() | ReasoningDelta() | CarrierSet() | CitationAdd() | BlockStop():
                block = self._blocks.get(event.candidate)
                if block is None:
                    return [event]
                return block.feed(event)
            case RawEvent():
                return [event] if edit_raw(event.raw, self._edit) is event.raw else []
        return [event]

    def _edit(self, text: str) -> str:
        return redact(self._find, text)


class _Block:
    """The open block of a candidate."""

    __slots__ = ("_arguments", "_citations", "_find", "_last", "_plain", "_size", "_thinks", "_width", "_window")

    def __init__(self, start: BlockStart, find: Find, width: int) -> None:
        self._find = find
        self._width = width
        self._window = Window(find, width)
        self._last: TextDelta | ReasoningDelta | None = None
        self._arguments: list[ArgumentsDelta] = []
        self._size = 0
        self._citations: list[CitationAdd] = []
        self._thinks = isinstance(start.part, Reasoning)
        self._plain = isinstance(start.part, ToolCall) and start.part.kind == "text"

    def feed(
        self, event: TextDelta | ArgumentsDelta | ReasoningDelta | CarrierSet | CitationAdd | BlockStop
    ) -> list[Event]:
        match event:
            case TextDelta() | ReasoningDelta():
                return self._text(event)
            case ArgumentsDelta():
                self._size += len(event.text)
                if self._size > _MOST:
                    raise Forbidden
                self._arguments.append(event)
                return []
            case CitationAdd():
                self._citations.append(event)
                return []
            case CarrierSet() if self._thinks:
                out = self._rest()
                return out if self._window.changed else [*out, event]
            case CarrierSet():
                return [event]
            case BlockStop():
                return [*self._rest(), *self._call(), *self._cited(), event]

    def _text(self, event: TextDelta | ReasoningDelta) -> list[Event]:
        out = self._rest() if self._is_another(event) else []
        self._last = event
        return [*out, *self._said(self._window.feed(event.text))]

    def _is_another(self, event: TextDelta | ReasoningDelta) -> bool:
        """Whether it begins another part of a summary."""
        last = self._last
        if not (isinstance(event, ReasoningDelta) and isinstance(last, ReasoningDelta)):
            return False
        return (event.summary, event.part) != (last.summary, last.part)

    def _rest(self) -> list[Event]:
        return self._said(self._window.end())

    def _said(self, text: str) -> list[Event]:
        """Log probabilities would tell what waits, and what was taken out."""
        match self._last:
            case TextDelta() as last if text:
                return [structs.replace(last, text=text, logprobs=None)]
            case ReasoningDelta() as last if text:
                return [structs.replace(last, text=text)]
        return []

    def _call(self) -> list[Event]:
        if not self._arguments:
            return []
        text = "".join(event.text for event in self._arguments)
        edit = self._edit
        told = edit(text) if self._plain else edit_json(text, edit)
        return [structs.replace(self._arguments[0], text=told)]

    def _cited(self) -> list[Event]:
        """Not where the text was changed, in which they name places, and not where they repeat what was found."""
        if self._window.changed:
            return []
        return [event for event in self._citations if self._is_clean(event)]

    def _is_clean(self, event: CitationAdd) -> bool:
        said = (event.citation.title, event.citation.cited_text)
        same = all(text is None or self._edit(text) is text for text in said)
        return same and edit_raw(event.citation.raw, self._edit) is event.citation.raw

    def _edit(self, text: str) -> str:
        return redact(self._find, text)
