"""Neutral events -> a stream for the caller.

Every piece is a whole ``GenerateContentResponse`` on one line: text and thoughts as they come, a call when it is whole
(the API has no half ones), and at the end of each candidate one piece with the reason, the usage and the citations.
Nothing else is ever written: clients stumble over comments, event names and ``[DONE]``.
Spec: Gemini API, "streamGenerateContent".
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from asgi_llm.dialects.interface import Answer
from asgi_llm.dialects.searched import Searched
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
    ReasoningDelta,
    Start,
    TextDelta,
    UsageUpdate,
)
from asgi_llm.neutral.fold import joined_base64
from asgi_llm.neutral.request import (
    Audio,
    Carrier,
    Citation,
    Compaction,
    Document,
    Image,
    Inline,
    Part,
    Reasoning,
    Refusal,
    ServerCall,
    Text,
    ToolCall,
    Video,
)
from asgi_llm.neutral.response import Finish
from asgi_llm.neutral.usage import Usage, merge

from .citations import write_grounding
from .errors import encode_failure
from .finish import finish_word
from .logprobs import write_logprobs
from .response import call_part, foreign, foreign_search, other_part, signature_of, without_call
from .signatures import Held, google_signature, seal
from .usage import encode_usage

__all__ = ["KEEPALIVE", "GeminiEncoder"]

KEEPALIVE = b"\n"
"""A blank line. Anything else between two events, a comment too, is taken for a broken answer."""

_json = msgspec.json.Encoder().encode


class _Candidate:
    """One answer being written."""

    __slots__ = (
        "broken", "calls", "carriers", "cited", "cites", "finished", "kind", "number", "part", "pieces", "said",
        "searches", "summary", "summary_part", "texted", "waiting",
    )  # fmt: skip

    def __init__(self, number: int) -> None:
        self.number = number
        self.kind = ""
        """Of the open block: text, thought, call, run, whole; empty where none is open."""
        self.part: Part = Text("")
        self.pieces: list[str] = []
        """What was said in the open block."""
        self.said = 0
        """Bytes of text in the blocks before it, for citations count from the beginning."""
        self.carriers: list[Carrier] = []
        self.summary: bool | None = None
        """Whether a thought is told by its summary; the first word decides, for the API has one text for it."""
        self.summary_part = 0
        self.waiting: list[Held] = []
        """Thoughts with another provider's proof, until a part comes that keeps them."""
        self.texted = False
        """Text was written since the last call."""
        self.cites: list[Citation] = []
        """Of the open text, which they may cover to its end."""
        self.cited: list[tuple[int, int, str, Citation]] = []
        self.searches: list[Searched] = []
        self.calls = False
        self.broken = False
        self.finished = False


