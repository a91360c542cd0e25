"""What routing must know of a body (model, stream, a few flags), read without building the object tree.

A typed decode skips every field it does not name, at about the speed of reading the bytes once. Only when something
is wrong is the body looked at a second time, to say exactly what.
"""

import threading
from types import NoneType
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct, field

from asgi_llm.errors import ClientError
from asgi_llm.neutral.request import DialectName

__all__ = ["Envelope", "PlainMessages", "peek", "peek_contents", "read_object"]


class Envelope(Struct, frozen=True, gc=False):
    """The outside of a request.

    ``include_usage`` is the caller's wish for usage in a chat stream; ``stream_options`` the raw value of that
    member (empty when absent), which the splice that asks for usage must merge with. ``plain`` when nothing is in the
    body but what every server of the dialect takes. ``said`` is the body of a Messages request that is nothing but a
    conversation, which short cuts go by.
    """

    model: str
    stream: bool = False
    include_usage: bool = False
    stream_options: bytes = b""
    plain: bool = False
    said: "PlainMessages | None" = None


class _Name:
    """Type of the ``model`` member. Decoding it goes through ``_count``, which sees every occurrence: two of them
    would let the gateway judge one model and the upstream serve the other."""


class _Seen(threading.local):
    models: list[Any]

    def __init__(self) -> None:
        self.models = []


_seen = _Seen()


def _count(_kind: type, value: Any) -> Any:
    _seen.models.append(value)
    return _NAME


_NAME = _Name()


class _Outside(Struct, gc=False):
    """What is read of a body; the conversation stands under the dialect's own name for it."""

    model: _Name = _NAME
    stream: bool | None = None
    stream_options: Raw = Raw()


class _Messages(_Outside, gc=False):
    turns: Raw = field(name="messages", default=Raw())


class _Responses(_Outside, gc=False):
    turns: Raw = field(name="input", default=Raw())


class _PlainCall(Struct, forbid_unknown_fields=True, gc=False):
    id: Raw
    type: Literal["function"]
    function: Raw


class _PlainTurn(Struct, forbid_unknown_fields=True, gc=False):
    role: Literal["system", "user", "assistant", "tool"]
    content: Raw = Raw()
    tool_calls: list[_PlainCall] | None = None
    tool_call_id: Raw = Raw()


class _PlainFunction(Struct, forbid_unknown_fields=True, gc=False):
    name: Raw
    description: Raw = Raw()
    parameters: Raw = Raw()


class _PlainTool(Struct, forbid_unknown_fields=True, gc=False):
    type: Literal["function"]
    function: _PlainFunction


class _Plain(Struct, forbid_unknown_fields=True, gc=False):
    """A chat request of which every server takes every field, told in the one pass that is needed anyway."""

    model: _Name
    messages: list[_PlainTurn]
    stream: bool | None = None
    max_tokens: Raw = Raw()
    temperature: Raw = Raw()
    top_p: Raw = Raw()
    stop: str | Annotated[list[str], Meta(max_length=4)] | None = None
    tools: list[_PlainTool] | None = None


class PlainMessage(Struct, forbid_unknown_fields=True, gc=False):
    role: Literal["user", "assistant"]
    content: Raw


class PlainMessages(Struct, forbid_unknown_fields=True, gc=False):
    """A Messages request with nothing in it but a conversation and how it is to go on."""

    model: _Name
    max_tokens: Annotated[int, Meta(ge=0)]
    messages: list[PlainMessage]
    system: Raw = Raw()
    temperature: float | None = None
    top_p: float | None = None
    stop_sequences: list[str] | None = None
    stream: bool | None = None


class _Contents(Struct, gc=False):
    contents: Raw = Raw()


class _Options(Struct, gc=False):
    include_usage: bool | None = None


_options = msgspec.json.Decoder(_Options)
_contents = msgspec.json.Decoder(_Contents)
_PLAIN: "dict[str, msgspec.json.Decoder[Any]]" = {
    "chat": msgspec.json.Decoder(_Plain, dec_hook=_count),
    "messages": msgspec.json.Decoder(PlainMessages, dec_hook=_count),
}
_DECODERS: "dict[str, msgspec.json.Decoder[Any]]" = {
    "chat": msgspec.json.Decoder(_Messages, dec_hook=_count),
    "messages": msgspec.json.Decoder(_Messages, dec_hook=_count),
    "responses": msgspec.json.Decoder(_Responses, dec_hook=_count),
}
_STARTS = {"chat": b"[", "messages": b"[", "responses": b'["n'}
"""How a conversation begins: a list; with Responses also a text, or null, or it is absent, since a stored prompt or an
earlier response can stand in."""


