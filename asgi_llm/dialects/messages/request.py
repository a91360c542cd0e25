"""A caller's Messages body -> neutral request.

Lenient where leniency is harmless (nulls, unknown fields, absent version), strict where meaning would be lost: every
wrong type is a 400 that names the field. Spec: Anthropic Messages API, "Create a Message".
"""

import msgspec
from msgspec import Raw

from asgi_llm.errors import ClientError
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
from .body import Body, Message, OpenMessage, SystemBlock, read
from .raws import NULL, given
from .tools import Tools, choice_of, tools_of
from .wire import cache_mark, fault, typed

__all__ = ["decode_request"]

_ATTRIBUTION = "x-anthropic-billing-header:"
"""How the line begins by which a client tells the origin who is to be billed. It varies from session to session and
means nothing to any other upstream, whose prompt cache it would defeat."""


class _Thinking(msgspec.Struct):
    type: str
    budget_tokens: int | None = None
    display: str | None = None


_THINKING = msgspec.json.Decoder(_Thinking)

_NO_TOOLS = Tools()
_NO_SAMPLING = Sampling()
_NO_CACHE = CacheHints()
_STREAM = StreamOptions(on=True)
_NO_STREAM = StreamOptions()


def decode_request(body: bytes) -> Request:
    """The request in neutral form.

    Raises:
        ClientError: the body is not JSON, a field is missing or of the wrong type (``param`` names it), or it
            continues a thread that lives at another provider (``thread_not_found``).
    """
    try:
        if not body.isascii():
            body.decode()
        return _request(body)
    except UnicodeDecodeError:
        raise ClientError("The request body is not valid UTF-8.", code="invalid_json") from None
    except RecursionError:
        raise ClientError("The request body is nested too deeply.", code="invalid_json") from None
    except msgspec.DecodeError as error:
        raise ClientError(f"The request body is not valid JSON: {error}", code="invalid_json") from None


def _request(body: bytes) -> Request:
    wire, ext = read(body)
    if wire.max_tokens < 0:
        raise ClientError("max_tokens: Input should be greater than or equal to 0", param="max_tokens")
    tools = tools_of(wire.tools, body) if wire.tools else _NO_TOOLS
    choice, parallel = (None, None) if wire.tool_choice is None else choice_of(wire.tool_choice, tools)
    output, effort = (None, None) if wire.output_config is None and wire.output_format is None else _output(wire)
    # With more than fifteen keywords CPython makes the call by way of a dictionary, several times slower; what is
    # seldom said is put in afterwards.
    request = Request(
        model=wire.model,
        dialect="messages",
        instructions=_instructions(wire.system),
        turns=_turns(wire, tools),
        tools=tools.all,
        tool_choice=choice,
        parallel_tools=parallel,
        sampling=_sampling(wire),
        max_output=wire.max_tokens,
        stop=tuple(wire.stop_sequences) if wire.stop_sequences else (),
        reasoning=_reasoning(wire, effort),
        output=output,
        cache=_NO_CACHE if wire.cache_control is None else CacheHints(auto=cache_mark(wire.cache_control)),
        end_user=wire.metadata.user_id if wire.metadata else None,
        stream=_STREAM if wire.stream else _NO_STREAM,
    )
    if wire.output_config is not None and wire.output_config.task_budget != NULL:
        kept = {"task_budget": wire.output_config.task_budget}
        ext = {**ext, "output_config": Raw(msgspec.json.encode(kept))}
    if ext or wire.service_tier is not None or wire.thread != NULL:
        tier = None if wire.service_tier is None else _TIERS.get(wire.service_tier, wire.service_tier)
        state = StateRef(thread=given(wire.thread))
        return msgspec.structs.replace(request, ext=ext, service_tier=tier, state=state)
    return request


_TIERS = {"standard_only": "default"}


def _sampling(wire: Body) -> Sampling:
    if wire.temperature is None and wire.top_p is None and wire.top_k is None:
        return _NO_SAMPLING
    return Sampling(temperature=wire.temperature, top_p=wire.top_p, top_k=wire.top_k)


def _instructions(system: str | list[SystemBlock] | None) -> tuple[Instruction, ...]:
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


def _turns(wire: Body, tools: Tools) -> tuple[Turn, ...]:
    if not wire.messages:
        raise ClientError("messages: List should have at least 1 item", param="messages")
    turns = [
        _open_turn(message, index) if isinstance(message, OpenMessage) else _turn(message, index)
        for index, message in enumerate(wire.messages)
    ]
    if tools.typed:
        turns = [_with_typed_calls(turn, tools.typed) for turn in turns]
    return tuple(turns)


def _turn(message: Message, index: int) -> Turn:
    content = message.content
    try:
        return Turn(message.role, (Text(content),) if isinstance(content, str) else known_parts(content))
    except msgspec.ValidationError as error:
        raise fault(f"messages.{index}.content", error) from None


def _open_turn(message: OpenMessage, index: int) -> Turn:
    return Turn(_role(message.role, index), parts_of(message.content, f"messages.{index}.content"))


def _role(said: str, index: int) -> Role:
    if (role := _ROLES.get(said)) is None:
        path = f"messages.{index}.role"
        raise ClientError(f"{path}: Input should be 'user', 'assistant' or 'system'", param=path)
    return role


def _with_typed_calls(turn: Turn, known: dict[str, TypedTool]) -> Turn:
    if turn.role != "assistant":
        return turn
    return Turn(turn.role, tuple(_typed_call(part, known) for part in turn.parts))


def _typed_call(part: Part, known: dict[str, TypedTool]) -> Part:
    if isinstance(part, ToolCall) and part.name in known:
        return msgspec.structs.replace(part, typed=known[part.name].kind)
    return part


def _reasoning(body: Body, effort: str | None) -> ReasoningConfig | None:
    if (raw := given(body.thinking)) is None:
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


def _output(body: Body) -> tuple[OutputFormat | None, str | None]:
    """The wished format, and the effort that is told beside it. ``output_format`` is the field's older place."""
    config = body.output_config
    newer = config.format if config else None
    path = "output_config.format" if newer else "output_format"
    wire = newer or body.output_format
    effort = config.effort if config else None
    if wire is None:
        return None, effort
    if wire.type != "json_schema":
        raise ClientError(f"{path}.type: Input should be 'json_schema'", param=f"{path}.type")
    if (schema := given(wire.schema)) is None:
        raise ClientError(f"{path}.schema: Field required", param=f"{path}.schema")
    return OutputFormat("schema", schema=schema, strict=True), effort
