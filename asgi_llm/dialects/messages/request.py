"""A caller's Messages body -> neutral request.

Lenient where leniency is harmless (nulls, unknown fields, absent version), strict where meaning would be lost: every
wrong type is a 400 that names the field. Spec: Anthropic Messages API, "Create a Message".
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from asgi_llm.errors import ClientError, Kind
from asgi_llm.neutral.request import (
    CacheHints,
    Instruction,
    OutputFormat,
    Part,
    ReasoningConfig,
    Request,
    Role,
    Sampling,
    StateRef,
    StreamOptions,
    Text,
    ToolCall,
    Turn,
    TypedTool,
)

from .blocks import known_parts, parts_of
from .raws import NULL, given
from .tools import Tools, decode_choice, decode_tools
from .wire import CacheControl, Known, cache_mark, fault, typed

__all__ = ["decode_request"]

_ATTRIBUTION = "x-anthropic-billing-header:"
"""How the line begins by which a client tells the origin who is to be billed. It varies from session to session and
means nothing to any other upstream, whose prompt cache it would defeat."""


class _Message(Struct):
    role: str
    content: str | list[Known]


class _OpenMessage(Struct):
    """A message with blocks outside the closed union."""

    role: str
    content: Raw


class _SystemBlock(Struct, tag_field="type", tag="text"):
    text: str
    cache_control: CacheControl | None = None


class _Thinking(Struct):
    type: str
    budget_tokens: int | None = None
    display: str | None = None


class _Format(Struct):
    type: str
    schema: Raw = NULL


class _OutputConfig(Struct):
    effort: str | None = None
    format: _Format | None = None


class _Metadata(Struct):
    user_id: str | None = None


class _Thread(Struct):
    type: str


_BODY = msgspec.json.Decoder(dict[str, Raw])
_MESSAGES = msgspec.json.Decoder(list[_Message])
_OPEN_MESSAGES = msgspec.json.Decoder(list[_OpenMessage])
_SYSTEM = msgspec.json.Decoder(str | list[_SystemBlock])
_THINKING = msgspec.json.Decoder(_Thinking)
_OUTPUT_CONFIG = msgspec.json.Decoder(_OutputConfig)
_FORMAT = msgspec.json.Decoder(_Format)
_METADATA = msgspec.json.Decoder(_Metadata)
_THREAD = msgspec.json.Decoder(_Thread)
_CACHE = msgspec.json.Decoder(CacheControl)
_STR = msgspec.json.Decoder(str)
_INT = msgspec.json.Decoder(int)
_FLOAT = msgspec.json.Decoder(float)
_BOOL = msgspec.json.Decoder(bool)
_STRINGS = msgspec.json.Decoder(list[str])


class _Fields:
    """The top-level fields, taken one by one; what is left over has no neutral meaning."""

    __slots__ = ("_raw",)

    def __init__(self, body: bytes) -> None:
        try:
            self._raw: dict[str, Raw] = _BODY.decode(body)
        except msgspec.ValidationError as error:
            raise fault("", error) from None
        except msgspec.DecodeError as error:
            raise ClientError(f"The request body is not valid JSON: {error}") from None

    def take(self, name: str, decoder: "msgspec.json.Decoder[Any]") -> Any:
        """The field's value, None where it is absent or null."""
        raw = self.raw(name)
        return None if raw is None else typed(raw, decoder, name)

    def raw(self, name: str) -> Raw | None:
        raw = self._raw.pop(name, None)
        return None if raw is None else given(raw)

    def need(self, name: str, decoder: "msgspec.json.Decoder[Any]") -> Any:
        value = self.take(name, decoder)
        if value is None:
            raise ClientError(f"{name}: Field required", param=name)
        return value

    def rest(self) -> dict[str, Raw]:
        return {name: raw for name, raw in self._raw.items() if given(raw) is not None}


def decode_request(body: bytes) -> Request:
    """The request in neutral form.

    Raises:
        ClientError: the body is not JSON, a field is missing or of the wrong type (``param`` names it), or it
            continues a thread that lives at another provider (``thread_not_found``).
    """
    try:
        if not body.isascii():
            body.decode()
        return _decode(_Fields(body))
    except UnicodeDecodeError:
        raise ClientError("The request body is not valid UTF-8.") from None
    except RecursionError:
        raise ClientError("The request body is nested too deeply.") from None
    except msgspec.DecodeError as error:
        raise ClientError(f"The request body is not valid JSON: {error}") from None


