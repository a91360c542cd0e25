"""The messages of a Chat Completions request -> neutral turns."""

import re
from collections.abc import Iterable, Iterator

import msgspec

from asgi_llm.errors import ClientError
from asgi_llm.neutral.request import (
    Audio,
    CacheMark,
    Document,
    FileId,
    Image,
    Inline,
    Part,
    Refusal,
    Role,
    Source,
    Text,
    ToolCall,
    ToolResult,
    Turn,
    Url,
)

from .thoughts import call_carriers, read_thoughts
from .wire import (
    AssistantMessage,
    AudioPart,
    CacheControl,
    DeveloperMessage,
    FilePart,
    FunctionMessage,
    ImagePart,
    ImageUrl,
    InputFile,
    InstructionMessage,
    Message,
    RefusalPart,
    TextPart,
    ToolCallDef,
    ToolMessage,
    UserMessage,
    UserPart,
)

__all__ = ["read_messages"]

# RFC 2397, with the media type's parameters permitted and "base64" required.
_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?((?:;[^;,]*)*?);base64,", re.IGNORECASE)
_BASE64 = re.compile(r"[A-Za-z0-9+/\r\n]*={0,2}")
_SAMPLE = 64
"""Characters looked at on either end of base64 text; looking at megabytes would cost more than all the rest."""
_OLD_CALL = "call_function_"
"""Calls of the deprecated form have no id; theirs is made from the position, the same for call and result."""


def read_messages(messages: list[Message]) -> list[Turn]:
    """The turns in order. Neighbouring tool messages become one user turn.

    Raises:
        ClientError: naming the field.
    """
    turns: list[Turn] = []
    results: list[ToolResult] = []
    last_old_call = ""
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        if isinstance(message, ToolMessage):
            results.append(_result(message, where))
            continue
        if isinstance(message, FunctionMessage):
            results.append(_old_result(message, last_old_call or f"{_OLD_CALL}{index}"))
            continue
        if results:
            turns.append(Turn("user", tuple(results)))
            results = []
        if isinstance(message, AssistantMessage):
            if message.function_call is not None:
                last_old_call = f"{_OLD_CALL}{index}"
            turns.append(_assistant(message, where, last_old_call))
        elif isinstance(message, UserMessage):
            turns.append(Turn("user", _user_parts(message, where), message.name))
        else:
            turns.append(_instruction(message))
    if results:
        turns.append(Turn("user", tuple(results)))
    return turns


def _instruction(message: InstructionMessage) -> Turn:
    role: Role = "developer" if isinstance(message, DeveloperMessage) else "system"
    return Turn(role, tuple(_texts(message.content, message.cache_control)), message.name)


def _mark(*controls: CacheControl | None) -> CacheMark | None:
    for control in controls:
        if control is not None:
            return CacheMark(control.ttl)
    return None


def _texts(content: str | list[TextPart] | None, control: CacheControl | None) -> Iterator[Text]:
    """A mark on the message stands for one on its last part."""
    if isinstance(content, str):
        yield Text(content, cache=_mark(control))
        return
    last = len(content or ()) - 1
    for index, part in enumerate(content or ()):
        mark = _mark(part.cache_control, part.prompt_cache_breakpoint, control if index == last else None)
        yield Text(part.text, cache=mark)


def _user_parts(message: UserMessage, where: str) -> tuple[Part, ...]:
    content = message.content
    if isinstance(content, str):
        return (Text(content, cache=_mark(message.cache_control)),)
    parts = [_user_part(part, f"{where}.content[{index}]") for index, part in enumerate(content)]
    if parts and message.cache_control is not None and isinstance(parts[-1], Text):
        parts[-1] = msgspec.structs.replace(parts[-1], cache=_mark(message.cache_control))
    return tuple(parts)


def _user_part(part: UserPart, where: str) -> Part:
    mark = _mark(part.cache_control, part.prompt_cache_breakpoint)
    match part:
        case TextPart():
            return Text(part.text, cache=mark)
        case ImagePart():
            image = part.image_url if isinstance(part.image_url, ImageUrl) else ImageUrl(part.image_url)
            return Image(_source(image.url, f"{where}.image_url.url"), image.detail, mark)
        case AudioPart():
            audio = part.input_audio
            data = audio.data.partition("base64,")[2] if audio.data.startswith("data:") else audio.data
            return Audio(Inline(f"audio/{audio.format}", data), audio.format, mark)
        case FilePart():
            return Document(_file(part.file, f"{where}.file"), part.file.filename, cache=mark)


