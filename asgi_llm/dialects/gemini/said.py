"""Neutral parts of a conversation -> parts of a request's contents.

Spec: Gemini API, "Part", "FunctionResponse".
"""

from collections.abc import Iterable
from typing import Any

from msgspec import Raw

from asgi_llm.dialects.interface import Report
from asgi_llm.neutral.request import (
    Audio,
    Blocks,
    Carrier,
    Compaction,
    DialectName,
    Document,
    FileId,
    Image,
    Inline,
    Opaque,
    Part,
    PlainText,
    Reasoning,
    Refusal,
    ServerCall,
    ServerResult,
    Text,
    ToolCall,
    ToolResult,
    Url,
    Video,
)

from .encode_parts import arguments_of, media_part
from .models import Capabilities
from .raws import object_text
from .signatures import google_signature

__all__ = ["assistant_part", "call_of", "result_of", "user_parts"]

_Media = Image | Document | Audio | Video


def user_parts(part: Part, report: Report) -> list[Any]:
    """A part of a user's turn. Empty: nothing to send.

    Raises:
        TranslationError: the API has no such content.
    """
    match part:
        case Compaction() if part.carrier is not None and not part.text:
            report.lose("compaction")
        case Text() | Refusal() | Compaction():
            if isinstance(part, Text) and part.cache is not None:
                report.lose("cache")
            return [{"text": part.text}] if part.text else []
        case Image() | Audio() | Video():
            return [_media(part, report)]
        case Document():
            return _document(part, report)
        case Opaque() | ServerCall() | ServerResult() if part.dialect == "gemini" and part.raw is not None:
            return [part.raw]
        case Opaque() if part.text:
            return [{"text": part.text}]
        case Opaque():
            report.lose("content")
        case ServerResult():
            report.lose("server_tool_history")
            return [{"text": part.text}] if part.text else []
        case Reasoning() | ServerCall() | ToolCall() | ToolResult():
            report.lose("history_content")
    return []


def assistant_part(part: Part, carriers: Iterable[Carrier], dialect: DialectName, report: Report) -> Any:
    """A part of the model's turn, tool calls excepted; None: nothing to send. ``carriers`` may hold its signature."""
    match part:
        case Compaction() if part.carrier is not None and not part.text:
            report.lose("compaction")
        case Text() | Refusal() | Compaction():
            signature = google_signature(carriers)
            if not part.text and signature is None:
                return None
            return {"text": part.text} | ({} if signature is None else {"thoughtSignature": signature})
        case Reasoning():
            return _thought(part, dialect, report)
        case Image() | Document() | Audio() | Video():
            return media_part(part) or {"text": f"[{type(part).__name__.lower()}]"}
        case ServerCall() | ServerResult() | Opaque() if part.dialect == "gemini" and part.raw is not None:
            return part.raw
        case ServerResult() if part.text:
            report.lose("server_tool_history")
            return {"text": part.text}
        case ServerCall() | ServerResult() | Opaque() | ToolCall() | ToolResult():
            report.lose("history_content")
    return None


def _thought(part: Reasoning, dialect: DialectName, report: Report) -> dict[str, Any] | None:
    """A thought that this API made: signed by it, or returned by one of its own clients."""
    signature = google_signature(part.carriers)
    text = part.text or "\n\n".join(part.summary)
    if signature is None and (dialect != "gemini" or part.carriers or not text):
        report.lose("reasoning_history")
        return None
    thought: dict[str, Any] = {"text": text, "thought": True}
    return thought if signature is None else {**thought, "thoughtSignature": signature}


def call_of(call: ToolCall, name: str, wire_id: str, signature: str | None, report: Report) -> dict[str, Any]:
    """A tool call. Its arguments must be an object; what the model wrote else stays readable inside one."""
    args: Raw | dict[str, str] | None = arguments_of(call.arguments, call.kind)
    if args is None:
        report.lose("tool_arguments")
        args = {"_raw": call.arguments.encode("utf-8", "replace").decode()}
    wire: dict[str, Any] = {"id": wire_id} if wire_id else {}
    part: dict[str, Any] = {"functionCall": {**wire, "name": name, "args": args}}
    return part if signature is None else {**part, "thoughtSignature": signature}


def result_of(
    result: ToolResult, name: str, wire_id: str, model: Capabilities, report: Report
) -> tuple[dict[str, Any], list[Any]]:
    """What a tool answered, and the media that must be sent behind it."""
    texts: list[str] = []
    media: list[Any] = []
    for part in result.parts:
        for written in user_parts(part, report):
            if isinstance(written, dict) and "text" in written:
                texts.append(written["text"])
            else:
                media.append(written)
    wire: dict[str, Any] = {"id": wire_id} if wire_id else {}
    wire |= {"name": name, "response": _response("\n".join(texts), is_error=bool(result.is_error))}
    if not media:
        return {"functionResponse": wire}, []
    if model.result_media and all(isinstance(part, dict) for part in media):
        wire["parts"] = [{key: part[key] for key in ("inlineData", "fileData") if key in part} for part in media]
        return {"functionResponse": wire}, []
    report.lose("tool_result_media")
    return {"functionResponse": wire}, [{"text": f"[media of the tool result {wire_id or name}]"}, *media]


def _response(text: str, *, is_error: bool) -> Raw | dict[str, str]:
    """The answer as the object that the API wants: itself where it is one."""
    if is_error:
        return {"error": text or "Error"}
    if text.lstrip()[:1] == "{" and (found := object_text(text)) is not None:
        return found
    return {"output": text}


def _media(part: _Media, report: Report) -> dict[str, Any]:
    written = media_part(part)
    if written is None:
        report.lose("file_id" if isinstance(part.source, FileId) else "media")
        return {}
    if isinstance(part, Image) and part.detail in _RESOLUTIONS:
        written["mediaResolution"] = {"level": f"MEDIA_RESOLUTION_{_RESOLUTIONS[part.detail]}"}
    return written


_RESOLUTIONS = {"low": "LOW", "high": "HIGH", "original": "ULTRA_HIGH"}


def _document(part: Document, report: Report) -> list[Any]:
    written_out = isinstance(part.source, PlainText | Blocks)
    if part.cite is not None or (part.context and not written_out):
        report.lose("document_flags")
    head = "\n\n".join(text for text in (part.title or part.filename, part.context) if text)
    match part.source:
        case PlainText(text=text):
            return [{"text": f"{head}\n\n{text}" if head else text}] if text or head else []
        case Blocks(parts=parts):
            written: list[Any] = [{"text": head}] if head else []
            return written + [entry for inner in parts for entry in user_parts(inner, report)]
        case Inline() | Url() | FileId():
            return [_media(part, report)]
