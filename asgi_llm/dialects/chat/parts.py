"""Neutral parts -> the content parts of a chat message."""

import binascii
from base64 import b64decode
from collections.abc import Iterable
from typing import Any

from asgi_llm.dialects.interface import Profile, Report
from asgi_llm.dialects.media import filename_of
from asgi_llm.errors import TranslationError
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
    Refusal,
    ServerCall,
    ServerResult,
    Text,
    ToolResult,
    Url,
    Video,
)

__all__ = ["PartWriter", "document_text", "must_inline"]

_FORMATS = {"x-wav": "wav", "wave": "wav", "vnd.wave": "wav", "mpeg": "mp3", "mpeg3": "mp3", "x-mp3": "mp3"}
_OPENAI = ("chat", "responses")
"""The dialects whose file ids are of one and the same store."""


class PartWriter:
    """Writes the parts of one request for one upstream."""

    __slots__ = ("_profile", "_report")

    def __init__(self, profile: Profile, report: Report) -> None:
        self._profile = profile
        self._report = report

    def content(self, parts: Iterable[Part], where: str) -> str | list[Any]:
        """The ``content`` of a user message: a string for a single plain text, else a list."""
        written = [item for part in parts for item in self.part(part, where)]
        if len(written) == 1 and isinstance(alone := written[0], dict) and alone.keys() == {"type", "text"}:
            text: str = alone["text"]
            return text
        return written or ""

    def part(self, part: Part, where: str) -> list[Any]:
        """The content parts for one part.

        Raises:
            TranslationError: chat has no counterpart.
        """
        match part:
            case Text():
                return [self._text(part.text, part.cache)]
            case Image():
                return [self._image(part, where)]
            case Document():
                return self._document(part, where)
            case Audio():
                return [self._audio(part, where)]
            case Refusal():
                return [self._text(part.text)]
            case Video():
                self._report.lose("video", where)
            case Compaction():
                if part.text:
                    return [self._text(part.text)]
                self._report.lose("compaction", where)
            case ServerCall() | ServerResult():
                self._report.lose("server_tool_history")
            case Opaque():
                return self._opaque(part, where)
            case ToolResult():
                return []
            case _:
                self._report.lose("opaque_content", where)
        return []

    def _text(self, text: str, cache: CacheMark | None = None) -> dict[str, Any]:
        written: dict[str, Any] = {"type": "text", "text": text}
        if cache is not None:
            if self._profile.cache_marks:
                control = {"type": "ephemeral"}
                if cache.ttl is not None:
                    control["ttl"] = cache.ttl
                written["cache_control"] = control
            else:
                self._report.lose("cache_control")
        return written

    def _image(self, image: Image, where: str) -> dict[str, Any]:
        match image.source:
            case Inline(media_type=media_type, data=data):
                url = f"data:{media_type};base64,{data}"
            case Url(url=url):
                if not self._profile.image_urls:
                    self._report.lose("image_url", where)
            case _:
                self._report.lose("image_file_id", where)
                url = ""
        written = {"url": url}
        if image.detail is not None:
            written["detail"] = image.detail
        return {"type": "image_url", "image_url": written}

    def _document(self, document: Document, where: str) -> list[Any]:
        if document.cite:
            self._report.lose("citations")
        match document.source:
            case PlainText() | Blocks() if (text := document_text(document)) is not None:
                return [self._text(text, document.cache)]
            case Inline() as inline if inline.media_type.startswith("text/"):
                return [self._text(_titled(document, _decoded(inline, where)), document.cache)]
            case Inline(media_type=media_type, data=data):
                return self._file(document, f"data:{media_type};base64,{data}", where)
            case FileId(dialect=dialect, id=file_id) if dialect in _OPENAI and self._profile.openai_extras:
                return [{"type": "file", "file": {"file_id": file_id}}]
            case FileId():
                self._report.lose("file_id", where)
            case Url(url=url):
                if self._profile.documents == "file":
                    self._report.lose("document_url", where)
                return self._file(document, url, where)
            case Blocks(parts=parts):
                heading = [self._text(_titled(document))] if document.title else []
                return [*heading, *(item for part in parts for item in self.part(part, where))]
        return []

    def _file(self, document: Document, url: str, where: str) -> list[Any]:
        if self._profile.documents is None:
            self._report.lose("document", where)
        if self._profile.documents == "document_url":
            return [{"type": "document_url", "document_url": url, "document_name": _filename(document)}]
        return [{"type": "file", "file": {"filename": _filename(document), "file_data": url}}]

    def _audio(self, audio: Audio, where: str) -> dict[str, Any]:
        if not isinstance(audio.source, Inline):
            self._report.lose("audio_url", where)
            return {}
        subtype = audio.source.media_type.partition("/")[2].lower()
        chosen = audio.format or _FORMATS.get(subtype, subtype)
        return {"type": "input_audio", "input_audio": {"data": audio.source.data, "format": chosen}}

    def _opaque(self, part: Opaque, where: str) -> list[Any]:
        if part.dialect == "chat":
            return [part.raw]
        if not part.text:
            self._report.lose("opaque_content", where)
            return []
        return [self._text(part.text)]


def must_inline(part: Media, profile: Profile) -> bool:
    """Whether the upstream wants the content of what is given by URL."""
    match part:
        case Image():
            return not profile.image_urls
        case Document():
            return profile.documents in ("file", None)
        case Audio():
            return True
        case Video():
            return False


def _filename(document: Document) -> str:
    kind = document.source.media_type if isinstance(document.source, Inline) else ""
    return document.filename or document.title or filename_of(kind)


def document_text(document: Document) -> str | None:
    """A document that is nothing but text (a search result, for one), with its title and where it comes from."""
    match document.source:
        case PlainText(text=text):
            return _titled(document, text)
        case Blocks(parts=parts):
            texts = [part.text for part in parts if isinstance(part, Text)]
            return _titled(document, *texts) if len(texts) == len(parts) else None
    return None


def _titled(document: Document, *texts: str) -> str:
    heading = [line for line in (document.title or document.filename, document.context) if line]
    return "\n".join([*heading, *texts])


def _decoded(inline: Inline, where: str) -> str:
    try:
        return b64decode(inline.data).decode()
    except (binascii.Error, ValueError):
        raise TranslationError("The text document is not valid base64 of UTF-8 text.", param=where) from None
