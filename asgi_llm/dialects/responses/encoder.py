"""Neutral events -> a Responses stream.

OpenAI Responses API reference, "Streaming events". The grammar holds by construction: each item climbs its whole
ladder (added, parts and deltas, done), one item is open at a time, ``sequence_number`` counts every event from 0, and
one terminal event repeats the items exactly as their ``output_item.done`` told them. What the terminal event must
repeat has to be kept until then; nothing else is.
"""

from collections.abc import Iterable
from typing import assert_never

from asgi_llm.dialects.interface import Answer
from asgi_llm.errors import AsgiLLMError, Cause, Kind, UpstreamError
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
    Ping,
    RawEvent,
    ReasoningDelta,
    Start,
    TextDelta,
    UsageUpdate,
)
from asgi_llm.neutral.request import (
    Audio,
    Carrier,
    Compaction,
    Image,
    Inline,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    ServerCall,
    ServerResult,
    Text,
    ToolCall,
)
from asgi_llm.neutral.response import Finish
from asgi_llm.neutral.usage import Usage, merge

from .blocks import CallBlock, Items, Ladder, MediaBlock, MessageBlock, ReasoningBlock, SearchBlock
from .echo import ResponseObject
from .errors import stream_error
from .hosted_block import HostedBlock
from .ids import legal_item_id
from .outputs import Ids, compaction_item, is_typed, outcome, reasoning_item, text_carriers

__all__ = ["Encoder"]

_COMMENT = b": keep-alive\n\n"

_Block = MessageBlock | ReasoningBlock | CallBlock | SearchBlock | MediaBlock


