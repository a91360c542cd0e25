"""The body of a Messages request as typed fields.

The ordinary body is decoded in one pass. Any other (a block, a field or a tool outside the known ones, a wrong type)
is read field by field, which finds the field to complain about. Both ways give the same ``Body``, so that ``request``
makes a neutral request of either by the same rules. Spec: Anthropic Messages API, "Create a Message".
"""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct

from asgi_llm.errors import ClientError, Kind

from .raws import NULL, given
from .tools import Choice, WireTool
from .wire import CacheControl, Known, fault, typed

__all__ = ["Body", "Format", "Message", "OpenMessage", "OutputConfig", "SystemBlock", "read", "read_by_field"]


class Message(Struct):
    role: Literal["user", "assistant", "system"]
    content: str | list[Known]


class OpenMessage(Struct):
    """A message with blocks outside the closed union, or whose role is none."""

    role: str
    content: Raw


class SystemBlock(Struct, tag_field="type", tag="text"):
    text: str
    cache_control: CacheControl | None = None


class Format(Struct):
    type: str
    schema: Raw = NULL


class OutputConfig(Struct):
    effort: str | None = None
    format: Format | None = None
    task_budget: Raw = NULL


class _Metadata(Struct):
    user_id: str | None = None


class _Thread(Struct):
    type: str


class Body(Struct, kw_only=True):
    """The fields that have a neutral meaning, and the one without it that agents send with every request."""

    model: str
    max_tokens: int
    messages: Sequence[Message | OpenMessage]
    system: str | list[SystemBlock] | None = None
    tools: list[WireTool] | None = None
    tool_choice: Choice | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] | None = None
    stream: bool | None = None
    thinking: Raw = NULL
    output_config: OutputConfig | None = None
    output_format: Format | None = None
    cache_control: CacheControl | None = None
    metadata: _Metadata | None = None
    service_tier: str | None = None
    thread: Raw = NULL
    context_management: Raw = NULL


class _Ordinary(Body, kw_only=True, forbid_unknown_fields=True):
    messages: list[Message]


_ORDINARY = msgspec.json.Decoder(_Ordinary)
_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_MESSAGES = msgspec.json.Decoder(list[Message])
_OPEN_MESSAGES = msgspec.json.Decoder(list[OpenMessage])
_SYSTEM = msgspec.json.Decoder(str | list[SystemBlock])
_TOOLS = msgspec.json.Decoder(list[WireTool])
_CHOICE = msgspec.json.Decoder(Choice)
_OUTPUT_CONFIG = msgspec.json.Decoder(OutputConfig)
_FORMAT = msgspec.json.Decoder(Format)
_METADATA = msgspec.json.Decoder(_Metadata)
_THREAD = msgspec.json.Decoder(_Thread)
_CACHE = msgspec.json.Decoder(CacheControl)
_STR = msgspec.json.Decoder(str)
_INT = msgspec.json.Decoder(int)
_FLOAT = msgspec.json.Decoder(float)
_BOOL = msgspec.json.Decoder(bool)
_STRINGS = msgspec.json.Decoder(list[str])


def read(body: bytes) -> tuple[Body, dict[str, Raw]]:
    """The typed fields, and those that have no neutral meaning.

    Raises:
        ClientError: a field is missing or of the wrong type (``param`` names it), or a thread is to be continued that
            lives at another provider (``thread_not_found``).
        msgspec.DecodeError: the body is not JSON.
        RecursionError: it is nested too deeply.
    """
    try:
        wire = _ORDINARY.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return read_by_field(body)
    _refuse_thread(wire.thread)
    edits = wire.context_management
    return wire, {} if given(edits) is None else {"context_management": edits}


class _Fields:
    """The top-level fields, taken one by one; what is left over has no neutral meaning."""

    __slots__ = ("_raw",)

    def __init__(self, body: bytes) -> None:
        try:
            self._raw: dict[str, Raw] = _FIELDS.decode(body)
        except msgspec.ValidationError as error:
            raise fault("", error) from None

    def take(self, name: str, decoder: "msgspec.json.Decoder[Any]") -> Any:
        """The field's value, None where it is absent or null."""
        raw = self.raw(name)
        return None if raw == NULL else typed(raw, decoder, name)

    def raw(self, name: str) -> Raw:
        return self._raw.pop(name, NULL)

    def need(self, name: str, decoder: "msgspec.json.Decoder[Any]") -> Any:
        value = self.take(name, decoder)
        if value is None:
            raise ClientError(f"{name}: Field required", param=name)
        return value

    def rest(self) -> dict[str, Raw]:
        return {name: raw for name, raw in self._raw.items() if given(raw) is not None}


def read_by_field(body: bytes) -> tuple[Body, dict[str, Raw]]:
    """The same as ``read``, several times slower, for a body of any kind."""
    fields = _Fields(body)
    model = fields.need("model", _STR)
    thread = fields.raw("thread")
    _refuse_thread(thread)
    wire = Body(
        model=model,
        thread=thread,
        max_tokens=fields.need("max_tokens", _INT),
        tools=fields.take("tools", _TOOLS),
        tool_choice=fields.take("tool_choice", _CHOICE),
        output_format=fields.take("output_format", _FORMAT),
        output_config=fields.take("output_config", _OUTPUT_CONFIG),
        cache_control=fields.take("cache_control", _CACHE),
        metadata=fields.take("metadata", _METADATA),
        system=fields.take("system", _SYSTEM),
        messages=_messages(fields.raw("messages")),
        temperature=fields.take("temperature", _FLOAT),
        top_p=fields.take("top_p", _FLOAT),
        top_k=fields.take("top_k", _INT),
        stop_sequences=fields.take("stop_sequences", _STRINGS),
        thinking=fields.raw("thinking"),
        service_tier=fields.take("service_tier", _STR),
        stream=fields.take("stream", _BOOL),
    )
    return wire, fields.rest()


def _messages(raw: Raw) -> Sequence[Message | OpenMessage]:
    if raw == NULL:
        raise ClientError("messages: Field required", param="messages")
    try:
        return _MESSAGES.decode(raw)
    except msgspec.ValidationError:
        messages: list[OpenMessage] = typed(raw, _OPEN_MESSAGES, "messages")
        return messages


def _refuse_thread(raw: Raw) -> None:
    # A continued thread sends the new messages only. Answering it as if they were all would be wrong without anyone
    # noticing; told "not found", clients send the whole conversation again.
    if raw != NULL and typed(raw, _THREAD, "thread").type == "continue":
        raise ClientError(
            "thread: The thread was not found. Send the whole conversation again.",
            code="thread_not_found",
            param="thread",
            kind=Kind.NOT_FOUND,
        )
