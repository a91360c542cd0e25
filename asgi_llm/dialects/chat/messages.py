"""The messages of a Chat Completions request -> neutral instructions and turns."""

import re
from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from asgi_llm.dialects.media import is_base64, is_link, is_media_type
from asgi_llm.errors import ClientError
from asgi_llm.neutral.request import (
    Audio,
    CacheMark,
    Document,
    FileId,
    Image,
    Inline,
    Instruction,
    Part,
    Refusal,
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
)

__all__ = ["read_messages"]

# RFC 2397, with the media type's parameters permitted and "base64" required.
_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?((?:;[^;,]*)*?);base64,", re.IGNORECASE)
_Level = Literal["system", "developer"]
_OLD_CALL = "call_function_"
"""Calls of the deprecated form have no id; theirs is made from the position, the same for call and result."""


def read_messages(messages: list[Message]) -> tuple[tuple[Instruction, ...], tuple[Turn, ...]]:
    """Leading system and developer messages are instructions; later ones stay where they are, as turns. Neighbouring
    tool messages become one user turn.

    Raises:
        ClientError: naming the field.
    """
    instructions: list[Instruction] = []
    turns: list[Turn] = []
    results: list[ToolResult] = []
    last_old_call = ""
    for index, message in enumerate(messages):
        # Not isinstance: to deny it takes several times as long for structs, whose metaclass is not plain ``type``.
        if type(message) is ToolMessage:
            results.append(_result(message, index))
            continue
        if type(message) is FunctionMessage:
            results.append(_old_result(message, last_old_call or f"{_OLD_CALL}{index}"))
            continue
        if results:
            turns.append(Turn("user", tuple(results)))
            results = []
        if type(message) is UserMessage:
            turns.append(Turn("user", _user_parts(message, index), message.name))
        elif type(message) is AssistantMessage:
            if message.function_call is not None:
                last_old_call = f"{_OLD_CALL}{index}"
            turns.append(Turn("assistant", _assistant_parts(message, index, last_old_call), message.name))
        elif isinstance(message, InstructionMessage):
            level: _Level = "developer" if type(message) is DeveloperMessage else "system"
            texts = _texts(message.content, message.cache_control)
            if turns:
                turns.append(Turn(level, texts, message.name))
            else:
                instructions.append(Instruction(texts, level))
    if results:
        turns.append(Turn("user", tuple(results)))
    return tuple(instructions), tuple(turns)


def _mark(control: CacheControl | None) -> CacheMark | None:
    return None if control is None else CacheMark(control.ttl)


def _text(text: str, control: CacheControl | None) -> Text:
    return Text(text) if control is None else Text(text, cache=CacheMark(control.ttl))


def _text_of(part: TextPart) -> Text:
    return _text(part.text, part.cache_control or part.prompt_cache_breakpoint)


def _texts(content: str | list[TextPart] | None, control: CacheControl | None) -> tuple[Text, ...]:
    """A mark on the message stands for one on its last part."""
    if content is None:
        return ()
    if isinstance(content, str):
        return (_text(content, control),)
    texts = [_text_of(part) for part in content]
    if control is not None and texts and texts[-1].cache is None:
        texts[-1] = _text(texts[-1].text, control)
    return tuple(texts)


def _user_parts(message: UserMessage, index: int) -> tuple[Part, ...]:
    content, control = message.content, message.cache_control
    if isinstance(content, str):
        return (_text(content, control),)
    parts = _parts(content, index)
    if control is not None and parts and isinstance(last := parts[-1], Text):
        return (*parts[:-1], _text(last.text, control))
    return parts


def _parts(content: list[TextPart | ImagePart | AudioPart | FilePart], index: int) -> tuple[Part, ...]:
    return tuple(
        [
            _text_of(part) if type(part) is TextPart else _media(part, f"messages[{index}].content[{position}]")
            for position, part in enumerate(content)
        ]
    )


