"""Neutral events -> a Messages stream for the caller.

The grammar holds by construction: ``message_start`` first (with the first real event, so that an early failure can
still be an HTTP error), blocks numbered 0, 1, 2 and one open at a time, a signature last in its block, then exactly one
``message_delta`` and ``message_stop``, or one ``error``, and nothing after. Spec: Anthropic Messages API, "Streaming".
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from asgi_llm.dialects.interface import Answer
from asgi_llm.dialects.searched import Searched
from asgi_llm.dialects.sse import frame
from asgi_llm.errors import Cause, UpstreamError
from asgi_llm.neutral.events import (
    ArgumentsDelta,
    BlockStart,
    BlockStop,
    CarrierSet,
    CitationAdd,
    Event,
    Failure,
    Finished,
    ReasoningDelta,
    Start,
    TextDelta,
    UsageUpdate,
)
from asgi_llm.neutral.request import (
    Audio,
    Carrier,
    Compaction,
    Document,
    Image,
    Opaque,
    Reasoning,
    Refusal,
    ServerCall,
    ServerResult,
    Text,
    ToolCall,
    Video,
)
from asgi_llm.neutral.response import Finish
from asgi_llm.neutral.usage import Usage, merge

from .errors import encode_failure
from .names import call_id, flat_name
from .response import citation_block, message_id, signature_of
from .search import foreign_search, result_block, use_block
from .signatures import Place, seal
from .stops import stop_of
from .usage import encode_usage

__all__ = ["KEEPALIVE", "MessagesEncoder"]

KEEPALIVE = b'event: ping\ndata: {"type":"ping"}\n\n'
"""Legal anywhere, before ``message_start`` too: the official SDKs pass over ``ping`` before they look at the order."""

_json = msgspec.json.Encoder().encode
_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
_DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":'
_END = b"}}\n\n"


class _Block:
    """The block being written. ``prefix`` is everything of a delta event before its text."""

    __slots__ = ("arguments", "carriers", "held", "index", "kind", "prefix", "says", "summary", "summary_part")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.index = -1
        """Its number on the wire; -1 until it is written (a block without content never is)."""
        self.prefix = b""
        self.says = b""
        """The same, once it has said a piece of text."""
        self.carriers: tuple[Carrier, ...] = ()
        self.summary: bool | None = None
        """Whether a thought is told by its summary; the first word decides, for the API has one text for it."""
        self.summary_part = 0
        self.arguments = False
        self.held: list[str] | None = None
        """Arguments that do not begin as an object does; kept until they can be wrapped in one."""


class MessagesEncoder:
    """One stream. Of several candidates only the first is written."""

    __slots__ = ("_answer", "_block", "_calls", "_next", "_over", "_start", "_started", "_usage")

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._start = Start("", "")
        self._started = False
        self._over = False
        self._calls = False
        self._block: _Block | None = None
        self._next = 0
        self._usage: Usage | None = None

    def keepalive(self) -> bytes:
        return b"" if self._over else KEEPALIVE

    def quick(self, event: TextDelta) -> bytes | None:
        block = self._block
        if block is None or not block.says or not event.text or event.candidate or self._over:
            return None
        return block.says + _json(event.text) + _END

    def feed(self, events: Iterable[Event]) -> bytes:
        out: list[bytes] = []
        for event in events:
            if self._over:
                break
            more = self.quick(event) if type(event) is TextDelta else None
            if more is not None:
                out.append(more)
            else:
                self._other(event, out)
        return b"".join(out)

    def _other(self, event: Event, out: list[bytes]) -> None:
        match event:
            case Start():
                self._start = event
                self._usage = merge(self._usage, event.usage)
            case UsageUpdate():
                self._usage = merge(self._usage, event.usage)
            case Failure():
                self._over = True
                out.append(encode_failure(event.error))
            case (
                BlockStart()
                | BlockStop()
                | TextDelta()
                | ReasoningDelta()
                | ArgumentsDelta()
                | CarrierSet()
                | CitationAdd()
                | Finished()
            ):
                if event.candidate == 0:
                    self._candidate(event, out)
            case _:
                return

    def _candidate(self, event: Event, out: list[bytes]) -> None:
        match event:
            case BlockStart():
                self._close(out)
                self._open(event, out)
            case BlockStop():
                self._close(out)
            case TextDelta():
                self._text(event.text, out)
            case ReasoningDelta():
                self._thought(event, out)
            case ArgumentsDelta():
                self._arguments(event.text, out)
            case CarrierSet():
                if self._block is not None:
                    self._block.carriers = (*self._block.carriers, event.carrier)
            case CitationAdd():
                block = self._block
                if block is not None and block.kind == "text":
                    self._begin_block(block, {"type": "text", "text": ""}, b"text_delta", b"text", out)
                    out.append(_delta(block.index, {"type": "citations_delta", "citation": _compact(event)}))
            case Finished():
                self._finish(event.finish, out)
            case _:
                return

    def _message_start(self, out: list[bytes]) -> None:
        if self._started:
            return
        self._started = True
        message: dict[str, Any] = {
            "id": message_id(self._start.id, self._answer),
            "type": "message",
            "role": "assistant",
            "model": self._answer.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": encode_usage(self._usage, self._start.service_tier),
        }
        out.append(frame(_json({"type": "message_start", "message": message}), b"message_start"))

    def _open(self, event: BlockStart, out: list[bytes]) -> None:
        self._message_start(out)
        part = event.part
        match part:
            case Text() | Refusal() | Compaction():
                self._block = _Block("text")
                if isinstance(part, Text):
                    self._block.carriers = part.carriers
                    for said in part.citations:
                        self._candidate(CitationAdd(event.index, said), out)
                self._text(part.text, out)
            case Reasoning():
                self._open_thought(part, out)
            case ToolCall():
                self._open_call(part, out)
            case ServerCall() if part.dialect == "messages" and part.raw is not None:
                self._block = _Block("server")
                self._begin_block(self._block, _raw(part.raw), b"input_json_delta", b"partial_json", out)
                self._arguments(part.arguments if not _has_input(part.raw) else "", out)
            case ServerCall() if (told := foreign_search(part, self._answer.mint)) is not None:
                self._searched(*told, out)
            case ServerResult() | Opaque() if part.dialect == "messages" and part.raw is not None:
                self._whole(_raw(part.raw), out)
            case Audio():
                # What is said in it; where that is not told, it is at least named.
                self._block = _Block("audio")
                self._text(part.transcript, out)
            case Image() | Document() | Video():
                # As in a whole answer: what this API cannot say is at least named.
                self._block = _Block("text")
                self._text(f"[{type(part).__name__.lower()}]", out)
                self._block = _Block("skip") if self._end_block(out) else None
            case _:
                self._block = _Block("skip")

    def _open_thought(self, part: Reasoning, out: list[bytes]) -> None:
        block = self._block = _Block("redacted" if part.redacted else "thought")
        block.carriers = part.carriers
        if not part.redacted and (text := part.text or "\n\n".join(part.summary)):
            self._thought(ReasoningDelta(0, text, summary=not part.text), out)

    def _open_call(self, part: ToolCall, out: list[bytes]) -> None:
        if part.carriers:
            self._whole({"type": "thinking", "thinking": "", "signature": ""}, out, seal(part.carriers, "next"))
        self._calls = True
        block = self._block = _Block("free" if part.kind == "text" else "call")
        wire_id = call_id(part.id) if part.id else self._answer.mint("toolu_")
        header = {"type": "tool_use", "id": wire_id, "name": flat_name(part.name, part.namespace), "input": {}}
        self._begin_block(block, header, b"input_json_delta", b"partial_json", out)
        self._arguments(part.arguments, out)

    def _searched(self, use_id: str, found: Searched, out: list[bytes]) -> None:
        block = self._block = _Block("server")
        self._begin_block(block, use_block(use_id, {}), b"input_json_delta", b"partial_json", out)
        self._arguments(_json({"query": found.queries[0]}).decode(), out)
        self._close(out)
        self._whole(result_block(use_id, found), out)

    def _begin_block(self, block: _Block, header: Any, delta: bytes, name: bytes, out: list[bytes]) -> None:
        if block.index >= 0:
            return
        block.index = self._next
        self._next += 1
        block.prefix = _DELTA % (block.index, delta, name)
        start = {"type": "content_block_start", "index": block.index, "content_block": header}
        out.append(frame(_json(start), b"content_block_start"))

    def _text(self, text: str, out: list[bytes]) -> None:
        block = self._block
        if block is None or block.kind not in ("text", "audio") or not text:
            return
        self._begin_block(block, {"type": "text", "text": ""}, b"text_delta", b"text", out)
        block.says = block.prefix
        out.append(block.prefix + _json(text) + _END)

    def _thought(self, event: ReasoningDelta, out: list[bytes]) -> None:
        block = self._block
        if block is None or block.kind != "thought" or not event.text:
            return
        if block.summary is None:
            block.summary = event.summary
        if block.summary is not event.summary:
            return
        self._begin_thought(block, out)
        text = event.text
        if event.summary and event.part != block.summary_part:
            block.summary_part = event.part
            text = "\n\n" + text
        out.append(block.prefix + _json(text) + _END)

    def _begin_thought(self, block: _Block, out: list[bytes]) -> None:
        header = {"type": "thinking", "thinking": "", "signature": ""}
        self._begin_block(block, header, b"thinking_delta", b"thinking", out)

    def _arguments(self, text: str, out: list[bytes]) -> None:
        block = self._block
        if block is None or not text or block.kind not in ("call", "free", "server"):
            return
        if block.kind == "free":
            # One string argument stands for the free text: its JSON is written piece by piece.
            opening = "" if block.arguments else '{"input":"'
            text = opening + _json(text)[1:-1].decode()
        elif block.held is not None:
            block.held.append(text)
            return
        elif not block.arguments:
            text = text.lstrip()
            if not text:
                return
            if not text.startswith("{"):
                block.held = [text]
                return
        block.arguments = True
        out.append(block.prefix + _json(text) + _END)

    def _close(self, out: list[bytes]) -> None:
        if self._block is not None:
            self._end_block(out)
            self._block = None

    def _end_block(self, out: list[bytes]) -> bool:
        block = self._block
        if block is None:
            return False
        if block.kind == "free":
            tail = '"}' if block.arguments else '{"input":""}'
            out.append(block.prefix + _json(tail) + _END)
        elif block.held is not None:
            wrapped = _json({"_raw": "".join(block.held)}).decode()
            out.append(block.prefix + _json(wrapped) + _END)
        elif block.kind == "audio" and block.index < 0:
            self._text("[audio]", out)
        elif block.kind == "thought":
            self._sign(block, out)
        elif block.kind == "redacted":
            header = {"type": "redacted_thinking", "data": signature_of(block.carriers, redacted=True)}
            self._begin_block(block, header, b"", b"", out)
        if block.index >= 0:
            out.append(_block_stop(block.index))
        if block.carriers and block.kind in ("call", "free", "text"):
            # Known too late to go before the call or the text it belongs to.
            place: Place = "text" if block.kind == "text" else "previous"
            self._whole({"type": "thinking", "thinking": "", "signature": ""}, out, seal(block.carriers, place))
        return True

    def _sign(self, block: _Block, out: list[bytes]) -> None:
        """Every thought ends signed (clients replay no other); a thought of which nothing is known is not written."""
        if block.index < 0 and not block.carriers:
            return
        self._begin_thought(block, out)
        out.append(_delta(block.index, {"type": "signature_delta", "signature": signature_of(block.carriers)}))

    def _whole(self, header: Any, out: list[bytes], signature: str = "") -> None:
        """A block that comes all at once."""
        block = _Block("whole")
        self._begin_block(block, header, b"", b"", out)
        if signature:
            out.append(_delta(block.index, {"type": "signature_delta", "signature": signature}))
        out.append(_block_stop(block.index))
        self._block = None

    def _finish(self, finish: Finish, out: list[bytes]) -> None:
        self._over = True
        if finish.reason == "malformed_call":
            broken = UpstreamError(
                "The model wrote a tool call that cannot be read.", cause=Cause.CONTENT, code="malformed_call"
            )
            out.append(encode_failure(broken))
            return
        self._message_start(out)
        self._close(out)
        event = {
            "type": "message_delta",
            "delta": stop_of(finish, calls=self._calls),
            "usage": encode_usage(self._usage),
        }
        out.append(frame(_json(event), b"message_delta"))
        out.append(_STOP)


def _delta(index: int, delta: Any) -> bytes:
    event = {"type": "content_block_delta", "index": index, "delta": delta}
    return frame(_json(event), b"content_block_delta")


def _block_stop(index: int) -> bytes:
    return b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n' % index


def _raw(raw: msgspec.Raw) -> msgspec.Raw:
    """Raw JSON on one line: a line end inside it would end the event's data."""
    return msgspec.Raw(msgspec.json.format(bytes(raw), indent=-1))


def _compact(event: CitationAdd) -> Any:
    block = citation_block(event.citation)
    return _raw(block) if isinstance(block, msgspec.Raw) else block


class _Input(msgspec.Struct):
    input: dict[str, Any] = {}


def _has_input(raw: msgspec.Raw) -> bool:
    try:
        return bool(msgspec.json.decode(raw, type=_Input).input)
    except (msgspec.DecodeError, RecursionError):
        return False