class Encoder:
    """See ``StreamEncoder``."""

    __slots__ = (
        "_answer", "_block", "_ended", "_hosted", "_ids", "_ladder", "_message", "_object", "_refused", "_signed",
        "_sounds", "_unsaid", "_usage", "final",
    )  # fmt: skip

    def __init__(self, answer: Answer, ladder: Ladder | None = None) -> None:
        self._answer = answer
        self._ladder = Ladder() if ladder is None else ladder
        self.final = b""
        """The response object of the terminal event."""
        self._ids = Ids(answer.mint)
        self._object: ResponseObject | None = None
        self._message: MessageBlock | None = None
        """The message item that is open; it stays so between consecutive texts, which become its parts."""
        self._block: _Block | None = None
        """What the block that is open goes to."""
        self._hosted: HostedBlock | None = None
        """A tool that the provider runs and that has not ended yet: its item stays open until it is known what came of
        it."""
        self._usage: Usage | None = None
        self._unsaid: Text | None = None
        """A text that has begun and has said nothing yet."""
        self._signed: tuple[Carrier, ...] = ()
        """The proof of the thoughts behind the open text."""
        self._sounds = False
        """The open block is a sound, of which only what is said in it can be told."""
        self._refused = False
        self._ended = False

    def quick(self, event: TextDelta) -> bytes | None:
        if event.candidate or self._unsaid is not None or type(self._block) is not MessageBlock or self._ended:
            return None
        self._block.delta(event.text, event.logprobs)
        return self._ladder.taken()

    def feed(self, events: Iterable[Event]) -> bytes:
        for event in events:
            if self._ended:
                break
            self._take(event)
        return self._ladder.taken()

    def keepalive(self) -> bytes:
        """``response.in_progress`` once more, which clients count as life; a comment where it is not allowed."""
        if self._object is None or self._ended:
            return _COMMENT
        self._lifecycle("response.in_progress", self._object.write("in_progress", []))
        return self._ladder.taken()

    def _take(self, event: Event) -> None:
        match event:
            case TextDelta():
                if event.candidate == 0:
                    self._speak(event)
            case ArgumentsDelta():
                if event.candidate == 0 and isinstance(self._block, CallBlock | SearchBlock):
                    self._block.delta(event.text)
            case ReasoningDelta():
                if event.candidate == 0 and isinstance(self._block, ReasoningBlock):
                    self._block.delta(event.text, summary=event.summary, part=event.part)
            case BlockStart():
                if event.candidate == 0:
                    self._begin()
                    self._open(event.part)
            case BlockStop():
                if event.candidate == 0:
                    self._close_block()
            case CarrierSet():
                if event.candidate == 0 and isinstance(self._block, ReasoningBlock | CallBlock):
                    self._block.carriers += (event.carrier,)
                elif event.candidate == 0 and (self._unsaid is not None or isinstance(self._block, MessageBlock)):
                    self._signed += (event.carrier,)
            case CitationAdd():
                if event.candidate == 0:
                    self._begin_text()
                    if isinstance(self._block, MessageBlock):
                        self._block.cite(event.citation)
            case MediaDelta():
                if event.candidate == 0 and isinstance(self._block, MediaBlock):
                    self._block.data.append(event.data)
            case Start():
                self._begin(event)
            case UsageUpdate():
                self._usage = merge(self._usage, event.usage)
            case Finished():
                if event.candidate == 0:
                    self._finish(event.finish)
            case Failure():
                self._fail(event.error)
            case Ping() | RawEvent():
                pass
            case _:
                assert_never(event)

    # The life of the response

    def _begin(self, start: Start | None = None) -> ResponseObject:
        if self._object is None:
            start = start or Start("", "")
            response_id = legal_item_id(start.id, "resp_") or self._answer.mint("resp_")
            self._object = ResponseObject(self._answer, response_id, start.created, start.service_tier)
            self._usage = merge(self._usage, start.usage)
            if not isinstance(self._ladder, Items):
                body = self._object.write("in_progress", [])
                self._lifecycle("response.created", body)
                self._lifecycle("response.in_progress", body)
        return self._object

    def _lifecycle(self, name: str, response: bytes) -> None:
        self._ladder.event(name, b'"response":' + response)

    def _finish(self, finish: Finish) -> None:
        response = self._begin()
        self._close_block()
        self._close_hosted(None)
        end = outcome(finish, refused=self._refused)
        if end.refusal is not None:
            self._open(Refusal(end.refusal))
            self._close_block()
        self._close_message("incomplete" if end.status == "incomplete" else "completed")
        if end.status == "failed":
            text = "the model wrote a tool call that cannot be read"
            self._fail(UpstreamError(text, cause=Cause.CONTENT, kind=Kind.SERVER))
            return
        body = response.write(end.status, self._ladder.done, usage=self._usage, incomplete=end.incomplete)
        self._end(f"response.{end.status}", body)

    def _fail(self, error: AsgiLLMError) -> None:
        response = self._begin()
        body = response.write("failed", self._ladder.done, usage=self._usage, error=stream_error(error))
        self._end("response.failed", body)

    def _end(self, name: str, body: bytes) -> None:
        self._lifecycle(name, body)
        self.final = body
        self._ended = True

    # Blocks

    def _open(self, part: Part) -> None:
        self._close_block()
        if self._hosted is not None and self._close_hosted(part):
            return
        self._sounds = isinstance(part, Audio)
        if isinstance(part, Audio) and part.transcript:
            part = Text(part.transcript)  # no item of this API holds the sound itself
        if isinstance(part, Text) and not (part.text or part.citations):
            # It may stay empty, and be there for its signature alone.
            self._unsaid, self._signed = part, part.carriers
            return
        if isinstance(part, Text | Refusal):
            self._signed = part.carriers if isinstance(part, Text) else ()
            self._say(part)
            return
        self._close_message("completed")
        match part:
            case Reasoning():
                self._block = ReasoningBlock(self._ladder, part, self._ids)
            case ToolCall():
                self._block = CallBlock(self._ladder, part, self._ids, typed=is_typed(part))
            case ServerCall() | ServerResult() | Opaque():
                self._server(part)
            case Image(source=Inline(data=data)):
                self._block = MediaBlock(self._ladder, self._ids, data)
            case Compaction():
                self._ladder.whole(compaction_item(part, self._ids))
            case _:
                # No item of this API holds it (sound, video, documents, media by reference).
                self._block = None

    def _speak(self, event: TextDelta) -> None:
        if self._unsaid is not None and event.text:
            self._begin_text()
        elif self._sounds and self._block is None and event.text:
            self._say(Text(""))
        if isinstance(self._block, MessageBlock):
            self._block.delta(event.text, event.logprobs)

    def _begin_text(self) -> None:
        """Go on with a text that was announced and has said nothing yet."""
        if self._unsaid is not None:
            part, self._unsaid = self._unsaid, None
            self._say(part)

    def _say(self, part: Text | Refusal) -> None:
        if self._message is None:
            self._message = MessageBlock(self._ladder, self._ids)
        self._message.start(part)
        self._refused = self._refused or isinstance(part, Refusal)
        self._block = self._message

    def _server(self, part: ServerCall | ServerResult | Opaque) -> None:
        raw = part.raw
        if part.dialect == "responses" and raw is not None:
            if isinstance(part, ServerCall) and part.status == "in_progress":
                self._hosted = HostedBlock(self._ladder, part, raw)
            else:
                self._ladder.whole(raw)
        elif isinstance(part, ServerCall):
            self._block = SearchBlock(self._ladder, part, self._ids)

    def _close_hosted(self, part: Part | None) -> bool:
        """Whether ``part`` is what came of the tool that ran; if not, nobody knows what did."""
        hosted, self._hosted = self._hosted, None
        ended = isinstance(part, ServerResult) and part.dialect == "responses"
        if hosted is not None:
            ended = ended and part.call_id == hosted.id  # type: ignore[union-attr]  # a ServerResult
            hosted.close(part.raw if ended else None)  # type: ignore[union-attr]
        return hosted is not None and ended

    def _close_block(self) -> None:
        if self._unsaid is not None and not self._signed:
            self._begin_text()
        self._unsaid = None
        block, self._block = self._block, None
        match block:
            case None:
                pass
            case MessageBlock():
                block.stop()
            case _:
                block.close()
        if self._signed:
            self._sign_text()

    def _sign_text(self) -> None:
        """The proof that came with a text, in an item of its own behind the message, which clients send back."""
        carriers, self._signed = self._signed, ()
        self._close_message("completed")
        self._ladder.whole(reasoning_item(self._ids.item("rs_"), [], text_carriers(carriers)))

    def _close_message(self, status: str) -> None:
        message, self._message = self._message, None
        if message is not None:
            message.close(status)
