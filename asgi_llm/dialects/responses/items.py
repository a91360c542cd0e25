"""Items -> neutral parts. One reading for both directions: an answer's output becomes the next request's input.

OpenAI Responses API reference, "Input items" and "Output items".
"""

import re

import msgspec
from msgspec import Raw

from asgi_llm.dialects.media import is_base64, is_link, is_media_type
from asgi_llm.errors import ClientError
from asgi_llm.neutral.request import (
    Audio,
    CacheMark,
    Carrier,
    Citation,
    Compaction,
    Document,
    FileId,
    Image,
    Inline,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    ServerCall,
    ServerResult,
    Source,
    Text,
    ToolCall,
    ToolResult,
    Url,
)

from . import wire
from .envelope import Envelope, is_envelope, unpack
from .wire import first, given, read, read_optional, text_of

__all__ = [
    "HOSTED_CALLS",
    "TYPED_CALLS",
    "TYPED_OUTPUTS",
    "call",
    "citation",
    "compaction",
    "hosted",
    "input_parts",
    "output_parts",
    "read_item",
    "reasoning",
    "result",
    "thought",
]

HOSTED_CALLS = {
    "web_search_call": "web_search",
    "file_search_call": "file_search",
    "code_interpreter_call": "code",
    "image_generation_call": "image",
    "mcp_call": "mcp",
    "mcp_list_tools": "mcp_list_tools",
    "mcp_approval_request": "mcp_approval",
    "tool_search_call": "tool_search",
    "program": "program",
}
"""Item type -> neutral kind of the tool that the provider runs."""

HOSTED_RESULTS = {
    "mcp_approval_response": "mcp_approval",
    "tool_search_output": "tool_search",
    "program_output": "program",
}

TYPED_CALLS = {
    "apply_patch_call": "apply_patch",
    "shell_call": "shell",
    "local_shell_call": "local_shell",
    "computer_call": "computer",
}
"""Item type -> tool that the provider defines and the caller runs."""

TYPED_OUTPUTS = {f"{item}_output": tool for item, tool in TYPED_CALLS.items()}

_READ = frozenset(
    {
        "message",
        "reasoning",
        "function_call",
        "function_call_output",
        "custom_tool_call",
        "custom_tool_call_output",
        "compaction",
        "item_reference",
        *TYPED_CALLS,
        *TYPED_OUTPUTS,
    }
)
"""Item types that are understood; all others are kept as they are."""

_READ_PARTS = frozenset({"input_text", "input_image", "input_file", "input_audio", "output_text", "refusal", "text"})

_DATA_URL = re.compile(r"data:(?P<type>[^;,]*)(?:;[^;,]*)*?;base64,", re.IGNORECASE)
_BAD = "invalid_request"


def read_item(raw: Raw, path: str) -> wire.Item:
    """An item. Of a type that is only kept, nothing but the type must be as expected."""
    try:
        return read(raw, wire.Item, path)
    except ClientError:
        kind = _kind(raw)
        if kind is None or kind in _READ:
            raise
        return wire.Item(type=kind)


def input_parts(content: Raw, path: str) -> tuple[Part, ...]:
    """The content of a user, system or developer message, or of a tool's output."""
    if first(content) == b'"':
        return (Text(read(content, str, path)),)
    if not given(content):
        return ()
    return tuple(_input_part(raw, f"{path}[{index}]") for index, raw in enumerate(wire.array(content, path)))


def output_parts(content: Raw, path: str) -> tuple[Part, ...]:
    """The content of an assistant's message: text and refusals."""
    if first(content) == b'"':
        return (Text(read(content, str, path)),)
    if not given(content):
        return ()
    parts: list[Part] = []
    for index, raw in enumerate(wire.array(content, path)):
        where = f"{path}[{index}]"
        part = read(raw, wire.Part, where)
        match part.type:
            case "output_text" | "text" | "input_text":
                parts.append(Text(_need(part.text, f"{where}.text"), citations=_citations(part.annotations)))
            case "refusal":
                parts.append(Refusal(_need(part.refusal, f"{where}.refusal")))
            case "reasoning_text" | "summary_text":
                parts.append(Reasoning(text=part.text or ""))
            case _:
                raise _unknown(part.type, f"{where}.type", "output_text or refusal")
    return tuple(parts)


def thought(item: wire.Item, path: str) -> Reasoning:
    """A reasoning item as an upstream made it: its encrypted content is the upstream's, whatever it looks like."""
    summary = tuple(_texts(item.summary, f"{path}.summary"))
    text = "\n\n".join(_texts(item.content, f"{path}.content"))
    carriers: tuple[Carrier, ...] = ()
    if item.encrypted_content:
        carriers = (Carrier("openai.encrypted", item.encrypted_content, item_id=item.id),)
    return Reasoning(text=text, summary=summary, carriers=carriers, id=item.id)


