"""What a turn is made of: text, media, thoughts, calls of tools and their results.

* Base64 is moved as text. JSON that is not ours to understand stays raw bytes.
* Arguments of a tool call are text and stay text; nobody parses them to move them.
* What one provider alone can read (signatures, encrypted reasoning) travels as a ``Carrier`` with its maker's name.
* A block nobody knows becomes ``Opaque`` and is written again only to the dialect it came from.

Other rooms import these names from ``request``.
"""

from typing import Literal

from msgspec import Raw, Struct

__all__ = [
    "Audio",
    "Blocks",
    "CacheMark",
    "Carrier",
    "Citation",
    "Compaction",
    "DialectName",
    "Document",
    "FileId",
    "Image",
    "Inline",
    "Media",
    "Opaque",
    "Part",
    "PlainText",
    "Reasoning",
    "Refusal",
    "ServerCall",
    "ServerResult",
    "Source",
    "Text",
    "ToolCall",
    "ToolResult",
    "Url",
    "Video",
]

DialectName = Literal["chat", "responses", "messages", "gemini"]


class CacheMark(Struct, frozen=True, omit_defaults=True):
    """ "Cache the prompt up to here". ``ttl`` is the caller's word for how long (``5m``, ``1h``) or None."""

    ttl: str | None = None


class Carrier(Struct, frozen=True, omit_defaults=True):
    """Something only its maker can read and that must come back to it unchanged.

    ``data`` is the blob exactly as received. ``provider`` and ``model`` say who made it where that is known.
    """

    kind: Literal[
        "anthropic.signature",
        "anthropic.redacted",
        "openai.encrypted",
        "google.thought_signature",
        "openrouter.detail",
        "text.replay",
    ]
    data: str
    provider: str | None = None
    model: str | None = None
    item_id: str | None = None


class Inline(Struct, frozen=True, tag="inline", omit_defaults=True):
    """Bytes inside the request. ``data`` is standard base64 text, never decoded on the way."""

    media_type: str
    data: str


class Url(Struct, frozen=True, tag="url", omit_defaults=True):
    """Media the upstream is to fetch itself."""

    url: str
    media_type: str | None = None


class FileId(Struct, frozen=True, tag="file_id", omit_defaults=True):
    """A file stored at a provider. Ids never cross providers; ``dialect`` says whose it is."""

    dialect: DialectName
    id: str


class PlainText(Struct, frozen=True, tag="plain_text", omit_defaults=True):
    """A text document's text, as it is (no base64)."""

    text: str
    media_type: str = "text/plain"


class Blocks(Struct, frozen=True, tag="blocks", omit_defaults=True):
    """A document made of parts."""

    parts: tuple["Part", ...]


Source = Inline | Url | FileId | PlainText | Blocks


class Citation(Struct, frozen=True, omit_defaults=True):
    """Where a stretch of text comes from.

    ``start`` and ``end`` are code point offsets into the text of the part that carries the citation, or None when
    it covers the whole part. ``raw`` is the citation as its dialect wrote it.
    """

    dialect: DialectName
    url: str | None = None
    title: str | None = None
    cited_text: str | None = None
    start: int | None = None
    end: int | None = None
    raw: Raw | None = None


class Text(Struct, frozen=True, tag="text", omit_defaults=True):
    """``carriers`` is the proof of the thoughts behind the text, where its maker puts it here (Gemini does)."""

    text: str
    citations: tuple[Citation, ...] = ()
    cache: CacheMark | None = None
    carriers: tuple[Carrier, ...] = ()


class Image(Struct, frozen=True, tag="image", omit_defaults=True):
    """``detail`` is the caller's wish for resolution: auto, low, high, original."""

    source: Source
    detail: str | None = None
    cache: CacheMark | None = None


class Document(Struct, frozen=True, tag="document", omit_defaults=True):
    """A PDF or text. ``cite`` asks the model for citations into it (three-valued)."""

    source: Source
    filename: str | None = None
    title: str | None = None
    context: str | None = None
    cite: bool | None = None
    cache: CacheMark | None = None


class Audio(Struct, frozen=True, tag="audio", omit_defaults=True):
    """Of an answer, ``transcript`` is what is said, and ``id`` what its provider knows it by in later turns."""

    source: Source
    format: str | None = None
    cache: CacheMark | None = None
    transcript: str = ""
    id: str | None = None


class Video(Struct, frozen=True, tag="video", omit_defaults=True):
    source: Source
    cache: CacheMark | None = None


class Refusal(Struct, frozen=True, tag="refusal", omit_defaults=True):
    """The model declined, in its own words."""

    text: str


class Reasoning(Struct, frozen=True, tag="reasoning", omit_defaults=True):
    """What the model thought, as far as it may be read, and the proof of it.

    ``text`` is raw thought, ``summary`` the parts of a summary written for people. ``redacted`` marks thought that
    exists only inside a carrier.
    """

    text: str = ""
    summary: tuple[str, ...] = ()
    carriers: tuple[Carrier, ...] = ()
    redacted: bool = False
    id: str | None = None


class ToolCall(Struct, frozen=True, tag="tool_call", omit_defaults=True):
    """The model wants a tool run by the caller.

    ``arguments`` is the JSON text as it came (``kind="json"``), or free text for a custom tool (``kind="text"``).
    ``typed`` names the caller-executed typed tool (``bash_20250124``, ``apply_patch``) where it is one.
    """

    id: str
    name: str
    arguments: str = ""
    kind: Literal["json", "text"] = "json"
    namespace: str | None = None
    typed: str | None = None
    carriers: tuple[Carrier, ...] = ()
    item_id: str | None = None
    cache: CacheMark | None = None


class ToolResult(Struct, frozen=True, tag="tool_result", omit_defaults=True):
    """What a tool answered. ``is_error`` is three-valued: most dialects cannot say it."""

    call_id: str
    parts: tuple["Part", ...] = ()
    name: str | None = None
    is_error: bool | None = None
    kind: Literal["json", "text"] = "json"
    cache: CacheMark | None = None


class ServerCall(Struct, frozen=True, tag="server_call", omit_defaults=True):
    """A tool the provider runs itself (web search, code, MCP). ``raw`` is the item as its dialect wrote it."""

    dialect: DialectName
    kind: str
    id: str | None = None
    name: str | None = None
    arguments: str = ""
    status: str | None = None
    raw: Raw | None = None


class ServerResult(Struct, frozen=True, tag="server_result", omit_defaults=True):
    """What a provider-run tool found."""

    dialect: DialectName
    kind: str
    call_id: str | None = None
    text: str = ""
    raw: Raw | None = None


class Compaction(Struct, frozen=True, tag="compaction", omit_defaults=True):
    """Earlier turns, folded into a summary that only its maker can read, or into readable text."""

    text: str = ""
    carrier: Carrier | None = None


class Opaque(Struct, frozen=True, tag="opaque", omit_defaults=True):
    """A block this version does not know, kept for the dialect it came from. ``kind`` is its type as written, ``text``
    what it says to others; empty where that cannot be put in words."""

    dialect: DialectName
    kind: str
    raw: Raw
    text: str = ""


Media = Image | Document | Audio | Video

Part = (
    Text
    | Image
    | Document
    | Audio
    | Video
    | Refusal
    | Reasoning
    | ToolCall
    | ToolResult
    | ServerCall
    | ServerResult
    | Compaction
    | Opaque
)
