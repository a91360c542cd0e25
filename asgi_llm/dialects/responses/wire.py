"""The Responses API on the wire, as far as anything here looks at it. Everything else stays raw.

OpenAI Responses API reference, "Create a response". The structs are wide on purpose: an item's type is looked at
after decoding, so that an unknown type is kept instead of refused. Null and absent are the same here.
"""

import re
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct

from asgi_llm.errors import ClientError

__all__ = [
    "NOTHING",
    "Annotation",
    "Body",
    "Item",
    "Part",
    "StreamEvent",
    "TextConfig",
    "ToolDefinition",
    "Typed",
    "array",
    "encode",
    "encode_line",
    "first",
    "given",
    "is_json",
    "read",
    "read_optional",
    "shape_error",
    "text_of",
]

T = TypeVar("T")

NOTHING = Raw(b"null")

encode = msgspec.json.Encoder().encode


def encode_line(value: Any) -> bytes:
    """JSON on one line: a line end inside raw JSON of somebody else's would end an event's data."""
    data = encode(value)
    return msgspec.json.format(data, indent=-1) if b"\n" in data or b"\r" in data else data


def is_json(text: str, opens: str = "{") -> bool:
    """Whether ``text`` is JSON that begins with one of the characters of ``opens``."""
    if not text.lstrip().startswith(tuple(opens)):
        return False
    try:
        msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    return True


class Body(Struct):
    """A request. ``tools``, ``input`` and the like are decoded one by one, so that errors can count."""

    model: str | None = None
    input: Raw = NOTHING
    instructions: Raw = NOTHING
    tools: Raw = NOTHING
    tool_choice: Raw = NOTHING
    parallel_tool_calls: bool | None = None
    text: Raw = NOTHING
    reasoning: Raw = NOTHING
    include: Raw = NOTHING
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_logprobs: int | None = None
    stream: bool | None = None
    store: bool | None = None
    background: bool | None = None
    previous_response_id: str | None = None
    conversation: Raw = NOTHING
    metadata: dict[str, str] | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    user: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None


class CacheBreakpoint(Struct):
    mode: str | None = None
    ttl: str | None = None


class AudioData(Struct):
    data: str | None = None
    format: str | None = None


class Part(Struct):
    """A content part of a message or of a tool's output."""

    type: str | None = None
    text: str | None = None
    refusal: str | None = None
    image_url: Raw = NOTHING
    file_id: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None
    detail: str | None = None
    input_audio: AudioData | None = None
    annotations: list[Raw] | None = None
    logprobs: Raw = NOTHING
    prompt_cache_breakpoint: CacheBreakpoint | None = None


class Typed(Struct):
    """Anything that has a type."""

    type: str | None = None


class Item(Struct):
    """An input or output item of any type."""

    type: str | None = None
    id: str | None = None
    role: str | None = None
    content: Raw = NOTHING
    phase: str | None = None
    status: str | None = None
    call_id: str | None = None
    name: str | None = None
    namespace: str | None = None
    arguments: Raw = NOTHING
    input: Raw = NOTHING
    output: Raw = NOTHING
    summary: Raw = NOTHING
    encrypted_content: str | None = None
    action: Raw = NOTHING
    actions: Raw = NOTHING
    operation: Raw = NOTHING


class Annotation(Struct):
    type: str | None = None
    url: str | None = None
    title: str | None = None
    start_index: int | None = None
    end_index: int | None = None


class GrammarFormat(Struct):
    type: str | None = None
    syntax: str | None = None
    definition: str | None = None


class ToolDefinition(Struct):
    type: str | None = None
    name: str | None = None
    description: str | None = None
    parameters: Raw = NOTHING
    strict: bool | None = None
    defer_loading: bool | None = None
    format: GrammarFormat | None = None
    tools: Raw = NOTHING


class FormatConfig(Struct):
    type: str | None = None
    name: str | None = None
    description: str | None = None
    schema: Raw = NOTHING
    strict: bool | None = None


class TextConfig(Struct):
    format: FormatConfig | None = None
    verbosity: str | None = None


class StreamEvent(Struct):
    """An event of a stream, of any type."""

    type: str = ""
    delta: str | None = None
    output_index: int | None = None
    content_index: int | None = None
    summary_index: int | None = None
    item_id: str | None = None
    item: Raw = NOTHING
    part: Raw = NOTHING
    annotation: Raw = NOTHING
    logprobs: Raw = NOTHING
    text: str | None = None
    refusal: str | None = None
    arguments: str | None = None
    input: str | None = None
    response: Raw = NOTHING
    error: Raw = NOTHING
    code: str | int | None = None
    message: str | None = None
    param: str | None = None


_DECODERS: dict[Any, msgspec.json.Decoder[Any]] = {}
"""One decoder for each type that is read, made when first needed."""

_WHERE = re.compile(r" - at (?:key in )?`\$(?P<path>[^`]*)`$")


def first(raw: Raw) -> bytes:
    """The first byte of a value, which tells its kind; without copying the value."""
    return bytes(memoryview(raw)[:1])


def given(raw: Raw) -> bool:
    """Whether something other than null was sent."""
    return raw is not NOTHING and first(raw) != b"n"


def read(raw: Raw | bytes, kind: type[T], path: str) -> T:
    """Decode a sub-tree.

    Raises:
        ClientError: it has another shape; ``param`` is the path of the field at fault.
    """
    try:
        decoder = _DECODERS.get(kind)
        if decoder is None:
            decoder = _DECODERS[kind] = msgspec.json.Decoder(kind)
        return decoder.decode(raw)  # type: ignore[no-any-return]  # the decoder under a type is that type's
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise shape_error(error, path) from None


def read_optional(raw: Raw, kind: type[T], path: str) -> T | None:
    """Decode a sub-tree that may be null. Raises as ``read``."""
    return read(raw, kind, path) if given(raw) else None


def shape_error(error: Exception, path: str) -> ClientError:
    """What msgspec said, as an error that names the caller's field."""
    if isinstance(error, RecursionError):
        return ClientError("The request is nested too deeply.", code="invalid_json", param=path or None)
    text = str(error)
    if not isinstance(error, msgspec.ValidationError):
        return ClientError(f"The request is not valid JSON: {text}", code="invalid_json", param=path or None)
    where = _WHERE.search(text)
    if where is not None:
        text = text[: where.start()]
        # "[...]" is some member of it; which one is not told.
        path = (path + where["path"]).lstrip(".").partition("[...]")[0]
    text = f"{text[:1].lower()}{text[1:500]}."
    if not path:
        return ClientError(f"The request: {text}", code="invalid_json")
    return ClientError(f"{path}: {text}", code="invalid_request", param=path)


def array(raw: Raw, path: str) -> list[Raw]:
    """The elements of an array, undecoded."""
    return read(raw, list[Raw], path)


def text_of(raw: Raw, path: str) -> str:
    """A string, or the JSON text of an object or array where a server or client forgot to make it a string."""
    data = bytes(raw)
    if data[:1] == b'"':
        return read(raw, str, path)
    if data[:1] in (b"{", b"["):
        return data.decode()
    if data == b"null":
        return ""
    raise ClientError(f"{path}: expected a string.", code="invalid_request", param=path)