def reasoning(item: wire.Item, path: str) -> tuple[Reasoning, Envelope | None]:
    """A reasoning item as a caller sends it back, out of its envelope where it is in one. An envelope with the
    carriers of a tool call or a text is returned with them, since they belong to that and not to a thought."""
    part = thought(item, path)
    data = item.encrypted_content or ""
    envelope = unpack(data)
    if envelope is None and is_envelope(data):
        # Damaged on the way: nobody could read it, and nobody would take it.
        return msgspec.structs.replace(part, carriers=()), None
    if envelope is None or envelope.call is not None or envelope.text:
        return part, envelope
    text, summary = part.text, part.summary
    if envelope.raw_text:
        text, summary = "\n\n".join(summary), ()
    return Reasoning(text=text, summary=summary, carriers=envelope.carriers, redacted=envelope.redacted), envelope


def call(item: wire.Item, path: str) -> ToolCall:
    """A call of a function, of a custom tool or of a typed tool that the caller runs."""
    call_id = item.call_id or (item.id if item.type in TYPED_CALLS else None)
    if not call_id:
        raise ClientError(f"{path}.call_id: a {item.type} needs its call_id.", code=_BAD, param=f"{path}.call_id")
    if (typed := TYPED_CALLS.get(item.type or "")) is not None:
        body = next((raw for raw in (item.operation, item.action, item.actions) if given(raw)), Raw(b"{}"))
        return ToolCall(call_id, typed, bytes(body).decode(), typed=typed, item_id=item.id)
    name = _need(item.name, f"{path}.name")
    if item.type == "custom_tool_call":
        text = text_of(item.input, f"{path}.input")
        return ToolCall(call_id, name, text, kind="text", namespace=item.namespace, item_id=item.id)
    arguments = text_of(item.arguments, f"{path}.arguments")
    return ToolCall(call_id, name, arguments, namespace=item.namespace, item_id=item.id)


def result(item: wire.Item, path: str) -> ToolResult:
    """What the caller's tool answered."""
    call_id = item.call_id or (item.id if item.type == "local_shell_call_output" else None)
    if not call_id:
        raise ClientError(f"{path}.call_id: a {item.type} needs its call_id.", code=_BAD, param=f"{path}.call_id")
    name = TYPED_OUTPUTS.get(item.type or "")
    output = f"{path}.output"
    failed = True if item.status == "failed" else None
    if item.type == "computer_call_output":
        return ToolResult(call_id, (_input_part(item.output, output),), name=name)
    if item.type == "shell_call_output":
        return ToolResult(call_id, (Text(text_of(item.output, output)),), name=name)
    if first(item.output) == b"{":
        return ToolResult(call_id, (Text(text_of(item.output, output)),), name=name, is_error=failed)
    kind = "text" if item.type == "custom_tool_call_output" else "json"
    parts = input_parts(item.output, output)
    return ToolResult(call_id, parts, name=name or item.name, is_error=failed, kind=kind)  # type: ignore[arg-type]  # one of the two literals


def hosted(item: wire.Item, raw: Raw) -> ServerCall | ServerResult | None:
    """An item of a tool that the provider runs, or None when it is none."""
    kind = item.type or ""
    if (neutral := HOSTED_CALLS.get(kind)) is not None:
        arguments = next((part for part in (item.arguments, item.action) if given(part)), Raw(b""))
        text = _loose_text(arguments)
        return ServerCall("responses", neutral, item.id, item.name, text, item.status, raw)
    if (neutral := HOSTED_RESULTS.get(kind)) is not None:
        return ServerResult("responses", neutral, item.call_id, raw=raw)
    return None


def compaction(item: wire.Item) -> Compaction:
    data = item.encrypted_content or ""
    envelope = unpack(data)
    if envelope is None:
        return Compaction(carrier=Carrier("openai.encrypted", data, item_id=item.id))
    text = "\n\n".join(carrier.data for carrier in envelope.carriers if carrier.kind == "text.replay")
    foreign = next((carrier for carrier in envelope.carriers if carrier.kind != "text.replay"), None)
    return Compaction(text=text, carrier=foreign)


def citation(raw: Raw) -> Citation | None:
    """An annotation of output text; None when it is malformed, which is no reason to lose the text."""
    try:
        wired = msgspec.json.decode(raw, type=wire.Annotation)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return Citation("responses", wired.url, wired.title, start=wired.start_index, end=wired.end_index, raw=raw)


def _citations(annotations: list[Raw] | None) -> tuple[Citation, ...]:
    return tuple(found for raw in annotations or () if (found := citation(raw)) is not None)