class GeminiEncoder:
    """One stream of server-sent events."""

    __slots__ = (
        "_answer",
        "_candidates",
        "_identity",
        "_only",
        "_over",
        "_start",
        "_tail",
        "_usage",
    )

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._start = Start("", "")
        self._identity = b""
        """The members that all pieces share, from the comma on."""
        self._tail = b""
        """What follows the text in a piece of the first candidate."""
        self._candidates: dict[int, _Candidate] = {}
        self._only: _Candidate | None = None
        """The candidate whose open block is text that can be written at once."""
        self._usage: Usage | None = None
        self._over = False

    def keepalive(self) -> bytes:
        return b"" if self._over else KEEPALIVE

    def quick(self, event: TextDelta) -> bytes | None:
        only = self._only
        if only is None or event.logprobs is not None or event.candidate or self._over:
            return None
        if not event.text:
            return b""
        only.pieces.append(event.text)
        return b"data: " + _HEAD + _json(event.text) + self._tail + b"\n\n"

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

    def _say(self, piece: bytes, out: list[bytes]) -> None:
        out.append(b"data: " + piece + b"\n\n")

    def _other(self, event: Event, out: list[bytes]) -> None:
        match event:
            case Start():
                self._start = event
                self._usage = merge(self._usage, event.usage)
            case UsageUpdate():
                self._usage = merge(self._usage, event.usage)
            case Failure() if not self._complete():
                self._fail(event, out)
            case (
                BlockStart()
                | BlockStop()
                | TextDelta()
                | ReasoningDelta()
                | ArgumentsDelta()
                | CarrierSet()
                | CitationAdd()
                | MediaDelta()
                | Finished()
            ):
                self._identify()
                candidate = self._candidates.get(event.candidate)
                if candidate is None:
                    candidate = self._candidates[event.candidate] = _Candidate(event.candidate)
                if not candidate.finished:
                    self._candidate(candidate, event, out)
            case _:
                return

    def _complete(self) -> bool:
        """Whether all the answers asked for are finished, so that nothing can break off any more."""
        asked = self._answer.request.n if self._answer.request is not None else None
        done = sum(candidate.finished for candidate in self._candidates.values())
        return done >= max(asked or 1, len(self._candidates))

    def _identify(self) -> None:
        if self._identity:
            return
        known = {"modelVersion": self._answer.model, "responseId": self._start.id or self._answer.mint("")}
        self._identity = b"," + _json(known)[1:]
        self._tail = b'}],"role":"model"},"index":0}]' + self._identity

    def _fail(self, event: Failure, out: list[bytes]) -> None:
        self._over = True
        out.append(encode_failure(event.error))

    def _candidate(self, candidate: _Candidate, event: Event, out: list[bytes]) -> None:
        match event:
            case BlockStart():
                self._close(candidate, out)
                self._open(candidate, event.part, out)
            case BlockStop():
                self._close(candidate, out)
            case TextDelta():
                self._text(candidate, event, out)
            case ReasoningDelta():
                self._thought(candidate, event, out)
            case ArgumentsDelta() if candidate.kind in ("call", "run"):
                candidate.pieces.append(event.text)
            case MediaDelta() if candidate.kind == "whole":
                candidate.pieces.append(event.data)
            case CarrierSet() if candidate.kind:
                candidate.carriers.append(event.carrier)
            case CitationAdd() if candidate.kind == "text":
                candidate.cites.append(event.citation)
            case Finished():
                self._close(candidate, out)
                self._finish(candidate, event.finish, out)
            case _:
                return

    def _open(self, candidate: _Candidate, part: Part, out: list[bytes]) -> None:
        candidate.part = part
        candidate.carriers = list(part.carriers) if isinstance(part, Text | Reasoning | ToolCall) else []
        match part:
            case Text() | Refusal() | Compaction():
                candidate.kind = "text"
                if part.text:
                    self._text(candidate, TextDelta(0, part.text, candidate.number), out)
                if candidate.number == 0:
                    self._only = candidate
                if isinstance(part, Text):
                    candidate.cites += part.citations
            case Reasoning():
                candidate.kind = "thought"
                candidate.summary, candidate.summary_part = None, 0
                if text := part.text or "\n\n".join(part.summary):
                    self._thought(candidate, ReasoningDelta(0, text, summary=not part.text), out)
            case ToolCall():
                candidate.kind = "call"
                candidate.pieces = [part.arguments]
            case ServerCall() if part.dialect != "gemini":
                candidate.kind = "run"
                candidate.pieces = [part.arguments]
            case Audio():
                candidate.kind = "whole"
                self._transcript(candidate, part.transcript, out)
            case _:
                candidate.kind = "whole"

    def _part(self, candidate: _Candidate, part: Any, out: list[bytes], extra: dict[str, Any] | None = None) -> None:
        written = {"content": {"parts": [part], "role": "model"}, "index": candidate.number, **(extra or {})}
        self._say(_json({"candidates": [written]})[:-1] + self._identity, out)

    def _text(self, candidate: _Candidate, event: TextDelta, out: list[bytes]) -> None:
        if candidate.kind == "whole" and isinstance(candidate.part, Audio):
            self._transcript(candidate, event.text, out)
        if candidate.kind != "text":
            return
        logprobs = write_logprobs(event.logprobs)
        if event.text or logprobs is not None:
            candidate.pieces.append(event.text)
            extra = None if logprobs is None else {"logprobsResult": logprobs}
            self._part(candidate, {"text": event.text}, out, extra)

    def _transcript(self, candidate: _Candidate, text: str, out: list[bytes]) -> None:
        """What is said in a sound, which follows when it is whole."""
        if text:
            candidate.said += len(text.encode("utf-8", "surrogatepass"))
            self._part(candidate, {"text": text}, out)

    def _thought(self, candidate: _Candidate, event: ReasoningDelta, out: list[bytes]) -> None:
        if candidate.kind != "thought" or not event.text:
            return
        if candidate.summary is None:
            candidate.summary, candidate.summary_part = event.summary, event.part
        if candidate.summary is not event.summary:
            return
        text = event.text
        if event.summary and event.part != candidate.summary_part:
            candidate.summary_part = event.part
            text = "\n\n" + text
        candidate.pieces.append(text)
        self._part(candidate, {"text": text, "thought": True}, out)

    def _close(self, candidate: _Candidate, out: list[bytes]) -> None:
        kind, candidate.kind = candidate.kind, ""
        pieces, candidate.pieces = candidate.pieces, []
        if self._only is candidate:
            self._only = None
        match kind:
            case "text":
                if (signature := signature_of(candidate.carriers)) is not None:
                    self._part(candidate, {"text": "", "thoughtSignature": signature}, out)
                candidate.texted = candidate.texted or bool(pieces)
                text = "".join(pieces)
                candidate.cited += [(0, candidate.said, text, citation) for citation in candidate.cites]
                candidate.cites = []
                candidate.said += len(text.encode("utf-8", "surrogatepass"))
            case "thought":
                self._end_thought(candidate, "".join(pieces), out)
            case "call":
                self._call(candidate, "".join(pieces), out)
            case "run" if isinstance(candidate.part, ServerCall):
                if (search := foreign_search(candidate.part, "".join(pieces))) is not None:
                    candidate.searches.append(search)
            case "whole":
                if (part := other_part(_filled(candidate.part, pieces))) is not None:
                    self._part(candidate, part, out)

    def _end_thought(self, candidate: _Candidate, text: str, out: list[bytes]) -> None:
        header = candidate.part if isinstance(candidate.part, Reasoning) else Reasoning()
        carriers = tuple(candidate.carriers)
        if (signature := google_signature(carriers)) is not None:
            self._part(candidate, {"text": "", "thought": True, "thoughtSignature": signature}, out)
            return
        told = (text,) if candidate.summary and text else ()
        whole = Reasoning("" if told else text, told, carriers, header.redacted, header.id)
        if foreign(whole):
            candidate.waiting.append(Held(whole, candidate.texted))

    def _call(self, candidate: _Candidate, arguments: str, out: list[bytes]) -> None:
        call = candidate.part
        if not isinstance(call, ToolCall):
            return
        part = call_part(call, arguments, signature_of(candidate.carriers, candidate.waiting))
        if part is None:
            candidate.broken = True
            return
        candidate.calls, candidate.texted = True, False
        self._part(candidate, part, out)

    def _finish(self, candidate: _Candidate, finish: Finish, out: list[bytes]) -> None:
        candidate.finished = True
        part: dict[str, Any] = {"text": ""}
        if candidate.waiting:
            part["thoughtSignature"] = seal(candidate.waiting)
        if candidate.broken:
            finish = without_call(finish)
        word, message = finish_word(finish, calls=candidate.calls)
        written: dict[str, Any] = {"content": {"parts": [part], "role": "model"}, "finishReason": word}
        if message:
            written["finishMessage"] = message
        written["index"] = candidate.number
        if (grounding := write_grounding(candidate.cited, candidate.searches)) is not None:
            written["groundingMetadata"] = grounding
        piece: dict[str, Any] = {"candidates": [written]}
        if (counts := encode_usage(self._usage)) is not None:
            piece["usageMetadata"] = counts
        self._say(_json(piece)[:-1] + self._identity, out)


_HEAD = b'{"candidates":[{"content":{"parts":[{"text":'


def _filled(part: Part, pieces: list[str]) -> Part:
    """A media part with the base64 that came after its header."""
    if pieces and isinstance(part, Image | Document | Audio | Video) and isinstance(part.source, Inline):
        whole = msgspec.structs.replace(part.source, data=joined_base64([part.source.data, *pieces]))
        return msgspec.structs.replace(part, source=whole)
    return part
