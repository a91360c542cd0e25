"""Content blocks -> neutral parts.

Where a list holds anything but known blocks (server tools, MCP, blocks of a later version), each block is looked at by
itself, and what stays unknown is kept raw as ``Opaque``. Spec: Anthropic Messages API, content blocks and citations.
"""

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Raw, Struct

from asgi_llm.dialects.media import is_base64, is_link, is_media_type
from asgi_llm.neutral.request import (
    Blocks,
    Carrier,
    Citation,
    Compaction,
    Document,
    FileId,
    Image,
    Inline,
    Opaque,
    Part,
    PlainText,
    Reasoning,
    ServerCall,
    ServerResult,
    Source,
    Text,
    ToolCall,
    ToolResult,
    Url,
)

from .raws import NULL, given
from .signatures import envelope, is_ours
from .wire import (
    Base64Source,
    CacheControl,
    ContentSource,
    DocumentBlock,
    FileSource,
    ImageBlock,
    Known,
    RedactedBlock,
    SearchResultBlock,
    TextBlock,
    TextSource,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    UrlSource,
    cache_mark,
    fault,
    typed,
)

__all__ = ["citation", "known_parts", "parts_of", "parts_of_block", "server_kind"]

_KNOWN_TYPES = frozenset(
    {"text", "image", "document", "search_result", "thinking", "redacted_thinking", "tool_use", "tool_result"}
)


class _OpenToolResult(Struct):
    """A tool result that holds blocks outside the closed union."""

    tool_use_id: str
    content: Raw = NULL
    is_error: bool | None = None
    cache_control: CacheControl | None = None


class _Head(Struct):
    """What is read of a block outside the union."""

    type: str
    id: Any = None
    name: Any = None
    tool_use_id: Any = None
    server_name: Any = None
    tool_name: Any = None
    input: Raw = NULL
    content: Raw = NULL


class _CitationWire(Struct):
    url: Any = None
    source: Any = None
    title: Any = None
    document_title: Any = None
    cited_text: Any = None


class _Hit(Struct):
    title: Any = None
    url: Any = None
    text: Any = None


_LIST = msgspec.json.Decoder(list[Known])
_RAWS = msgspec.json.Decoder(list[Raw])
_ONE: msgspec.json.Decoder[Known] = msgspec.json.Decoder(Known)
_HEAD = msgspec.json.Decoder(_Head)
_OPEN_RESULT = msgspec.json.Decoder(_OpenToolResult)
_CITATION = msgspec.json.Decoder(_CitationWire)
_HITS = msgspec.json.Decoder(list[_Hit])
_STRING = msgspec.json.Decoder(str)


def parts_of(content: Raw, path: str) -> tuple[Part, ...]:
    """The parts of a message's ``content``: a string, or a list of blocks as raw JSON.

    Raises:
        ClientError: a block is not what its type says; the error names the field.
    """
    head = bytes(memoryview(content)[:1])
    if head == b'"':
        return (Text(typed(content, _STRING, path)),)
    try:
        return known_parts(_LIST.decode(content))
    except msgspec.ValidationError:
        return _each(content, path)


def known_parts(blocks: Iterable[Known]) -> tuple[Part, ...]:
    """The parts of blocks that are all of the union.

    Raises:
        msgspec.ValidationError: media in them is none; it names the place as msgspec does.
    """
    parts: list[Part | _Carried] = []
    plain = True
    try:
        for block in blocks:
            if type(block) is TextBlock and block.cache_control is None and not block.citations:
                parts.append(Text(block.text))
                continue
            part = part_of(block)
            if type(part) is _Carried:
                plain = False
            parts.append(part)
    except msgspec.ValidationError as error:
        raise _inside(f"[{len(parts)}]", error) from None
    return tuple(parts) if plain else join(parts)  # type: ignore[arg-type]  # plain: none of them is _Carried


def parts_of_block(raw: Raw, path: str) -> tuple[Part, ...]:
    """One block, which may be of any kind, as parts (one of our own signatures may yield none).

    Raises:
        ClientError: it is not what its type says.
    """
    return join([_any_part(raw, path)])