def _file(file: InputFile, where: str) -> Source:
    if file.file_id is not None:
        return FileId("chat", file.file_id)
    if file.file_data is None:
        raise ClientError(f"'{where}' needs 'file_data' or 'file_id'.", param=where)
    if not file.file_data.startswith(("data:", "http:", "https:")):
        # Some clients send bare base64 here; the origin takes it for a PDF as well.
        return Inline("application/pdf", file.file_data)
    return _source(file.file_data, f"{where}.file_data")


def _source(url: str, param: str) -> Source:
    if url[:5].lower() != "data:":
        if url[:8].lower().startswith(("http://", "https://")):
            return Url(url)
        raise ClientError(f"'{param}' must be an http(s) URL or a base64 data URL.", param=param)
    head = _DATA_URL.match(url)
    if head is None:
        raise ClientError(f"'{param}' is not a base64 data URL (data:<type>;base64,<data>).", param=param)
    data = url[head.end() :]
    if not data or not _BASE64.fullmatch(data[:_SAMPLE]) or not _BASE64.fullmatch(data[-_SAMPLE:]):
        raise ClientError(f"'{param}' does not hold valid base64.", param=param)
    return Inline((head[1] or "text/plain").lower(), data)


def _assistant(message: AssistantMessage, where: str, old_call: str) -> Turn:
    parts: list[Part] = []
    content = message.content
    thinking = "" if isinstance(content, str) or content is None else _inline_thoughts(content)
    readable = message.reasoning_content or message.reasoning or thinking
    parts += read_thoughts(readable, message.reasoning_details)
    if isinstance(content, str):
        if content:
            parts.append(Text(content, cache=_mark(message.cache_control)))
    else:
        parts += _said(content or ())
    if message.refusal:
        parts.append(Refusal(message.refusal))
    if message.audio is not None:
        parts.append(Audio(FileId("chat", message.audio.id)))
    parts += [_call(call, f"{where}.tool_calls[{i}]") for i, call in enumerate(message.tool_calls or ())]
    if message.function_call is not None:
        function = message.function_call
        parts.append(ToolCall(old_call, function.name, _arguments(function.arguments)))
    return Turn("assistant", tuple(parts), message.name)


def _said(content: Iterable[object]) -> Iterator[Part]:
    for part in content:
        if isinstance(part, TextPart):
            yield Text(part.text, cache=_mark(part.cache_control, part.prompt_cache_breakpoint))
        elif isinstance(part, RefusalPart):
            yield Refusal(part.refusal)


def _inline_thoughts(content: Iterable[object]) -> str:
    pieces: list[str] = []
    for part in content:
        thinking = getattr(part, "thinking", None)
        if isinstance(thinking, str):
            pieces.append(thinking)
        elif isinstance(thinking, list):
            pieces += [text.text for text in thinking]
    return "".join(pieces)


def _call(call: ToolCallDef, where: str) -> ToolCall:
    cache = _mark(call.cache_control)
    if call.function is not None:
        function = call.function
        carriers = call_carriers(call.extra_content)
        return ToolCall(call.id, function.name, _arguments(function.arguments), carriers=carriers, cache=cache)
    if call.custom is not None:
        return ToolCall(call.id, call.custom.name, call.custom.input or "", kind="text", cache=cache)
    member = "custom" if call.type == "custom" else "function"
    raise ClientError(f"'{where}.{member}' is required.", param=f"{where}.{member}")


def _arguments(arguments: str | dict[str, object] | None) -> str:
    if isinstance(arguments, str):
        return arguments
    return "" if arguments is None else msgspec.json.encode(arguments).decode()


def _result(message: ToolMessage, where: str) -> ToolResult:
    if not message.tool_call_id:
        raise ClientError(f"'{where}.tool_call_id' must not be empty.", param=f"{where}.tool_call_id")
    parts = tuple(_texts(message.content, None)) if message.content else ()
    return ToolResult(message.tool_call_id, parts, message.name, cache=_mark(message.cache_control))


def _old_result(message: FunctionMessage, call_id: str) -> ToolResult:
    return ToolResult(call_id, (Text(message.content),) if message.content else (), message.name)
