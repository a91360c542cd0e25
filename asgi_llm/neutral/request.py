"""What is asked: instructions, turns of ordered parts, tools, and the knobs.

Rules of the model:

* Absent, null and default are three things. ``None`` (or an empty tuple) means that the caller said nothing.
* ``strict`` and other flags whose absence means something else than ``false`` are three-valued.
* Arguments of a tool call are text and stay text; nobody parses them to move them.
* Base64 is moved as text. JSON that is not ours to understand (schemas, tool configurations) stays raw bytes.
* What one provider alone can read (signatures, encrypted reasoning) travels as a ``Carrier`` with its maker's name.
* A block nobody knows becomes ``Opaque`` and is written again only to the dialect it came from.
"""

from typing import Literal

from msgspec import Raw, Struct

__all__ = [
    "Audio",
    "Blocks",
    "CacheHints",
    "CacheMark",
    "Carrier",
    "Citation",
    "Compaction",
    "CustomTool",
    "DialectName",
    "Document",
    "FileId",
    "FunctionTool",
    "HostedTool",
    "Image",
    "Inline",
    "Instruction",
    "Media",
    "Opaque",
    "OutputFormat",
    "Part",
    "PlainText",
    "Reasoning",
    "ReasoningConfig",
    "Refusal",
    "Request",
    "Role",
    "Sampling",
    "ServerCall",
    "ServerResult",
    "Source",
    "StateRef",
    "StreamOptions",
    "Text",
    "Tool",
    "ToolCall",
    "ToolChoice",
    "ToolResult",
    "Turn",
    "TypedTool",
    "Url",
    "Video",
]

DialectName = Literal["chat", "responses", "messages", "gemini"]
Role = Literal["user", "assistant", "system", "developer"]


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
    source: Source
    format: str | None = None
    cache: CacheMark | None = None


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


class Instruction(Struct, frozen=True, omit_defaults=True):
    """Leading text by whoever built the application. One per message or block that the caller sent."""

    parts: tuple[Text, ...]
    level: Literal["system", "developer"] = "system"


class Turn(Struct, frozen=True, omit_defaults=True):
    """One side speaks. Tool results are parts of a user turn; a system or developer turn is one in mid-conversation.

    ``phase`` (commentary, final_answer) and ``id`` come from Responses items and go back there unchanged.
    """

    role: Role
    parts: tuple[Part, ...]
    name: str | None = None
    phase: str | None = None
    id: str | None = None


class FunctionTool(Struct, frozen=True, tag="function", omit_defaults=True):
    """A tool with JSON arguments, run by the caller. ``schema`` is the JSON schema's bytes as they came.
    ``namespace_description`` is what the caller says of the whole namespace, on each of its members."""

    name: str
    description: str | None = None
    schema: Raw | None = None
    strict: bool | None = None
    namespace: str | None = None
    defer_loading: bool | None = None
    examples: Raw | None = None
    cache: CacheMark | None = None
    namespace_description: str | None = None


class CustomTool(Struct, frozen=True, tag="custom", omit_defaults=True):
    """A tool whose argument is free text, perhaps bound by a grammar (``syntax`` is lark or regex)."""

    name: str
    description: str | None = None
    syntax: str | None = None
    grammar: str | None = None
    namespace: str | None = None
    cache: CacheMark | None = None
    namespace_description: str | None = None


class HostedTool(Struct, frozen=True, tag="hosted", omit_defaults=True):
    """A tool the provider runs. ``kind`` is neutral (web_search, web_fetch, code, file_search, mcp, image, ...)
    where known, else the type as written; ``raw`` is the whole definition as its dialect wrote it."""

    dialect: DialectName
    kind: str
    name: str | None = None
    raw: Raw | None = None
    cache: CacheMark | None = None


class TypedTool(Struct, frozen=True, tag="typed", omit_defaults=True):
    """A tool the provider defines and the caller runs (bash, text editor, computer, apply_patch, shell)."""

    dialect: DialectName
    kind: str
    name: str
    raw: Raw | None = None
    cache: CacheMark | None = None


Tool = FunctionTool | CustomTool | HostedTool | TypedTool


class ToolChoice(Struct, frozen=True, omit_defaults=True):
    """Whether and which tools may be called. ``name`` goes with ``tool``, ``names`` with ``allowed``
    (then ``required`` says whether one of them must be called), ``hosted`` names a hosted tool's kind."""

    mode: Literal["auto", "none", "required", "tool", "allowed", "hosted"]
    name: str | None = None
    names: tuple[str, ...] = ()
    required: bool = False
    hosted: str | None = None


class Sampling(Struct, frozen=True, omit_defaults=True):
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: Raw | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None


class ReasoningConfig(Struct, frozen=True, omit_defaults=True):
    """``effort``: none, minimal, low, medium, high, xhigh, max. ``budget`` is tokens (-1: the model decides).
    ``adaptive`` leaves the amount to the model. ``visible`` asks for readable thoughts; ``summary`` is the wish's
    own word (auto, concise, detailed)."""

    effort: str | None = None
    budget: int | None = None
    adaptive: bool | None = None
    visible: bool | None = None
    summary: str | None = None
    raw: Raw | None = None


class OutputFormat(Struct, frozen=True, omit_defaults=True):
    kind: Literal["text", "json", "schema"] = "text"
    name: str | None = None
    description: str | None = None
    schema: Raw | None = None
    strict: bool | None = None


class CacheHints(Struct, frozen=True, omit_defaults=True):
    """Caching wishes for the request as a whole; marks on parts are on the parts."""

    auto: CacheMark | None = None
    key: str | None = None
    retention: str | None = None


class StateRef(Struct, frozen=True, omit_defaults=True):
    """State that the other side is asked to keep or to use."""

    previous_response_id: str | None = None
    conversation: str | None = None
    store: bool | None = None
    background: bool | None = None
    thread: Raw | None = None


class StreamOptions(Struct, frozen=True, omit_defaults=True):
    on: bool = False
    include_usage: bool | None = None


class Request(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One call of a model.

    ``max_output`` is tokens, reasoning included. ``end_user`` is the caller's id of its own user. ``ext`` keeps
    top-level fields that have no neutral meaning, per dialect, raw.
    """

    model: str
    dialect: DialectName
    instructions: tuple[Instruction, ...] = ()
    turns: tuple[Turn, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tools: bool | None = None
    sampling: Sampling = Sampling()
    max_output: int | None = None
    max_tool_calls: int | None = None
    stop: tuple[str, ...] = ()
    n: int | None = None
    reasoning: ReasoningConfig | None = None
    output: OutputFormat | None = None
    verbosity: str | None = None
    cache: CacheHints = CacheHints()
    modalities: tuple[str, ...] = ()
    service_tier: str | None = None
    end_user: str | None = None
    metadata: dict[str, str] | None = None
    state: StateRef = StateRef()
    stream: StreamOptions = StreamOptions()
    version: str | None = None
    betas: tuple[str, ...] = ()
    ext: dict[str, Raw] = {}