def _each(content: Raw, path: str) -> tuple[Part, ...]:
    blocks = typed(content, _RAWS, path)
    return join([_any_part(raw, f"{path}.{index}") for index, raw in enumerate(blocks)])


def _any_part(raw: Raw, path: str) -> "Part | _Carried":
    head: _Head = typed(raw, _HEAD, path)
    if head.type == "tool_result":
        return _open_result(raw, path)
    if head.type in _KNOWN_TYPES:
        block: Known = typed(raw, _ONE, path)
        try:
            return part_of(block)
        except msgspec.ValidationError as error:
            raise fault(path, error) from None
    return _server_part(head, raw)


def _open_result(raw: Raw, path: str) -> ToolResult:
    wire: _OpenToolResult = typed(raw, _OPEN_RESULT, path)
    content = given(wire.content)
    parts = () if content is None else parts_of(content, f"{path}.content")
    return ToolResult(wire.tool_use_id, parts, is_error=wire.is_error, cache=cache_mark(wire.cache_control))


class _Carried(Struct, frozen=True):
    """Not a part: carriers, kept in a thinking block, that belong to the tool call or the text beside it."""

    carriers: tuple[Carrier, ...]
    to: str


def join(parts: "Iterable[Part | _Carried]") -> tuple[Part, ...]:
    """The parts, with carriers put on the tool calls and texts they belong to."""
    joined: list[Part] = []
    waiting: tuple[Carrier, ...] = ()
    for part in parts:
        if isinstance(part, _Carried):
            if part.to == "next":
                waiting = part.carriers
            elif part.to == "text":
                _sign_text(joined, part.carriers)
            elif joined and isinstance(joined[-1], ToolCall):
                joined[-1] = msgspec.structs.replace(joined[-1], carriers=part.carriers)
            continue
        if waiting and isinstance(part, ToolCall):
            part, waiting = msgspec.structs.replace(part, carriers=waiting), ()
        joined.append(part)
    return tuple(joined)


def _sign_text(parts: list[Part], carriers: tuple[Carrier, ...]) -> None:
    """Put the carriers on the text they stand behind; where there is none, they came with an empty one."""
    if parts and isinstance(last := parts[-1], Text) and not last.carriers:
        parts[-1] = msgspec.structs.replace(last, carriers=carriers)
    elif carriers:
        parts.append(Text("", carriers=carriers))


def _inside(place: str, error: msgspec.ValidationError) -> msgspec.ValidationError:
    """The same complaint, seen from outside ``place``."""
    return msgspec.ValidationError(str(error).replace("`$", f"`${place}", 1))


def part_of(block: Known) -> "Part | _Carried":
    """A block of the union as a part. Raises as ``known_parts``."""
    match block:
        case TextBlock():
            citations = tuple(citation(raw) for raw in block.citations) if block.citations else ()
            return Text(block.text, citations, cache_mark(block.cache_control))
        case ToolUseBlock():
            arguments = "" if block.input == NULL else str(block.input, "utf-8")
            return ToolCall(block.id, block.name, arguments, cache=cache_mark(block.cache_control))
        case ToolResultBlock():
            content = block.content
            try:
                parts = (Text(content),) if isinstance(content, str) else known_parts(content or ())
            except msgspec.ValidationError as error:
                raise _inside(".content", error) from None
            return ToolResult(block.tool_use_id, parts, is_error=block.is_error, cache=cache_mark(block.cache_control))
        case ImageBlock():
            return Image(_source(block.source), cache=cache_mark(block.cache_control))
        case ThinkingBlock():
            return _thought(block.thinking, block.signature)
        case RedactedBlock():
            return _redacted(block.data)
        case DocumentBlock():
            cite = None if block.citations is None else block.citations.enabled
            return Document(
                _source(block.source),
                title=block.title,
                context=block.context,
                cite=cite,
                cache=cache_mark(block.cache_control),
            )
        case SearchResultBlock():
            return Document(
                Blocks(tuple(Text(text.text) for text in block.content)),
                title=block.title,
                context=f"Source: {block.source}",
                cite=None if block.citations is None else block.citations.enabled,
                cache=cache_mark(block.cache_control),
            )


