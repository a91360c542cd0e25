"""Neutral parts -> content blocks of a request.

Base64 is moved as text; only its first bytes are looked at, because the API refuses an image whose label is wrong.
"""

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from asgi_llm.dialects.interface import Profile, Report
from asgi_llm.neutral.request import (
    Audio,
    Blocks,
    CacheMark,
    Compaction,
    Document,
    FileId,
    Image,
    Inline,
    Media,
    Opaque,
    Part,
    PlainText,
    Reasoning,
    Refusal,
    ServerCall,
    ServerResult,
    Source,
    Text,
    ToolCall,
    ToolResult,
    Url,
    Video,
)

from .raws import NULL
from .schemas import object_text
from .search import PLACEHOLDER, is_foreign_id
from .signatures import is_ours

__all__ = [
    "Block",
    "assistant_block",
    "cache_control",
    "call_block",
    "must_inline",
    "result_block",
    "server_call_block",
    "text_block",
    "user_block",
]

Block = dict[str, Any] | Raw
"""A content block: built here, or raw as it once came from this very API."""


def text_block(text: str, cache: CacheMark | None = None) -> dict[str, Any] | None:
    """A text block; None for text that is empty or white space only, which the API refuses."""
    if not text or text.isspace():
        return None
    if cache is None:
        return {"type": "text", "text": text}
    return {"type": "text", "text": text, "cache_control": cache_control(cache)}


def user_block(part: Part, report: Report) -> Block | None:
    """A part of a user's turn (or of a tool result) as a block. None: nothing to send.

    Raises:
        TranslationError: the API has no such content.
    """
    match part:
        case Text():
            return text_block(part.text, part.cache)
        case Image():
            return _image(part, report)
        case Document():
            return _document(part, report)
        case Audio():
            report.lose("audio")
        case Video():
            report.lose("video")
        case Compaction() if part.carrier is not None and not part.text:
            report.lose("compaction")
        case Refusal() | Compaction():
            return text_block(part.text)
        case Opaque() | ServerCall() | ServerResult() if part.dialect == "messages" and part.raw is not None:
            return part.raw
        case Opaque() if part.text:
            return text_block(part.text)
        case Opaque():
            report.lose("content")
        case ServerResult():
            report.lose("server_tool_history")
            return text_block(part.text)
        case Reasoning() | ServerCall() | ToolCall() | ToolResult():
            report.lose("history_content")
    return None


def assistant_block(part: Part, report: Report) -> Block | None:
    """A part of an assistant's turn, tool calls excepted, as a block. None: nothing to send."""
    match part:
        case Text():
            return _cited(part) if part.citations else text_block(part.text, part.cache)
        case Reasoning():
            return _thought(part)
        case Compaction() if part.carrier is not None and not part.text:
            report.lose("compaction")
        case Refusal() | Compaction():
            return text_block(part.text)
        case ServerCall() if is_foreign_id(part.id):
            return None  # told by what it found
        case ServerResult() if part.dialect != "messages" or part.raw is None or is_foreign_id(part.call_id):
            report.lose("server_tool_history")
            return text_block(part.text)
        case ServerCall() if part.dialect == "messages" and part.raw is not None:
            return server_call_block(part)
        case ServerResult():
            return part.raw
        case Opaque() if part.dialect == "messages":
            return part.raw
        case Image() | Document() | Audio() | Video():
            report.lose("assistant_media")
            return text_block(f"[{type(part).__name__.lower()}]")
        case ServerCall() | Opaque() | ToolCall() | ToolResult():
            report.lose("history_content")
    return None


def call_block(call: ToolCall, wire_id: str, name: str, report: Report) -> dict[str, Any]:
    """A tool call; free text of a custom tool goes into the one argument its stand-in has."""
    given: Raw | dict[str, str] = {"input": call.arguments} if call.kind == "text" else object_text(call.arguments)
    if isinstance(given, Raw) and bytes(given)[:8] == _WRAPPED and call.arguments.lstrip()[:8] != _WRAPPED.decode():
        report.lose("tool_arguments")
    block = {"type": "tool_use", "id": wire_id, "name": name, "input": given}
    return _marked(block, call.cache)


_WRAPPED = b'{"_raw":'


class _Input(Struct):
    input: Raw = NULL


def server_call_block(call: ServerCall) -> Raw:
    """The call of a provider-run tool as it came. From a stream it came without its input, which is put back."""
    raw = call.raw or NULL
    came = bytes(msgspec.json.decode(raw, type=_Input).input)
    if call.arguments.strip() in ("", "{}") or came.strip(b"{} \t\r\n") not in (b"", b"null"):
        return raw
    block = msgspec.json.decode(raw, type=dict[str, Raw])
    return Raw(msgspec.json.encode({**block, "input": object_text(call.arguments)}))


def result_block(result: ToolResult, wire_id: str, report: Report) -> dict[str, Any]:
    """What a tool answered. Errors must not be empty."""
    block: dict[str, Any] = {"type": "tool_result", "tool_use_id": wire_id}
    content = _result_content(result.parts, report)
    if not content and result.is_error:
        content = "Error"
    if content:
        block["content"] = content
    if result.is_error is not None:
        block["is_error"] = result.is_error
    return _marked(block, result.cache)


