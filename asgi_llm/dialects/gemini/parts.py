"""Parts as the wire has them -> neutral parts, for requests and answers alike.

Signatures stay on the part they came with. What the provider ran itself (code, searches) and parts of later versions
keep their raw bytes. Spec: Gemini API, "Part".
"""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from asgi_llm.neutral.request import (
    Audio,
    Document,
    FileId,
    Image,
    Inline,
    Opaque,
    Part,
    Reasoning,
    ServerCall,
    ServerResult,
    Source,
    Text,
    Url,
    Video,
)

from .raws import NULL, compact, given
from .signatures import carriers_of
from .spelling import standard_base64
from .wire import Blob, FileData, MediaPart, WirePart

__all__ = ["is_own_file", "is_plain", "is_video_site", "media_of", "plain_part", "raw_part"]


def is_plain(wire: WirePart) -> bool:
    """Whether the typed struct holds all there is to know; else the part's raw bytes are needed."""
    if wire.video_metadata is not None:
        return False
    return wire.text is not None or wire.inline_data is not None or wire.file_data is not None


def plain_part(wire: WirePart) -> Part:
    """A text, a thought or media."""
    if wire.text is not None:
        if wire.thought:
            return Reasoning(summary=(wire.text,) if wire.text else (), carriers=carriers_of(wire.thought_signature))
        return Text(wire.text, carriers=carriers_of(wire.thought_signature))
    return media_of(wire, _detail(wire.media_resolution))


def media_of(wire: WirePart | MediaPart, detail: str | None = None) -> Part:
    """Bytes or a file as the kind of media that its type says."""
    if wire.inline_data is not None:
        return _inline(wire.inline_data, detail)
    return _file(wire.file_data or FileData(), detail)


def _inline(blob: Blob, detail: str | None) -> Part:
    kind = (blob.mime_type or "application/octet-stream").lower()
    return _media(Inline(kind, standard_base64(blob.data)), kind, blob.display_name, detail)


_OWN_FILES = ("https://generativelanguage.googleapis.com/", "gs://", "files/")
_VIDEO_SITES = ("https://www.youtube.com/", "https://youtube.com/", "https://youtu.be/")
_EXTENSIONS = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "mp3": "audio/mp3",
    "wav": "audio/wav",
}


def _file(file: FileData, detail: str | None) -> Part:
    uri, kind = file.file_uri, (file.mime_type or "").lower()
    if not kind:
        named = _EXTENSIONS.get(uri.rpartition(".")[2].lower(), "")
        kind = "video/*" if uri.startswith(_VIDEO_SITES) else named
    source: Source = FileId("gemini", uri) if is_own_file(uri) else Url(uri, kind or None)
    return _media(source, kind, file.display_name, detail)


def is_own_file(uri: str) -> bool:
    """Whether it is stored at Google."""
    return uri.startswith(_OWN_FILES)


def is_video_site(uri: str) -> bool:
    """Whether the API plays it itself."""
    return uri.startswith(_VIDEO_SITES)


def _media(source: Source, kind: str, name: str | None, detail: str | None) -> Part:
    if kind.startswith("image/"):
        return Image(source, detail)
    if kind.startswith("audio/"):
        return Audio(source, kind.partition(";")[0].rpartition("/")[2].removeprefix("x-"))
    if kind.startswith("video/"):
        return Video(source)
    return Document(source, filename=name)


_DETAILS = {"MEDIA_RESOLUTION_LOW": "low", "MEDIA_RESOLUTION_HIGH": "high", "MEDIA_RESOLUTION_ULTRA_HIGH": "original"}


def _detail(resolution: Any) -> str | None:
    level = resolution.get("level") if isinstance(resolution, dict) else resolution
    return _DETAILS.get(level) if isinstance(level, str) else None


class _Code(Struct):
    id: Any = None
    language: Any = None
    code: Any = None
    output: Any = None


class _Run(Struct, rename="camel"):
    id: Any = None
    tool_type: Any = None
    args: Raw = NULL


class _Whole(Struct, rename="camel"):
    executable_code: _Code | None = None
    code_execution_result: _Code | None = None
    tool_call: _Run | None = None
    tool_response: _Run | None = None


_WHOLE = msgspec.json.Decoder(_Whole)
_MEMBERS: msgspec.json.Decoder[dict[str, Raw]] = msgspec.json.Decoder(dict[str, Raw])
_READ = frozenset({"text", "inlineData", "fileData", "functionCall", "functionResponse"})
"""What is understood elsewhere: kept as it came, it would hand on what could not be read."""
_FILES = frozenset({"inlineData", "fileData"})
_MODIFIERS = frozenset({"thought", "thoughtSignature", "videoMetadata", "mediaResolution", "partMetadata"})


def raw_part(raw: Raw) -> Part | None:
    """A part of which its raw bytes are kept; None for one that says nothing."""
    raw = Raw(bytes(raw))
    try:
        whole = _WHOLE.decode(raw)
    except msgspec.ValidationError:
        whole = _Whole()
    if (code := whole.executable_code) is not None:
        said = msgspec.json.encode({"language": _text(code.language), "code": _text(code.code)}).decode()
        return ServerCall("gemini", "code", _text(code.id), "code_execution", said, raw=raw)
    if (code := whole.code_execution_result) is not None:
        return ServerResult("gemini", "code", _text(code.id), _text(code.output) or "", raw)
    if (run := whole.tool_call) is not None:
        arguments = "" if given(run.args) is None else compact(run.args)
        return ServerCall("gemini", _kind(run), _text(run.id), _text(run.tool_type), arguments, raw=raw)
    if (run := whole.tool_response) is not None:
        return ServerResult("gemini", _kind(run), _text(run.id), raw=raw)
    members = [name for name, value in _MEMBERS.decode(raw).items() if given(value) is not None]
    kind = next((name for name in members if name not in _MODIFIERS), None)
    cut = kind in _FILES and "videoMetadata" in members
    return None if kind is None or (kind in _READ and not cut) else Opaque("gemini", kind, raw)


_RUN_KINDS = {"GOOGLE_SEARCH_WEB": "web_search", "URL_CONTEXT": "web_fetch", "FILE_SEARCH": "file_search"}


def _kind(run: _Run) -> str:
    kind = _text(run.tool_type) or "server_tool"
    return _RUN_KINDS.get(kind, kind.lower())


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