def _decode(fields: _Fields) -> Request:
    model = fields.need("model", _STR)
    thread = _thread(fields.raw("thread"))
    max_tokens = fields.need("max_tokens", _INT)
    if max_tokens < 0:
        raise ClientError("max_tokens: Input should be greater than or equal to 0", param="max_tokens")
    tools = decode_tools(fields.raw("tools"))
    choice, parallel = decode_choice(fields.raw("tool_choice"), tools)
    output, effort = _output(fields)
    cache = fields.take("cache_control", _CACHE)
    metadata = fields.take("metadata", _METADATA)
    return Request(
        model=model,
        dialect="messages",
        instructions=_instructions(fields.take("system", _SYSTEM)),
        turns=_turns(fields.raw("messages"), tools),
        tools=tools.all,
        tool_choice=choice,
        parallel_tools=parallel,
        sampling=Sampling(
            temperature=fields.take("temperature", _FLOAT),
            top_p=fields.take("top_p", _FLOAT),
            top_k=fields.take("top_k", _INT),
        ),
        max_output=max_tokens,
        stop=tuple(fields.take("stop_sequences", _STRINGS) or ()),
        reasoning=_reasoning(fields.raw("thinking"), effort),
        output=output,
        cache=CacheHints(auto=cache_mark(cache)),
        service_tier=_TIERS.get(tier, tier) if (tier := fields.take("service_tier", _STR)) else None,
        end_user=metadata.user_id if metadata else None,
        state=StateRef(thread=thread),
        stream=StreamOptions(on=bool(fields.take("stream", _BOOL))),
        ext=fields.rest(),
    )


_TIERS = {"standard_only": "default"}


def _thread(raw: Raw | None) -> Raw | None:
    # A continued thread sends the new messages only. Answering it as if they were all would be wrong without anyone
    # noticing; told "not found", clients send the whole conversation again.
    if raw is not None and typed(raw, _THREAD, "thread").type == "continue":
        raise ClientError(
            "thread: The thread was not found. Send the whole conversation again.",
            code="thread_not_found",
            param="thread",
            kind=Kind.NOT_FOUND,
        )
    return raw


def _instructions(system: str | list[_SystemBlock] | None) -> tuple[Instruction, ...]:
    if system is None:
        return ()
    if isinstance(system, str):
        return (Instruction((Text(system),)),) if system and not system.startswith(_ATTRIBUTION) else ()
    return tuple(
        Instruction((Text(block.text, cache=cache_mark(block.cache_control)),))
        for block in system
        if not block.text.startswith(_ATTRIBUTION)
    )


_ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "system": "system"}


def _turns(raw: Raw | None, tools: Tools) -> tuple[Turn, ...]:
    if raw is None:
        raise ClientError("messages: Field required", param="messages")
    messages: Sequence[_Message | _OpenMessage]
    try:
        messages = _MESSAGES.decode(raw)
    except msgspec.ValidationError:
        messages = typed(raw, _OPEN_MESSAGES, "messages")
    if not messages:
        raise ClientError("messages: List should have at least 1 item", param="messages")
    return tuple(_turn(message, index, tools) for index, message in enumerate(messages))


def _turn(message: _Message | _OpenMessage, index: int, tools: Tools) -> Turn:
    role = _ROLES.get(message.role)
    if role is None:
        path = f"messages.{index}.role"
        raise ClientError(f"{path}: Input should be 'user', 'assistant' or 'system'", param=path)
    content = message.content
    parts = known_parts(content) if isinstance(content, list) else parts_of(content, f"messages.{index}.content")
    if tools.typed and role == "assistant":
        parts = tuple(_typed_call(part, tools.typed) for part in parts)
    return Turn(role, parts)


def _typed_call(part: Part, known: dict[str, TypedTool]) -> Part:
    if isinstance(part, ToolCall) and part.name in known:
        return msgspec.structs.replace(part, typed=known[part.name].kind)
    return part


def _reasoning(raw: Raw | None, effort: str | None) -> ReasoningConfig | None:
    if raw is None:
        return None if effort is None else ReasoningConfig(effort=effort)
    wire: _Thinking = typed(raw, _THINKING, "thinking")
    visible = None if wire.display is None else wire.display != "omitted"
    match wire.type:
        case "adaptive" | "between_tools":
            return ReasoningConfig(effort=effort, adaptive=True, visible=visible, raw=raw)
        case "enabled":
            if wire.budget_tokens is None:
                raise ClientError("thinking.budget_tokens: Field required", param="thinking.budget_tokens")
            return ReasoningConfig(effort=effort, budget=wire.budget_tokens, visible=visible, raw=raw)
        case "disabled":
            return ReasoningConfig(effort="none", raw=raw)
        case _:
            raise ClientError(
                "thinking.type: Input should be 'adaptive', 'enabled', 'disabled' or 'between_tools'",
                param="thinking.type",
            )


def _output(fields: _Fields) -> tuple[OutputFormat | None, str | None]:
    """The wished format, and the effort that is told beside it. ``output_format`` is the field's older place."""
    older: _Format | None = fields.take("output_format", _FORMAT)
    config: _OutputConfig | None = fields.take("output_config", _OUTPUT_CONFIG)
    newer = config.format if config else None
    path = "output_config.format" if newer else "output_format"
    wire = newer or older
    effort = config.effort if config else None
    if wire is None:
        return None, effort
    if wire.type != "json_schema":
        raise ClientError(f"{path}.type: Input should be 'json_schema'", param=f"{path}.type")
    if (schema := given(wire.schema)) is None:
        raise ClientError(f"{path}.schema: Field required", param=f"{path}.schema")
    return OutputFormat("schema", schema=schema, strict=True), effort
