"""Neutral events -> a chat stream for the caller (OpenAI API reference, "Streaming").

Grammar: role, then content, refusal, reasoning and tool deltas, one finish chunk for each choice, the usage chunk if it
was asked for, ``[DONE]``. The official client's accumulator joins what is repeated, so role, tool id and tool name are
written once, and entries of lists that it does not know carry an integer ``index``.

Chunks are byte templates; only the text of a delta is encoded.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from asgi_llm.dialects.interface import Answer
from asgi_llm.errors import AsgiLLMError, Cause, UpstreamError
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
from asgi_llm.neutral.request import Audio, Carrier, Citation, Image, Inline, Reasoning, Refusal, Text, ToolCall, Url
from asgi_llm.neutral.response import Finish
from asgi_llm.neutral.usage import Usage, merge

from .annotations import annotation
from .audio import LIFETIME
from .errors import encode_failure
from .finish import write_finish
from .names import legal_id
from .response import chat_id, fresh_id, old_form
from .thoughts import detail, extra_content
from .tools import NO_ARGUMENTS
from .usage import write_usage

__all__ = ["KEEPALIVE", "ChatStreamEncoder"]

KEEPALIVE = b": keep-alive\n\n"
_DONE = b"data: [DONE]\n\n"
_json = msgspec.json.Encoder().encode


class ChatStreamEncoder:
    """See ``StreamEncoder``."""

    __slots__ = ("_answer", "_choices", "_done", "_head", "_tail", "_usage", "deprecated")

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._choices: dict[int, _Choice] = {}
        self._usage: Usage | None = None
        self._head = b""
        self._tail = b',"usage":null}\n\n' if answer.include_usage else b"}\n\n"
        self._done = False
        self.deprecated = old_form(answer)

    def keepalive(self) -> bytes:
        return KEEPALIVE

    def quick(self, event: TextDelta) -> bytes | None:
        choice = self._choices.get(event.candidate)
        if choice is None or self._done:
            return None
        out: list[bytes] = []
        choice.text(event, out)
        return b"".join(out)

    def feed(self, events: Iterable[Event]) -> bytes:
        out: list[bytes] = []
        for event in events:
            if self._done:
                break
            # Most events are text: look at it before all others.
            if type(event) is TextDelta and (choice := self._choices.get(event.candidate)) is not None:
                choice.text(event, out)
            else:
                self._event(event, out)
        if not self._done and self._choices and all(choice.finished for choice in self._choices.values()):
            self._finish(out)
        return b"".join(out)

    def _event(self, event: Event, out: list[bytes]) -> None:
        match event:
            case Start():
                self._start(event)
                self._choice(0, out)
            case TextDelta():
                self._choice(event.candidate, out).text(event, out)
            case ReasoningDelta():
                self._choice(event.candidate, out).reasoning(event, out)
            case ArgumentsDelta():
                self._choice(event.candidate, out).arguments(event, out)
            case BlockStart():
                self._choice(event.candidate, out).block_start(event, out)
            case BlockStop():
                self._choice(event.candidate, out).block_stop(out)
            case CarrierSet():
                self._choice(event.candidate, out).carrier(event.carrier, out)
            case CitationAdd():
                self._choice(event.candidate, out).citation(event.citation)
            case MediaDelta():
                self._choice(event.candidate, out).media(event, out)
            case UsageUpdate():
                self._usage = merge(self._usage, event.usage)
            case Finished() if event.finish.reason == "malformed_call":
                text = "The model wrote a tool call that cannot be read."
                self._fail(UpstreamError(text, cause=Cause.CONTENT, code="malformed_call"), out)
            case Finished():
                self._choice(event.candidate, out).finish(event.finish, out)
            case Failure():
                self._fail(event.error, out)
            case Ping():
                out.append(KEEPALIVE)
            case RawEvent():
                pass  # of a dialect that is not this one

    def _fail(self, error: AsgiLLMError, out: list[bytes]) -> None:
        out.append(encode_failure(error))
        self._done = True

    def _start(self, start: Start) -> None:
        self._usage = merge(self._usage, start.usage)
        if not self._head:
            created = start.created if start.created is not None else int(self._answer.now())
            told = {
                "id": chat_id(start.id, self._answer.mint),
                "object": "chat.completion.chunk",
                "created": created,
                "model": self._answer.model,
            }
            if start.service_tier is not None:
                told["service_tier"] = start.service_tier
            self._head = b"data: " + _json(told)[:-1]

    def _choice(self, index: int, out: list[bytes]) -> "_Choice":
        choice = self._choices.get(index)
        if choice is None:
            if not self._head:
                self._start(Start("", ""))
            choice = self._choices[index] = _Choice(index, self._head, self._tail, self)
            choice.begin(out)
        return choice

    def _finish(self, out: list[bytes]) -> None:
        if self._answer.include_usage and self._usage is not None:
            out.append(b'%b,"choices":[],"usage":%b}\n\n' % (self._head, _json(write_usage(self._usage))))
        out.append(_DONE)
        self._done = True

    def call_id(self, call: ToolCall, taken: set[str]) -> str:
        return fresh_id(call.id if legal_id(call.id) else None, taken, self._answer.mint)

    def audio_id(self) -> str:
        return self._answer.mint("audio_")

    def expiry(self) -> int:
        return int(self._answer.now()) + LIFETIME


class _Choice:
    """Writes the chunks of one choice."""

    __slots__ = (
        "_after",
        "_annotations",
        "_argued",
        "_arguments",
        "_before",
        "_call_end",
        "_chars",
        "_cited",
        "_content",
        "_details",
        "_images",
        "_index",
        "_media",
        "_offset",
        "_part",
        "_reasoned",
        "_refused",
        "_stream",
        "_summary_part",
        "_taken",
        "_text_end",
        "_thought",
        "_tools",
        "finished",
    )

    def __init__(self, index: int, head: bytes, tail: bytes, stream: ChatStreamEncoder) -> None:
        self._index = index
        self._stream = stream
        self._before = b'%b,"choices":[{"index":%d,"delta":{' % (head, index)
        self._after = b'},"logprobs":null,"finish_reason":null}]' + tail
        self._text_end = tail
        self._content = self._before + b'"content":'
        self._thought = self._before + b'"reasoning_content":'
        self._arguments, self._call_end = b"", b""
        self._argued = False
        """Whether the open call has had arguments."""
        self._part: object = None
        """The header of the open block."""
        self._tools = self._details = self._annotations = self._images = 0
        self._taken: set[str] = set()
        self._refused = self.finished = False
        self._chars = self._offset = 0
        """Code points of content so far, and where the open text block begins among them."""
        self._reasoned = 0
        """Code points of reasoning before the open block's."""
        self._summary_part = 0
        """Which part of a summary was last written; a blank line parts it from the next."""
        self._cited: list[Citation] = []
        self._media: list[str] = []

    def begin(self, out: list[bytes]) -> None:
        self._say({"role": "assistant", "content": "", "refusal": None}, out)

    def _say(self, delta: dict[str, Any], out: list[bytes]) -> None:
        # Raw JSON of others may be spread over lines, which an event's data may not be.
        inside = _json(delta)[1:-1].replace(b"\n", b" ").replace(b"\r", b" ")
        out.append(self._before + inside + self._after)

    def text(self, event: TextDelta, out: list[bytes]) -> None:
        text = event.text
        if not text or self.finished:
            return
        if type(self._part) is Refusal:
            self._refused = True
            out.append(b'%b"refusal":%b%b' % (self._before, _json(text), self._after))
            return
        if type(self._part) is Audio:
            self._say({"audio": {"transcript": text}}, out)
            return
        self._chars += len(text)
        if event.logprobs is None:
            out.append(self._content + _json(text) + self._after)
        else:
            logprobs = bytes(event.logprobs).replace(b"\n", b" ").replace(b"\r", b" ")
            end = b'},"logprobs":%b,"finish_reason":null}]%b' % (logprobs, self._text_end)
            out.append(self._content + _json(text) + end)

    def reasoning(self, event: ReasoningDelta, out: list[bytes]) -> None:
        text = event.text
        if not text:
            return
        if event.part != self._summary_part:
            self._summary_part = event.part
            text = f"\n\n{text}"
        self._reasoned += len(text)
        out.append(self._thought + _json(text) + self._after)

    def arguments(self, event: ArgumentsDelta, out: list[bytes]) -> None:
        if event.text and self._arguments:
            self._argued = True
            out.append(self._arguments + _json(event.text) + self._call_end)

    def block_start(self, event: BlockStart, out: list[bytes]) -> None:
        part = event.part
        self._part = part
        self._argued = False
        match part:
            case Text():
                self._offset = self._chars
                self._cited += part.citations
                self.text(TextDelta(event.index, part.text), out)
            case Refusal():
                self.text(TextDelta(event.index, part.text), out)
            case Reasoning():
                self._offset, self._summary_part = self._reasoned, 0
                whole = part.text or "\n\n".join(part.summary)
                self.reasoning(ReasoningDelta(event.index, whole), out)
                for carrier in part.carriers:
                    self.carrier(carrier, out)
            case ToolCall():
                self._tool_start(part, out)
            case Image(source=Inline(data="")):
                pass  # its data comes in pieces
            case Image():
                self._image(part, out)
            case Audio(source=Inline(data=data)):
                said = {"id": part.id or self._stream.audio_id(), "data": data, "transcript": part.transcript}
                self._say({"audio": {name: value for name, value in said.items() if value}}, out)
            case _:
                pass  # what provider-run tools do has no place here

    def _tool_start(self, call: ToolCall, out: list[bytes]) -> None:
        self._argued = bool(call.arguments)
        name = f"{call.namespace}__{call.name}" if call.namespace else call.name
        kind, member = ("custom", "input") if call.kind == "text" else ("function", "arguments")
        if self._stream.deprecated and kind == "function":
            self._old_start(name, call, out)
            return
        fragment: dict[str, Any] = {"index": self._tools, "id": self._stream.call_id(call, self._taken), "type": kind}
        fragment[kind] = {"name": name, member: call.arguments}
        if (extra := extra_content(call.carriers)) is not None:
            fragment["extra_content"] = extra
        self._arguments = b'%b"tool_calls":[{"index":%d,"%b":{"%b":' % (
            self._before,
            self._tools,
            kind.encode(),
            member.encode(),
        )
        self._call_end = b"}}]" + self._after
        self._tools += 1
        self._say({"tool_calls": [fragment]}, out)

    def _old_start(self, name: str, call: ToolCall, out: list[bytes]) -> None:
        """The deprecated form has room for one call only."""
        self._tools += 1
        if self._tools > 1:
            self._arguments = b""
            return
        self._arguments = self._before + b'"function_call":{"arguments":'
        self._call_end = b"}" + self._after
        self._say({"function_call": {"name": name, "arguments": call.arguments}}, out)

    def block_stop(self, out: list[bytes]) -> None:
        if isinstance(self._part, ToolCall) and self._part.kind == "json" and not self._argued:
            self.arguments(ArgumentsDelta(0, NO_ARGUMENTS), out)
        if isinstance(self._part, Audio):
            self._say({"audio": {"expires_at": self._stream.expiry()}}, out)
        if self._cited:
            self._cite(out)
        if self._media:
            data = "".join(self._media)
            self._media = []
            if isinstance(self._part, Image) and isinstance(self._part.source, Inline):
                self._image(Image(Inline(self._part.source.media_type, data)), out)
        self._part = None
        self._arguments = b""

    def carrier(self, carrier: Carrier, out: list[bytes]) -> None:
        if isinstance(self._part, ToolCall):
            if (extra := extra_content((carrier,))) is not None and not self._stream.deprecated:
                self._say({"tool_calls": [{"index": self._tools - 1, "extra_content": extra}]}, out)
            return
        start = self._offset if isinstance(self._part, Reasoning) else self._reasoned
        entry = detail(carrier, self._details, start, self._reasoned)
        self._details += 1
        self._say({"reasoning_details": [entry]}, out)

    def citation(self, citation: Citation) -> None:
        self._cited.append(citation)

    def _cite(self, out: list[bytes]) -> None:
        written = []
        for citation in self._cited:
            entry = annotation(citation, self._offset, self._chars - self._offset)
            if entry is not None:
                written.append({"index": self._annotations, **entry})
                self._annotations += 1
        self._cited = []
        if written:
            self._say({"annotations": written}, out)

    def media(self, event: MediaDelta, out: list[bytes]) -> None:
        if isinstance(self._part, Audio):
            self._say({"audio": {"data": event.data}}, out)
        else:
            self._media.append(event.data)

    def _image(self, image: Image, out: list[bytes]) -> None:
        source = image.source
        url = f"data:{source.media_type};base64,{source.data}" if isinstance(source, Inline) else ""
        if isinstance(source, Url):
            url = source.url
        entry = {"index": self._images, "type": "image_url", "image_url": {"url": url}}
        self._images += 1
        self._say({"images": [entry]}, out)

    def finish(self, finish: Finish, out: list[bytes]) -> None:
        if self.finished:
            return
        word = write_finish(finish, tools=self._tools > 0, refused=self._refused, deprecated=self._stream.deprecated)
        if finish.reason in ("refusal", "filtered") and finish.detail and not self._refused:
            self._part = Refusal("")
            self.text(TextDelta(0, finish.detail), out)
        self.finished = True
        end = b'},"logprobs":null,"finish_reason":"%b"}]%b' % (word.encode(), self._text_end)
        out.append(self._before + end)
