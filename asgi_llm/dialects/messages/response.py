"""Whole answers: an upstream's Messages JSON -> neutral, and neutral -> the caller's Messages JSON.

Spec: Anthropic Messages API, "The Message object".
"""

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from asgi_llm.dialects.interface import Answer, Restore
from asgi_llm.dialects.money import with_gateway
from asgi_llm.errors import Cause, ClientError, UpstreamError
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
from asgi_llm.neutral.response import Candidate, Finish, Response

from .blocks import known_parts, parts_of
from .errors import in_band
from .names import call_id, flat_name
from .parts import server_call_block
from .raws import NULL, given
from .restore import free_text, restored
from .schemas import object_text
from .search import PLACEHOLDER, foreign_search, result_block, use_block
from .signatures import seal
from .stops import Container, StopDetails, finish_of, stop_of
from .usage import WrittenUsage, decode_usage, encode_usage, to_neutral
from .wire import Known

__all__ = ["citation_block", "decode_response", "encode_response", "message_id", "signature_of"]


class _Head(Struct, kw_only=True):
    id: Any = None
    model: Any = None
    stop_reason: Any = None
    stop_sequence: Any = None
    stop_details: StopDetails | None = None
    usage: Raw = NULL
    container: Raw = NULL


class _Message(_Head, kw_only=True):
    """An answer of known blocks, told in one pass."""

    type: Literal["message"]
    content: list[Known]
    error: None = None


class _Answer(_Head, kw_only=True):
    """Any other answer, or what is none."""

    type: Any = None
    content: Raw = NULL
    error: Raw = NULL


class _Written(Struct, kw_only=True):
    """A message as it goes out."""

    id: str
    type: str = "message"
    role: str = "assistant"
    model: str
    content: list[Any]
    stop_reason: str
    stop_sequence: str | None
    stop_details: Any
    usage: WrittenUsage
    container: Raw | UnsetType


_MESSAGE = msgspec.json.Decoder(_Message)
_ANSWER = msgspec.json.Decoder(_Answer)
_JSON = msgspec.json.Encoder()


def decode_response(body: bytes, restore: Restore) -> Response:
    """The answer in neutral form.

    Raises:
        UpstreamError: it is an error (cause in_band), or not a message at all (cause content).
    """
    wire: _Head
    try:
        if not body.isascii():
            str(body, "utf-8")  # raw members are passed on without being looked at
        wire = message = _MESSAGE.decode(body)
        parts = known_parts(message.content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        wire, parts = _any_answer(body)
    calls = _calls(parts)
    if calls:
        parts = tuple(_restored(part, restore) for part in parts)
        calls = _calls(parts)
    counts = decode_usage(wire.usage)
    tier = counts.service_tier if counts else None
    finish = finish_of(wire.stop_reason, wire.stop_sequence, wire.stop_details, _container(wire), calls=calls)
    return Response(
        id=wire.id if isinstance(wire.id, str) else "",
        model=wire.model if isinstance(wire.model, str) else "",
        candidates=(Candidate(parts, finish),),
        usage=with_gateway(to_neutral(counts), body),
        service_tier=tier if isinstance(tier, str) else None,
        ext={} if given(wire.container) is None else {"container": wire.container},
    )


def _container(wire: _Head) -> Container | None:
    if given(wire.container) is None:
        return None
    try:
        return msgspec.json.decode(wire.container, type=Container)
    except msgspec.ValidationError:
        return None


def _any_answer(body: bytes) -> tuple[_Head, tuple[Part, ...]]:
    try:
        str(body, "utf-8")
        wire = _ANSWER.decode(body)
        if wire.type == "error" or given(wire.error) is not None:
            raise in_band(body)
        if wire.type != "message" and given(wire.content) is None:
            raise _not_a_message()
        return wire, () if given(wire.content) is None else parts_of(wire.content, "content")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ClientError):
        raise _not_a_message() from None


def _not_a_message() -> UpstreamError:
    return UpstreamError(
        "The upstream's answer is not a message of the Messages API.",
        cause=Cause.CONTENT,
        code="upstream_invalid_answer",
    )


def _calls(parts: tuple[Part, ...]) -> bool:
    """Whether the answer holds tool calls for the caller to run."""
    for part in parts:  # noqa: SIM110  # a plain loop: this is on the path of every answer
        if isinstance(part, ToolCall):
            return True
    return False


def _restored(part: Part, restore: Restore) -> Part:
    if not isinstance(part, ToolCall):
        return part
    if restore.unwrap_output is not None and part.name == restore.unwrap_output:
        return Text(part.arguments)
    call = restored(part, restore)
    return msgspec.structs.replace(call, arguments=free_text(call.arguments)) if call.kind == "text" else call


