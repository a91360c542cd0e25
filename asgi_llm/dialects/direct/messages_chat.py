"""A caller of the Messages API, an upstream that speaks Chat Completions."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from asgi_llm.dialects.chat.models import thinks
from asgi_llm.dialects.chat.usage import read_usage
from asgi_llm.dialects.interface import Profile, mint
from asgi_llm.dialects.messages.usage import encode_usage
from asgi_llm.dialects.peek import PlainMessages
from asgi_llm.neutral.usage import Usage

from .pair import Pair

__all__ = ["MESSAGES_CHAT"]

_QUOTE = ord('"')
_EMPTY = len(b'""')
_ATTRIBUTION = b'"x-anthropic-billing-header:'
_MAX_STOP = 4
_json = msgspec.json.Encoder().encode


class _Block(Struct, tag_field="type", tag="text", forbid_unknown_fields=True, gc=False):
    text: Raw


class _Said(Struct, gc=False):
    """A message of nothing but text; what would be more is declared so that a value in it fails to decode."""

    content: Raw
    refusal: None = None
    reasoning_content: None = None
    reasoning: None = None
    reasoning_details: None = None
    tool_calls: Annotated[list[Any], Meta(max_length=0)] | None = None
    function_call: None = None
    annotations: Annotated[list[Any], Meta(max_length=0)] | None = None
    audio: None = None
    images: None = None
    provider_metadata: None = None


class _Choice(Struct, gc=False):
    message: _Said
    finish_reason: Literal["stop", "length"]
    stop_reason: int | None = None
    delta: None = None
    usage: None = None


class _Answer(Struct, gc=False):
    choices: Annotated[list[_Choice], Meta(min_length=1, max_length=1)]
    id: str | None = None
    object: Literal["chat.completion"] | None = None
    model: str | None = None
    usage: Raw = Raw()
    error: None = None
    service_tier: str | None = None
    x_groq: None = None
    provider_metadata: None = None


_blocks = msgspec.json.Decoder(list[_Block])
_answer = msgspec.json.Decoder(_Answer)
_TURN = {"user": b'{"role":"user","content":', "assistant": b'{"role":"assistant","content":'}
_STOP = {"stop": b"end_turn", "length": b"max_tokens"}


def _write_request(body: bytes, said: PlainMessages, model: str, profile: Profile) -> bytes | None:
    if not body.isascii():
        try:  # texts are copied as they stand: that they are UTF-8 is all that nobody has looked at
            body.decode()
        except UnicodeDecodeError:
            return None
    if not said.messages or profile.families or profile.order is not None or profile.adds:
        return None
    if said.messages[-1].role == "assistant":  # the caller must be told that it is not continued
        return None
    parts = [b'{"model":', _json(model), b',"messages":[']
    if said.system:
        text = _text(said.system)
        if text is None or len(text) == _EMPTY or bytes(text).startswith(_ATTRIBUTION):
            return None
        parts += (b'{"role":"system","content":', text, b"},")
    for message in said.messages:
        if (text := _text(message.content)) is None:
            return None
        parts += (_TURN[message.role], text, b"},")
    parts[-1] = b'}],"%b":%d' % (profile.max_tokens_field.encode(), said.max_tokens)
    if not _add_sampling(parts, said, model, profile):
        return None
    if said.stream:
        parts.append(b',"stream":true')
        if profile.stream_usage:
            parts.append(b',"stream_options":{"include_usage":true}')
    parts.append(b"}")
    return b"".join(parts)


def _text(content: Raw) -> Raw | None:
    """The JSON text that a content consists of."""
    first = memoryview(content)[0]
    if first != _QUOTE:
        try:
            blocks = _blocks.decode(content)
        except msgspec.DecodeError:
            return None
        if len(blocks) != 1:
            return None
        content = blocks[0].text
        first = memoryview(content)[0]
    return content if first == _QUOTE else None


def _add_sampling(parts: list[bytes], said: PlainMessages, model: str, profile: Profile) -> bool:
    if said.temperature is None and said.top_p is None and not said.stop_sequences:
        return True
    if thinks(profile, model) or len(said.stop_sequences or ()) > _MAX_STOP:
        return False
    if profile.lacks or profile.temperature_range is not None or profile.max_stop not in (None, _MAX_STOP):
        return False
    for name, value in ((b"temperature", said.temperature), (b"top_p", said.top_p), (b"stop", said.stop_sequences)):
        if value is not None and value != []:
            parts.append(b',"%b":%b' % (name, _json(value)))
    return True


def _write_answer(body: bytes, model: str) -> tuple[bytes, Usage | None] | None:
    try:
        said = _answer.decode(body)
        if not body.isascii():
            body.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    choice = said.choices[0]
    text = choice.message.content
    if memoryview(text)[0] != _QUOTE or len(text) == _EMPTY:
        return None
    answer_id = said.id if said.id is not None and said.id.startswith("msg_") else mint("msg_")
    usage = read_usage(said.usage) if said.usage else None
    written = b"".join(
        (
            b'{"id":',
            _json(answer_id),
            b',"type":"message","role":"assistant","model":',
            _json(model),
            b',"content":[{"type":"text","text":',
            text,
            b'}],"stop_reason":"%b","stop_sequence":null,"usage":' % _STOP[choice.finish_reason],
            _json(encode_usage(usage, said.service_tier)),
            b"}",
        )
    )
    return written, usage


MESSAGES_CHAT = Pair(_write_request, _write_answer)
