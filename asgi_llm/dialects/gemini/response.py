"""Whole answers: an upstream's generateContent JSON -> neutral, and neutral -> the caller's JSON.

Spec: Gemini API, "GenerateContentResponse".
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw, structs

from asgi_llm.dialects.interface import Answer, Restore
from asgi_llm.dialects.searched import Searched, searched
from asgi_llm.errors import Cause, UpstreamError
from asgi_llm.neutral.request import (
    Audio,
    Carrier,
    Citation,
    Compaction,
    Document,
    Image,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    ServerCall,
    ServerResult,
    Text,
    ToolCall,
    ToolResult,
    Video,
)
from asgi_llm.neutral.response import Candidate, Finish, Response, numbered

from .answer import CHUNK, RawParts, WireCandidate
from .citations import read_sources, write_grounding
from .encode_parts import arguments_of, media_part
from .errors import content_error, in_band
from .finish import blocked, finish_of, finish_word
from .logprobs import read_logprobs, write_logprobs
from .names import flat_name
from .parts import is_plain, plain_part, raw_part
from .raws import given, one_line
from .restore import call_of
from .signatures import Held, carriers_of, google_signature, seal
from .spelling import camel
from .usage import decode_usage, encode_usage
from .wire import RAW_LIST

__all__ = [
    "call_part",
    "decode_response",
    "encode_response",
    "foreign",
    "foreign_search",
    "other_part",
    "signature_of",
    "without_call",
]


def _alone(body: bytes) -> bytes:
    """The answer itself, where it is the one element of a list."""
    if body.lstrip()[:1] == b"[" and len(entries := RAW_LIST.decode(body)) == 1:
        return bytes(entries[0])
    return body


def decode_response(body: bytes, restore: Restore) -> Response:
    """The answer in neutral form.

    Raises:
        UpstreamError: it is an error (cause in_band), is not an answer at all, or all it says is a call that cannot be
            read (cause content).
    """
    try:
        if not body.isascii():
            str(body, "utf-8")  # raw members are passed on without being looked at
        return _decode(camel(_alone(body)), restore)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _not_an_answer() from None


def _decode(body: bytes, restore: Restore) -> Response:
    wire, raw = CHUNK.decode(body), RawParts(body)
    if given(wire.error) is not None:
        raise in_band(body)
    candidates = [
        _candidate(candidate, position, raw, restore) for position, candidate in enumerate(wire.candidates or ())
    ]
    feedback = wire.prompt_feedback
    if not candidates:
        if feedback is None or not feedback.block_reason:
            raise _not_an_answer()
        candidates = [Candidate((), blocked(feedback.block_reason, feedback.block_reason_message))]
    if all(candidate.finish.reason == "malformed_call" for candidate in candidates):
        unreadable = "The model wrote a tool call that cannot be read."
        raise UpstreamError(unreadable, cause=Cause.CONTENT, code="malformed_call")
    return Response(
        id=wire.response_id or "",
        model=wire.model_version or "",
        candidates=numbered(candidates),
        usage=decode_usage(wire.usage_metadata),
    )


def _not_an_answer() -> UpstreamError:
    return content_error("The upstream's answer is not one of the Gemini API.")


def _candidate(wire: WireCandidate, position: int, raw: RawParts, restore: Restore) -> Candidate:
    parts: list[Part] = []
    places: dict[int, int] = {}
    raws: list[Raw] = []
    for place, part in enumerate((wire.content.parts if wire.content is not None else None) or ()):
        whole: Part | None
        if part.function_call is not None:
            whole = call_of(part.function_call, carriers_of(part.thought_signature), restore)
        elif is_plain(part):
            whole = plain_part(part)
        else:
            raws = raws or raw.of(position)
            whole = raw_part(raws[place])
        if whole is not None and whole not in (Text(""), Reasoning()):
            places[place] = len(parts)
            parts.append(whole)
    _cite(wire, parts, places)
    calls = any(isinstance(part, ToolCall) for part in parts)
    message = wire.finish_message if isinstance(wire.finish_message, str) else None
    return Candidate(
        tuple(parts),
        finish_of(wire.finish_reason or "", message, wire.continuation_token, calls=calls),
        wire.index if wire.index is not None and wire.index >= 0 else position,
        read_logprobs(wire.logprobs_result),
    )


def _cite(wire: WireCandidate, parts: list[Part], places: dict[int, int]) -> None:
    """Put each citation on the text it belongs to: the named part, or the first text where that is none."""
    first = next((number for number, part in enumerate(parts) if isinstance(part, Text)), None)
    for cited in read_sources(wire.grounding_metadata, wire.citation_metadata):
        number = places.get(cited.part, first)
        if number is None or not isinstance(parts[number], Text):
            number = first
        if number is not None and isinstance(text := parts[number], Text):
            citation = cited.citation(text.text)
            parts[number] = structs.replace(text, citations=(*text.citations, citation))


def encode_response(response: Response, answer: Answer) -> bytes:
    """The answer with all its candidates."""
    chosen = response.candidates or (Candidate((), Finish("end")),)
    body: dict[str, Any] = {"candidates": [_written(candidate) for candidate in chosen]}
    if (counts := encode_usage(response.usage)) is not None:
        body["usageMetadata"] = counts
    body["modelVersion"] = answer.model
    body["responseId"] = response.id or answer.mint("")
    return msgspec.json.encode(body)


def _written(candidate: Candidate) -> dict[str, Any]:
    parts: list[Any] = []
    cited: list[tuple[int, int, str, Citation]] = []
    searches: list[Searched] = []
    waiting: list[Held] = []
    broken = texted = False
    for part in candidate.parts:
        match part:
            case Text():
                cited += [(len(parts), 0, part.text, citation) for citation in part.citations]
                if part.text or part.carriers:
                    parts.append(_signed({"text": part.text}, signature_of(part.carriers)))
                texted = texted or bool(part.text)
            case Reasoning():
                if foreign(part):
                    waiting.append(Held(part, texted))
                parts += _thought(part)
            case ToolCall():
                texted = False
                call = call_part(part, part.arguments, signature_of(part.carriers, waiting))
                broken = broken or call is None
                parts += [call] if call is not None else []
            case Audio(transcript=said) if said:
                parts += [{"text": said}, other_part(part)]
            case ServerCall() if (search := foreign_search(part, part.arguments)) is not None:
                searches.append(search)
            case _:
                parts += [whole] if (whole := other_part(part)) is not None else []
    if waiting:
        parts.append({"text": "", "thoughtSignature": seal(waiting)})
    finish = without_call(candidate.finish) if broken else candidate.finish
    word, message = finish_word(finish, calls=any(isinstance(part, ToolCall) for part in candidate.parts))
    written: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "finishReason": word}
    if message:
        written["finishMessage"] = message
    written["index"] = candidate.index
    if (grounding := write_grounding(cited, searches)) is not None:
        written["groundingMetadata"] = grounding
    if (logprobs := write_logprobs(candidate.logprobs)) is not None:
        written["logprobsResult"] = logprobs
    return written


_BROKEN = Finish("malformed_call", detail="The model wrote a tool call whose arguments are not a JSON object.")


def without_call(finish: Finish) -> Finish:
    """How an answer ended a call of which cannot be told. Where it was cut off at its limit, that is why."""
    if finish.reason in ("max_tokens", "context_full"):
        return structs.replace(finish, detail="A tool call was cut off.")
    return _BROKEN


def foreign(part: Reasoning) -> bool:
    """Whether another provider made the proof of the thought, which must travel in an envelope."""
    return any(carrier.kind != "google.thought_signature" for carrier in part.carriers)


def _thought(part: Reasoning) -> list[dict[str, Any]]:
    text = part.text or "\n\n".join(part.summary)
    signature = google_signature(part.carriers)
    return [_signed({"text": text, "thought": True}, signature)] if text or signature else []


def signature_of(carriers: Sequence[Carrier], waiting: list[Held] | None = None) -> str | None:
    """The signature for a part: Google's own, else an envelope of what another provider made and of the thoughts that
    wait for a place, which are taken out of ``waiting``.

    Calls are that place (and the end of an answer without any): clients keep their signatures, while text may be
    joined with other text and lose them.
    """
    if (own := google_signature(carriers)) is not None:
        return own
    if not carriers and not waiting:
        return None
    sealed = seal(waiting or (), carriers)
    if waiting:
        waiting.clear()
    return sealed


def call_part(call: ToolCall, arguments: str, signature: str | None) -> dict[str, Any] | None:
    """A call; None where its arguments are not the object that this API must have."""
    args = arguments_of(arguments, call.kind)
    if args is None:
        return None
    wire: dict[str, Any] = {"name": flat_name(call.name, call.namespace), "args": args}
    if call.id:
        wire = {"id": call.id, **wire}
    return _signed({"functionCall": wire}, signature)


def foreign_search(call: ServerCall, arguments: str) -> Searched | None:
    """What another provider searched for; its own searches this API tells in parts."""
    return None if call.dialect == "gemini" else searched(call, arguments)


def _signed(part: dict[str, Any], signature: str | None) -> dict[str, Any]:
    if signature is not None:
        part["thoughtSignature"] = signature
    return part


def other_part(part: Part) -> Any:
    """Any other part of an answer; None where this API has nothing like it."""
    match part:
        case Refusal() | Compaction():
            return {"text": part.text} if part.text else None
        case Image() | Document() | Audio() | Video():
            return media_part(part)
        case ServerCall() | ServerResult() | Opaque():
            return one_line(part.raw) if part.dialect == "gemini" and part.raw is not None else None
        case Text() | Reasoning() | ToolCall() | ToolResult():
            return None