def _kind(raw: Raw) -> str | None:
    try:
        return read(raw, wire.Typed, "").type
    except ClientError:
        return None


def _input_part(raw: Raw, path: str) -> Part:
    try:
        part = read(raw, wire.Part, path)
    except ClientError:
        kind = _kind(raw)
        if kind is None or kind in _READ_PARTS:
            raise
        return Opaque("responses", kind, raw)
    mark = part.prompt_cache_breakpoint
    cache = CacheMark(mark.ttl) if mark is not None else None
    match part.type:
        case "input_text" | "text" | "output_text" | "summary_text":
            return Text(_need(part.text, f"{path}.text"), cache=cache)
        case "input_image" | "image_url" | "computer_screenshot":
            return Image(_image_source(part, path), detail=part.detail, cache=cache)
        case "input_file":
            return Document(_file_source(part, path), filename=part.filename, cache=cache)
        case "input_audio":
            return _audio(part, path, cache)
        case "refusal":
            return Refusal(_need(part.refusal, f"{path}.refusal"))
        case None:
            raise _unknown(None, f"{path}.type", "the type of a content part")
        case kind:
            return Opaque("responses", kind, raw)


def _image_source(part: wire.Part, path: str) -> Source:
    if part.file_id:
        return FileId("responses", part.file_id)
    where = f"{path}.image_url"
    raw = part.image_url
    if first(raw) == b"{":
        # The nested form of Chat Completions, sent here by mistake often enough.
        raw, where = read(raw, dict[str, Raw], where).get("url", wire.NOTHING), f"{where}.url"
    url = read_optional(raw, str, where)
    if not url:
        raise ClientError(f"{where}: an image needs image_url or file_id.", code=_BAD, param=where)
    return _from_url(url, where)


def _file_source(part: wire.Part, path: str) -> Source:
    if part.file_id:
        return FileId("responses", part.file_id)
    if part.file_url:
        return _from_url(part.file_url, f"{path}.file_url")
    if part.file_data:
        if part.file_data[:5].lower() == "data:":
            return _from_url(part.file_data, f"{path}.file_data")
        return _inline(_media_type(part.filename), part.file_data, f"{path}.file_data")
    raise ClientError(f"{path}: a file needs file_data, file_url or file_id.", code=_BAD, param=path)


def _from_url(url: str, path: str) -> Source:
    if url[:5].lower() != "data:":
        if not is_link(url):
            raise ClientError(f"{path}: expected an http(s) URL or a data URL.", code=_BAD, param=path)
        return Url(url)
    match = _DATA_URL.match(url)
    if match is None:
        raise ClientError(f"{path}: expected a data URL with base64 content.", code=_BAD, param=path)
    return _inline(match["type"].lower() or "application/octet-stream", url[match.end() :], path)


def _inline(media_type: str, data: str, path: str) -> Inline:
    if not is_base64(data):
        raise ClientError(f"{path}: expected base64.", code=_BAD, param=path)
    if not is_media_type(media_type):
        raise ClientError(f"{path}: expected a media type, got {media_type[:64]!r}.", code=_BAD, param=path)
    return Inline(media_type, data)


def _media_type(filename: str | None) -> str:
    return "text/plain" if filename and filename.lower().endswith((".txt", ".md")) else "application/pdf"


def _audio(part: wire.Part, path: str, cache: CacheMark | None) -> Audio:
    where = f"{path}.input_audio"
    if part.input_audio is None or not part.input_audio.data:
        raise ClientError(f"{where}: expected an object with data and format.", code=_BAD, param=where)
    kind = part.input_audio.format
    media = {"mp3": "audio/mpeg"}.get(kind or "", f"audio/{kind or 'wav'}")
    return Audio(_inline(media, part.input_audio.data, f"{where}.data"), format=kind, cache=cache)


def _texts(raw: Raw, path: str) -> list[str]:
    if not given(raw):
        return []
    if first(raw) == b'"':
        return [read(raw, str, path)]
    parts = [read(entry, wire.Part, f"{path}[{index}]") for index, entry in enumerate(wire.array(raw, path))]
    return [part.text for part in parts if part.text is not None]


def _loose_text(raw: Raw) -> str:
    data = bytes(raw)
    if data[:1] != b'"':
        return data.decode("utf-8", "replace")
    try:
        return msgspec.json.decode(data, type=str)
    except (msgspec.MsgspecError, ValueError):
        return ""


def _need(value: str | None, path: str) -> str:
    if value is None:
        raise ClientError(f"{path}: expected a string, got nothing.", code=_BAD, param=path)
    return value


def _unknown(kind: str | None, path: str, expected: str) -> ClientError:
    came = "nothing" if kind is None else repr(kind[:64])
    return ClientError(f"{path}: expected {expected}, got {came}.", code=_BAD, param=path)