def _result_content(parts: Sequence[Part], report: Report) -> str | list[Block]:
    if len(parts) == 1 and isinstance(parts[0], Text) and parts[0].cache is None:
        return parts[0].text
    blocks = (user_block(part, report) for part in parts)
    return [block for block in blocks if block is not None]


def _marked(block: dict[str, Any], cache: CacheMark | None) -> dict[str, Any]:
    if cache is not None:
        block["cache_control"] = cache_control(cache)
    return block


def cache_control(cache: CacheMark) -> dict[str, str]:
    """The mark as the API spells it: five minutes unless an hour or more was wished."""
    return {"type": "ephemeral", "ttl": "1h"} if cache.ttl in ("1h", "12h", "24h") else {"type": "ephemeral"}


def _cited(part: Text) -> dict[str, Any] | None:
    # Citations are validated, so only those this API made itself are sent back.
    block = text_block(part.text, part.cache)
    own = [
        citation.raw
        for citation in part.citations
        if citation.dialect == "messages" and citation.raw is not None and _MARK not in bytes(citation.raw)
    ]
    if block is not None and own:
        block["citations"] = own
    return block


_MARK = PLACEHOLDER.encode()


def _thought(part: Reasoning) -> dict[str, Any] | None:
    """Signed thoughts only: the API refuses a thought whose signature it did not make."""
    for carrier in part.carriers:
        if is_ours(carrier.data) or not carrier.data:
            continue
        if carrier.kind == "anthropic.redacted":
            return {"type": "redacted_thinking", "data": carrier.data}
        if carrier.kind == "anthropic.signature":
            text = part.text or "\n\n".join(part.summary)
            return {"type": "thinking", "thinking": text, "signature": carrier.data}
    return None


_MAGIC = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
)
_IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})


def _image(part: Image, report: Report) -> dict[str, Any] | None:
    if part.detail is not None:
        report.lose("image.detail")
    source = part.source
    if not isinstance(source, Inline):
        return _media("image", "image", source, part.cache, report)
    kind = sniff(source.data) or _ALIASES.get(source.media_type.lower(), source.media_type.lower())
    if kind == "application/pdf":
        return _document(Document(Inline(kind, source.data), cache=part.cache), report)
    if kind not in _IMAGES:
        report.lose("image")
    return _marked({"type": "image", "source": _base64(kind, source.data)}, part.cache)


_ALIASES = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg"}


def sniff(data: str) -> str | None:
    """The media type that the first bytes of base64 text show, or None."""
    try:
        head = b64decode(data[:24], validate=False)
    except (Base64Error, ValueError):
        return None
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)


def _base64(media_type: str, data: str) -> dict[str, str]:
    return {"type": "base64", "media_type": media_type, "data": data}


def _media(kind: str, loss: str, source: Source, cache: CacheMark | None, report: Report) -> dict[str, Any] | None:
    """A block whose source is an address or a file."""
    match source:
        case Url() if source.url.startswith(("https://", "http://")):
            return _marked({"type": kind, "source": {"type": "url", "url": source.url}}, cache)
        case FileId() if source.dialect == "messages":
            return _marked({"type": kind, "source": {"type": "file", "file_id": source.id}}, cache)
        case FileId():
            report.lose("file_id")
        case _:
            report.lose(loss)
    return None


def must_inline(part: Media, profile: Profile) -> bool:
    """Whether the upstream wants the content of what is given by URL."""
    return isinstance(part, Image | Document) and not profile.image_urls


def _document(part: Document, report: Report) -> dict[str, Any] | None:
    block = _document_block(part, report)
    if block is None or block["type"] != "document":
        return block
    if title := part.title or part.filename:
        block["title"] = title
    if part.context:
        block["context"] = part.context
    if part.cite is not None:
        block["citations"] = {"enabled": part.cite}
    return block


def _document_block(part: Document, report: Report) -> dict[str, Any] | None:
    source = part.source
    wire: dict[str, Any]
    match source:
        case Inline() if source.media_type == "application/pdf" or sniff(source.data) == "application/pdf":
            wire = _base64("application/pdf", source.data)
        case Inline() if source.media_type.startswith("image/"):
            return _image(Image(source, cache=part.cache), report)
        case Inline():
            wire = {"type": "text", "media_type": "text/plain", "data": _decoded(source, report)}
        case PlainText():
            wire = {"type": "text", "media_type": "text/plain", "data": source.text}
        case Blocks():
            inner = (user_block(inner, report) for inner in source.parts)
            wire = {"type": "content", "content": [block for block in inner if block is not None]}
        case _:
            return _media("document", "document", source, part.cache, report)
    return _marked({"type": "document", "source": wire}, part.cache)


_TEXT_TYPES = frozenset({"application/json", "application/xml", "application/javascript", "application/x-yaml"})


def _decoded(source: Inline, report: Report) -> str:
    """The text of an inline text document, which this API wants as text."""
    kind = source.media_type.partition(";")[0].strip().lower()
    if kind.startswith("text/") or kind in _TEXT_TYPES:
        try:
            return b64decode(source.data + "=" * (-len(source.data) % 4)).decode("utf-8-sig")
        except (Base64Error, ValueError):
            pass
    report.lose("document")
    return ""