def encode_response(response: Response, answer: Answer) -> bytes:
    """The answer as a message. Of several candidates the first is written: this API has but one."""
    chosen = response.candidates[0] if response.candidates else Candidate((), Finish("end"))
    stop = stop_of(chosen.finish, calls=_calls(chosen.parts))
    message = _Written(
        id=message_id(response.id, answer),
        model=answer.model,
        content=_content(chosen.parts, answer.mint),
        stop_reason=stop["stop_reason"],
        stop_sequence=stop["stop_sequence"],
        stop_details=stop.get("stop_details", UNSET),
        usage=encode_usage(response.usage, response.service_tier),
        container=response.ext.get("container", UNSET),
    )
    return _JSON.encode(message)


def message_id(upstream: str, answer: Answer) -> str:
    """The upstream's id where it is one of this API's, else a new one."""
    return upstream if upstream.startswith("msg_") else answer.mint("msg_")


def _content(parts: Iterable[Part], mint: Callable[[str], str]) -> list[Any]:
    content: list[Any] = []
    for part in parts:
        match part:
            case Text():
                if part.text:
                    content += _texts(part)
                if part.carriers:
                    content.append({"type": "thinking", "thinking": "", "signature": seal(part.carriers, "text")})
            case Refusal() | Compaction():
                if part.text:
                    content.append({"type": "text", "text": part.text})
            case Reasoning():
                content.append(_thought(part))
            case ToolCall():
                if part.carriers:
                    content.append({"type": "thinking", "thinking": "", "signature": seal(part.carriers, "next")})
                content.append(_call(part, mint))
            case ServerCall():
                content += _server_call(part, mint)
            case ServerResult() | Opaque():
                if part.dialect == "messages" and part.raw is not None:
                    content.append(part.raw)
            case Audio(transcript=said) if said:
                content.append({"type": "text", "text": said})
            case Image() | Document() | Audio() | Video():
                # An answer of this API is text; what was made beside it is at least not passed over in silence.
                content.append({"type": "text", "text": f"[{type(part).__name__.lower()}]"})
            case ToolResult():
                pass
    return content


def _server_call(part: ServerCall, mint: Callable[[str], str]) -> list[Any]:
    if part.dialect == "messages":
        return [] if part.raw is None else [server_call_block(part)]
    if (told := foreign_search(part, mint)) is None:
        return []
    use_id, found = told
    return [use_block(use_id, {"query": found.queries[0]}), result_block(use_id, found)]


def _texts(part: Text) -> list[dict[str, Any]]:
    """The text in one block, or in several where citations cover stretches of it: here they cover whole blocks."""
    if not part.citations:
        return [{"type": "text", "text": part.text}]
    length = len(part.text)
    spans = [(*_span(citation, length), citation) for citation in part.citations]
    cuts = sorted({0, length, *(at for start, end, _ in spans for at in (start, end))})
    blocks: list[dict[str, Any]] = []
    for begin, stop in pairwise(cuts):
        block: dict[str, Any] = {"type": "text", "text": part.text[begin:stop]}
        if cited := [citation_block(citation) for start, end, citation in spans if start <= begin and stop <= end]:
            block["citations"] = cited
        blocks.append(block)
    return blocks


def _span(citation: Citation, length: int) -> tuple[int, int]:
    """What it covers of a text; all of it where its offsets make no sense."""
    start, end = citation.start or 0, length if citation.end is None else min(citation.end, length)
    return (start, end) if 0 <= start < end else (0, length)


def citation_block(citation: Citation) -> Any:
    """The citation as it came from this API, or one of a web page."""
    if citation.dialect == "messages" and citation.raw is not None:
        return citation.raw
    return {
        "type": "web_search_result_location",
        "url": citation.url or "",
        "title": citation.title,
        "cited_text": citation.cited_text or "",
        "encrypted_index": PLACEHOLDER,
    }


def _thought(part: Reasoning) -> dict[str, Any]:
    own = signature_of(part.carriers, redacted=part.redacted)
    if part.redacted:
        return {"type": "redacted_thinking", "data": own}
    return {"type": "thinking", "thinking": part.text or "\n\n".join(part.summary), "signature": own}


def signature_of(carriers: tuple[Carrier, ...], *, redacted: bool = False) -> str:
    """The signature (or redacted data) as Anthropic made it, else one of ours around what another provider made."""
    kind = "anthropic.redacted" if redacted else "anthropic.signature"
    return next((carrier.data for carrier in carriers if carrier.kind == kind and carrier.data), None) or seal(carriers)


def _call(part: ToolCall, mint: Callable[[str], str]) -> dict[str, Any]:
    given: Any = {"input": part.arguments} if part.kind == "text" else object_text(part.arguments)
    wire_id = call_id(part.id) if part.id else mint("toolu_")
    return {"type": "tool_use", "id": wire_id, "name": flat_name(part.name, part.namespace), "input": given}