def _source(source: Base64Source | UrlSource | FileSource | TextSource | ContentSource) -> Source:
    match source:
        case Base64Source():
            if not is_base64(source.data):
                raise msgspec.ValidationError("Input should be base64 - at `$.source.data`")
            if not is_media_type(source.media_type):
                raise msgspec.ValidationError("Input should be a media type - at `$.source.media_type`")
            return Inline(source.media_type, source.data)
        case UrlSource():
            if not is_link(source.url):
                raise msgspec.ValidationError("Input should be an http(s) URL - at `$.source.url`")
            return Url(source.url)
        case FileSource():
            return FileId("messages", source.file_id)
        case TextSource():
            return PlainText(source.data, source.media_type)
        case ContentSource():
            content = source.content
            try:
                return Blocks((Text(content),) if isinstance(content, str) else known_parts(content))
            except msgspec.ValidationError as error:
                raise _inside(".source.content", error) from None


def _thought(text: str, signature: str | None) -> "Part | _Carried":
    if not signature:
        return Reasoning(text)
    if not is_ours(signature):
        return Reasoning(text, carriers=(Carrier("anthropic.signature", signature, provider="anthropic"),))
    held = envelope(signature)
    if held.to != "thought":
        return _Carried(held.carriers, held.to)
    return Reasoning(text, carriers=held.carriers)


def _redacted(data: str) -> Reasoning:
    if is_ours(data):
        return Reasoning(carriers=envelope(data).carriers, redacted=True)
    return Reasoning(carriers=(Carrier("anthropic.redacted", data, provider="anthropic"),), redacted=True)


def citation(raw: Raw) -> Citation:
    """A citation, as far as it can be read. It covers the whole block that carries it."""
    try:
        wire = _CITATION.decode(raw)
    except msgspec.DecodeError:
        return Citation("messages", raw=raw)
    return Citation(
        "messages",
        url=_text(wire.url) or _text(wire.source),
        title=_text(wire.title) or _text(wire.document_title),
        cited_text=_text(wire.cited_text),
        raw=raw,
    )


_SERVER_KINDS = (
    ("web_search", "web_search"),
    ("web_fetch", "web_fetch"),
    ("bash_code_execution", "code"),
    ("text_editor_code_execution", "code"),
    ("code_execution", "code"),
    ("tool_search", "tool_search"),
    ("mcp", "mcp"),
)


def server_kind(name: str) -> str:
    """The neutral word for a provider-run tool, by its name or type; the name itself where there is none."""
    return next((kind for prefix, kind in _SERVER_KINDS if name.startswith(prefix)), name)


def _server_part(head: _Head, raw: Raw) -> Part:
    match head.type:
        case "server_tool_use" | "mcp_tool_use":
            name = _text(head.name)
            kind = "mcp" if head.type == "mcp_tool_use" else server_kind(name or "server_tool")
            arguments = "" if given(head.input) is None else bytes(head.input).decode()
            return ServerCall("messages", kind, id=_text(head.id), name=name, arguments=arguments, raw=raw)
        case kind if kind.endswith("_tool_result"):
            found = _found(head.content)
            return ServerResult("messages", server_kind(kind), call_id=_text(head.tool_use_id), text=found, raw=raw)
        case "compaction" if summary := _plain(head.content):
            return Compaction(summary)
        case "tool_reference" if name := _text(head.tool_name):
            # Elsewhere all tools are sent, so that the one that was found can be called by its name.
            return Opaque("messages", head.type, raw, f"Tool: {name}")
        case kind:
            return Opaque("messages", kind, raw)


def _found(content: Raw) -> str:
    """What a provider-run tool found, readable: titles and addresses, or texts."""
    try:
        hits = _HITS.decode(content)
    except msgspec.DecodeError:
        return _plain(content)
    lines = (" ".join(filter(None, dict.fromkeys(map(_text, (hit.title, hit.url, hit.text))))) for hit in hits)
    return "\n".join(line for line in lines if line)


def _plain(content: Raw) -> str:
    try:
        return _STRING.decode(content)
    except msgspec.DecodeError:
        return ""


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
