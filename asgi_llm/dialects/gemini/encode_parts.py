"""Neutral parts -> parts as the wire has them, for requests and answers alike.

Base64 is moved as text. Spec: Gemini API, "Part".
"""

from typing import Any

from msgspec import Raw

from asgi_llm.dialects.interface import Profile
from asgi_llm.neutral.request import Audio, Document, FileId, Image, Inline, Media, Source, Url, Video

from .parts import is_video_site
from .raws import object_text
from .spelling import standard_base64

__all__ = ["arguments_of", "blob", "file_data", "media_part", "must_inline"]

_KINDS = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "heic": "image/heic",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "csv": "text/csv",
    "html": "text/html",
    "mp3": "audio/mp3",
    "wav": "audio/wav",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
    "mp4": "video/mp4",
    "webm": "video/webm",
    "mov": "video/quicktime",
}


def media_part(part: Media) -> dict[str, Any] | None:
    """Bytes or an address as a part; None where the source is neither, or a file of another provider's."""
    source = part.source
    if isinstance(source, Inline):
        return {"inlineData": blob(source, part)}
    file = file_data(source, part)
    return None if file is None else {"fileData": file}


def blob(source: Inline, part: Media) -> dict[str, Any]:
    kind = source.media_type.partition(";")[0].strip().lower()
    if kind == "image/jpg":  # a common slip of the pen that the API does not know
        kind = "image/jpeg"
    data: dict[str, Any] = {"mimeType": kind, "data": standard_base64(source.data)}
    if not kind or kind == "application/octet-stream":
        data["mimeType"] = _guessed(part, "") or _DEFAULTS[type(part)]
    if isinstance(part, Document) and (name := part.filename or part.title):
        data["displayName"] = name
    return data


_DEFAULTS: dict[type, str] = {
    Image: "image/jpeg",
    Document: "application/pdf",
    Audio: "audio/wav",
    Video: "video/mp4",
}


def file_data(source: Source, part: Media) -> dict[str, Any] | None:
    match source:
        case Url() if source.url.startswith(("https://", "http://", "gs://")):
            kind = source.media_type or _guessed(part, source.url)
            if kind is None and isinstance(part, Image):
                kind = _DEFAULTS[Image]
            return {"fileUri": source.url} | ({"mimeType": kind} if kind and not kind.endswith("/*") else {})
        case FileId() if source.dialect == "gemini":
            return {"fileUri": source.id} | ({"mimeType": kind} if (kind := _guessed(part, source.id)) else {})
        case _:
            return None


def must_inline(part: Media, _profile: Profile) -> bool:
    """Whether the upstream wants the content of what is given by URL: it fetches films of a certain site only."""
    return not (isinstance(part.source, Url) and is_video_site(part.source.url))


def _guessed(part: Media, address: str) -> str | None:
    """The media type by format, file name or address."""
    if isinstance(part, Audio) and part.format:
        return f"audio/{part.format}"
    name = part.filename if isinstance(part, Document) and part.filename else address.partition("?")[0]
    return _KINDS.get(name.rpartition(".")[2].lower())


def arguments_of(text: str, kind: str) -> Raw | dict[str, str] | None:
    """The arguments of a call as an object; free text goes into the one argument its tool's stand-in has. None: they
    are not an object."""
    return {"input": text} if kind == "text" else object_text(text)