def peek(dialect: DialectName, body: bytes) -> Envelope:
    """The envelope of ``body``.

    Raises:
        ClientError: not a JSON object, ``model`` missing (code ``model_required``), given twice or no text,
            ``stream`` no boolean, or the conversation of the wrong type; ``param`` names the field.
    """
    models = _seen.models
    models.clear()
    if dialect in _PLAIN:
        try:
            plain = _PLAIN[dialect].decode(body)
            (model,) = models
            if type(model) is str and model.strip():
                if type(plain) is _Plain:
                    return Envelope(model, plain.stream is True, plain=True)
                return Envelope(model, plain.stream is True, said=plain)
        except (msgspec.DecodeError, ValueError, RecursionError):
            pass  # a field that not every server takes, or one that is wrong, or a second model
        models.clear()
    try:
        found = _DECODERS[dialect].decode(body)
        turns = found.turns
        # The first byte is looked at in place: the bytes of a long conversation are not copied for it.
        if (memoryview(turns)[0] in _STARTS[dialect] if turns else dialect == "responses") and len(models) == 1:
            model = models[0]
            if type(model) is str and model.strip():
                return _envelope(model, found)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    raise _diagnose(dialect, body)


def peek_contents(body: bytes, model: str, *, stream: bool) -> Envelope:
    """The envelope of a body that does not name its model: the path did.

    Raises:
        ClientError: not a JSON object, or without ``contents``; ``param`` names the field.
    """
    if not model.strip():
        raise ClientError("model is missing from the path", code="model_required", param="model")
    try:
        turns = _contents.decode(body).contents
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        read_object(body)
        raise ClientError("the body is not JSON", code="invalid_json") from None
    if not turns or memoryview(turns)[0] not in b"[{":
        said = f"must be a list, not {_KINDS.get(memoryview(turns)[0], 'a number')}" if turns else "is missing"
        raise ClientError(f"contents {said}", param="contents")
    return Envelope(model, stream)


def _envelope(model: str, found: _Outside) -> Envelope:
    if not found.stream and not found.stream_options:
        return Envelope(model)
    options = bytes(found.stream_options)
    if not options.isascii():
        str(options, "utf-8")  # what is put in beside it is read by the gateway, too
    asked = bool(options) and options != b"null" and bool(_options.decode(options).include_usage)
    return Envelope(model, bool(found.stream), asked, options)


def _diagnose(dialect: DialectName, body: bytes) -> ClientError:
    """Says what is wrong with a body that could not be peeked into."""
    try:
        value = read_object(body)
    except ClientError as error:
        return error
    return _diagnose_members(dialect, value)


def read_object(body: bytes) -> dict[str, Any]:
    """``body`` as an object tree: for complaints about it.

    Raises:
        ClientError: it is no JSON object.
    """
    if not body.strip():
        raise ClientError("the request has no body; a JSON object is expected", code="invalid_json")
    try:
        value = msgspec.json.decode(body)
    except RecursionError:
        raise ClientError("the body is nested too deeply", code="invalid_json") from None
    except UnicodeDecodeError:
        raise ClientError("the body is not UTF-8", code="invalid_json") from None
    except msgspec.DecodeError as error:
        raise ClientError(f"the body is not JSON: {str(error)[:200]}", code="invalid_json") from None
    if not isinstance(value, dict):
        raise ClientError(f"the body must be a JSON object, not {_kind(value)}", code="invalid_json")
    return value


def _diagnose_members(dialect: DialectName, value: dict[str, Any]) -> ClientError:
    model = value.get("model")
    if not isinstance(model, str) or not model.strip():
        said = "is missing" if model is None else "is empty" if isinstance(model, str) else f"is {_kind(model)}"
        return ClientError(f"model {said}; the name of a model is expected", code="model_required", param="model")
    if not isinstance(value.get("stream"), bool | None):
        return ClientError(f"stream must be true or false, not {_kind(value['stream'])}", param="stream")
    if not isinstance(options := value.get("stream_options"), dict | None):
        return ClientError(f"stream_options must be an object, not {_kind(options)}", param="stream_options")
    if isinstance(options, dict) and not isinstance(options.get("include_usage"), bool | None):
        return ClientError("stream_options.include_usage must be true or false", param="stream_options.include_usage")
    turns, kinds = ("input", (list, str, NoneType)) if dialect == "responses" else ("messages", (list,))
    if not isinstance(value.get(turns), kinds):
        expected = "a list or a text" if dialect == "responses" else "a list"
        said = f"not {_kind(value[turns])}" if turns in value else "and is missing"
        return ClientError(f"{turns} must be {expected}, {said}", param=turns)
    return ClientError("model occurs more than once in the body", param="model")


_KINDS = {ord("n"): "null", ord("t"): "a boolean", ord("f"): "a boolean", ord('"'): "a text"}
"""Kinds of values by their first byte, where the value itself may be one that cannot be read."""


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
    return "an object"
