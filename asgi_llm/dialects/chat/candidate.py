"""One answer of a chat stream as it arrives: which of its blocks is open, and what must wait until it closes.

What the chunks of the stream are, and when it ends, is ``stream``'s to know.
"""

from typing import Protocol

import msgspec
from msgspec import Raw

from asgi_llm.neutral.events import (
    ArgumentsDelta,
    BlockStart,
    BlockStop,
    CarrierSet,
    CitationAdd,
    Event,
    Finished,
    MediaDelta,
    ReasoningDelta,
    TextDelta,
)
from asgi_llm.neutral.request import Part, Reasoning, Refusal, Text

from .annotations import read_annotations
from .answer import AudioPiece, Said, ToolPiece, content_text
from .audio import begun
from .finish import read_finish
from .pieces import Call, Calls
from .response import read_images
from .restore import Unwrapper
from .thoughts import carrier_of, detail_text, read_details

__all__ = ["Candidate", "Outlet"]


class Outlet(Protocol):
    """The stream that a candidate is part of."""

    def emit(self, event: Event) -> None: ...

    def header(self, call: Call) -> tuple[Part, bool]:
        """The header of a call's block, and whether its arguments are wrapped free text."""
        ...


class Candidate:
    """One answer as it arrives: which block is open, and what must wait until it closes."""

    __slots__ = (
        "_audio_id",
        "_block",
        "_calls",
        "_chars",
        "_index",
        "_kind",
        "_later",
        "_offset",
        "_refused",
        "_stream",
        "_tools",
        "_unwrapper",
        "finish_reason",
        "finished",
        "stop_reason",
    )

    def __init__(self, index: int, stream: Outlet) -> None:
        self._index = index
        self._stream = stream
        self._kind = ""
        """What block is open: text, refusal, reasoning, audio, tool, or none."""
        self._audio_id: str | None = None
        self._block = -1
        self._chars = self._offset = 0
        """Code points of content so far, and where the open text block begins among them."""
        self._calls: Calls | None = None
        self._later: list[Said] = []
        """What came between the pieces of a call; said when the call is whole."""
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
            self._audio(said.audio)

    def _audio(self, said: AudioPiece) -> None:
        """Sound and what is said in it come by turns; a piece may hold the id alone."""
        self._audio_id = self._audio_id or said.id
        if not (said.data or said.transcript):
            return
        self._open("audio", begun(self._audio_id))
        if said.data:
            self._stream.emit(MediaDelta(self._block, said.data, self._index))
        if said.transcript:
            self._stream.emit(TextDelta(self._block, said.transcript, self._index))

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