def _media(part: ImagePart | AudioPart | FilePart, where: str) -> Part:
    mark = _mark(part.cache_control or part.prompt_cache_breakpoint)
    match part:
        case ImagePart():
            image = part.image_url if isinstance(part.image_url, ImageUrl) else ImageUrl(part.image_url)
            return Image(_source(image.url, f"{where}.image_url.url"), image.detail, mark)
        case AudioPart():
            audio = part.input_audio
            data = audio.data.partition("base64,")[2] if audio.data.startswith("data:") else audio.data
            _check(f"audio/{audio.format}", data, f"{where}.input_audio.data")
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
        _check("", file.file_data, f"{where}.file_data")
        return Inline("application/pdf", file.file_data)
    return _source(file.file_data, f"{where}.file_data")


def _source(url: str, param: str) -> Source:
    if url[:5].lower() != "data:":
        if is_link(url):
            return Url(url)
        raise ClientError(f"'{param}' must be an http(s) URL or a base64 data URL.", param=param)
    head = _DATA_URL.match(url)
    if head is None:
        raise ClientError(f"'{param}' is not a base64 data URL (data:<type>;base64,<data>).", param=param)
    data = url[head.end() :]
    _check("", data, param)
    return Inline((head[1] or "text/plain").lower(), data)


def _check(media_type: str, data: str, param: str) -> None:
    if not is_base64(data):
        raise ClientError(f"'{param}' does not hold valid base64.", param=param)
    if not is_media_type(media_type):
        raise ClientError(f"'{param}' is of no known media type.", param=param)


def _assistant_parts(message: AssistantMessage, index: int, old_call: str) -> tuple[Part, ...]:
    parts: list[Part] = []
    content = message.content
    readable = message.reasoning_content or message.reasoning or ""
    if not readable and isinstance(content, list):
        readable = _inline_thoughts(content)
    if readable or message.reasoning_details:
        parts += read_thoughts(readable, message.reasoning_details)
    if isinstance(content, str):
        if content:
            parts.append(_text(content, message.cache_control))
    elif content:
        parts += _said(content)
    if message.refusal:
        parts.append(Refusal(message.refusal))
    if message.audio is not None:
        parts.append(Audio(FileId("chat", message.audio.id)))
    if message.tool_calls:
        parts += [_call(call, index, position) for position, call in enumerate(message.tool_calls)]
    if message.function_call is not None:
        function = message.function_call
        parts.append(ToolCall(old_call, function.name, _arguments(function.arguments)))
    return tuple(parts)


def _said(content: Iterable[object]) -> Iterator[Part]:
    for part in content:
        if type(part) is TextPart:
            yield _text_of(part)
        elif type(part) is RefusalPart:
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


def _call(call: ToolCallDef, index: int, position: int) -> ToolCall:
    cache = _mark(call.cache_control)
    if call.function is not None:
        function = call.function
        carriers = call_carriers(call.extra_content)
        return ToolCall(call.id, function.name, _arguments(function.arguments), carriers=carriers, cache=cache)
    if call.custom is not None:
        return ToolCall(call.id, call.custom.name, call.custom.input or "", kind="text", cache=cache)
    where = f"messages[{index}].tool_calls[{position}].{'custom' if call.type == 'custom' else 'function'}"
    raise ClientError(f"'{where}' is required.", param=where)


def _arguments(arguments: str | dict[str, object] | None) -> str:
    if isinstance(arguments, str):
        return arguments
    return "" if arguments is None else msgspec.json.encode(arguments).decode()


def _result(message: ToolMessage, index: int) -> ToolResult:
    if not message.tool_call_id:
        where = f"messages[{index}].tool_call_id"
        raise ClientError(f"'{where}' must not be empty.", param=where)
    mark = _mark(message.cache_control)
    if not isinstance(content := message.content, list):
        return ToolResult(message.tool_call_id, (Text(content),) if content else (), message.name, cache=mark)
    return ToolResult(message.tool_call_id, _parts(content, index), message.name, cache=mark)


def _old_result(message: FunctionMessage, call_id: str) -> ToolResult:
    return ToolResult(call_id, (Text(message.content),) if message.content else (), message.name)
