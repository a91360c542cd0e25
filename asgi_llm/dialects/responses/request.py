"""A Responses request -> neutral.

OpenAI Responses API reference, "Create a response". Errors name the field as the caller spelled its path, such as
``input[2].content[0].type``.
"""

from dataclasses import dataclass, field

import msgspec
from msgspec import Raw, Struct

from asgi_llm.errors import ClientError
from asgi_llm.neutral.request import (
    CacheHints,
    Carrier,
    Instruction,
    Opaque,
    OutputFormat,
    Part,
    Reasoning,
    ReasoningConfig,
    Refusal,
    Request,
    Role,
    Sampling,
    StateRef,
    StreamOptions,
    Text,
    ToolCall,
    Turn,
)

from . import items, wire
from .tools import decode_tool_choice, decode_tools
from .wire import Body, first, given, read, read_optional

__all__ = ["decode_request"]

_CALLS = {"function_call", "custom_tool_call", *items.TYPED_CALLS}
_RESULTS = {"function_call_output", "custom_tool_call_output", *items.TYPED_OUTPUTS}

_KNOWN = frozenset(Body.__struct_fields__) | {"stream_options"}
_OWN_INCLUDES = frozenset({"reasoning.encrypted_content", "message.output_text.logprobs"})

_body = msgspec.json.Decoder(Body)
_fields = msgspec.json.Decoder(dict[str, Raw])


class _Reasoning(Struct):
    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None


def decode_request(body: bytes) -> Request:
    """The caller's body -> neutral.

    Raises:
        ClientError: the body is not what the API takes; ``param`` names the field.
    """
    try:
        if not body.isascii():
            body.decode()
        wired = _body.decode(body)
        fields = _fields.decode(body)
    except UnicodeDecodeError:
        raise ClientError("The request is not valid UTF-8.", code="invalid_json") from None
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise wire.shape_error(error, "") from None
    if not wired.model or not wired.model.strip():
        raise ClientError("model: expected the name of a model.", code="model_required", param="model")
    if (limit := wired.max_output_tokens) is not None and limit < 0:
        path = "max_output_tokens"
        raise ClientError(f"{path}: expected a number that is not negative.", code="invalid_request", param=path)
    return _request(wired, fields)


def _request(wired: Body, fields: dict[str, Raw]) -> Request:
    instructions, turns = _conversation(wired)
    includes = _strings(wired.include, "include")
    ext = {name: raw for name, raw in fields.items() if name not in _KNOWN and given(raw)}
    if not _OWN_INCLUDES.issuperset(includes):
        ext["include"] = wired.include
    text = read_optional(wired.text, wire.TextConfig, "text") or wire.TextConfig()
    return Request(
        model=wired.model or "",
        dialect="responses",
        instructions=instructions,
        turns=turns,
        tools=decode_tools(wired.tools),
        tool_choice=decode_tool_choice(wired.tool_choice),
        parallel_tools=wired.parallel_tool_calls,
        sampling=Sampling(
            temperature=wired.temperature,
            top_p=wired.top_p,
            logprobs=True if "message.output_text.logprobs" in includes else None,
            top_logprobs=wired.top_logprobs,
        ),
        max_output=wired.max_output_tokens,
        max_tool_calls=wired.max_tool_calls,
        reasoning=_reasoning(wired.reasoning),
        output=_output(text),
        verbosity=text.verbosity,
        cache=CacheHints(key=wired.prompt_cache_key, retention=wired.prompt_cache_retention),
        service_tier=wired.service_tier,
        end_user=wired.safety_identifier or wired.user,
        metadata=wired.metadata,
        state=StateRef(
            previous_response_id=wired.previous_response_id,
            conversation=_conversation_id(wired.conversation),
            store=wired.store,
            background=wired.background,
        ),
        stream=StreamOptions(on=bool(wired.stream)),
        ext=ext,
    )


def _reasoning(raw: Raw) -> ReasoningConfig | None:
    wired = read_optional(raw, _Reasoning, "reasoning")
    if wired is None:
        return None
    summary = wired.summary or wired.generate_summary
    return ReasoningConfig(
        effort=wired.effort, visible=True if summary and summary != "none" else None, summary=summary, raw=raw
    )


def _output(text: wire.TextConfig) -> OutputFormat | None:
    wired = text.format
    if wired is None:
        return None
    match wired.type:
        case "text":
            return OutputFormat("text")
        case "json_object":
            return OutputFormat("json")
        case "json_schema":
            schema = wired.schema if given(wired.schema) else None
            return OutputFormat("schema", wired.name, wired.description, schema, wired.strict)
        case other:
            path = "text.format.type"
            came = "nothing" if other is None else repr(other[:64])
            raise ClientError(
                f"{path}: expected text, json_object or json_schema, got {came}.", code="invalid_request", param=path
            )


def _conversation_id(raw: Raw) -> str | None:
    if first(raw) == b'"':
        return read(raw, str, "conversation")
    fields = read_optional(raw, dict[str, Raw], "conversation")
    return None if fields is None else read(fields.get("id", wire.NOTHING), str, "conversation.id")


def _strings(raw: Raw, path: str) -> list[str]:
    return read_optional(raw, list[str], path) or []


def _conversation(wired: Body) -> tuple[tuple[Instruction, ...], tuple[Turn, ...]]:
    """Instructions and turns. Leading system and developer items are instructions like the top-level field."""
    leading: list[Instruction] = []
    turns: list[Turn] = []
    if first(wired.instructions) == b'"':
        if text := read(wired.instructions, str, "instructions"):
            leading.append(Instruction((Text(text),)))
    elif given(wired.instructions):
        turns.extend(_turns(wire.array(wired.instructions, "instructions"), "instructions"))
    turns.extend(_input(wired))
    start = 0
    for turn in turns:
        if turn.role not in ("system", "developer") or not all(isinstance(part, Text) for part in turn.parts):
            break
        level = "developer" if turn.role == "developer" else "system"
        leading.append(Instruction(turn.parts, level))  # type: ignore[arg-type]  # all parts are Text
        start += 1
    return tuple(leading), tuple(turns[start:])


def _input(wired: Body) -> list[Turn]:
    if first(wired.input) == b'"':
        return [Turn("user", (Text(read(wired.input, str, "input")),))]
    if given(wired.input):
        return _turns(wire.array(wired.input, "input"), "input")
    return []


def _turns(raws: list[Raw], path: str) -> list[Turn]:
    grouping = _Grouping()
    for index, raw in enumerate(raws):
        where = f"{path}[{index}]"
        grouping.add(items.read_item(raw, where), raw, where)
    grouping.close()
    return grouping.turns


@dataclass(slots=True)
class _Open:
    """The turn that items are being gathered into."""

    role: Role
    parts: list[Part] = field(default_factory=list)
    phase: str | None = None
    id: str | None = None


@dataclass(slots=True)
class _Grouping:
    """Flat items -> turns: what the assistant says in a row is one turn, and so are tool results in a row.

    A turn has one phase, so a message of another phase begins a new turn; so does a message that directly follows
    another one, since two messages are not one text.
    """

    turns: list[Turn] = field(default_factory=list)
    open: _Open | None = None
    owed: dict[str, tuple[Carrier, ...]] = field(default_factory=dict)
    """Carriers of tool calls (by call id) whose reasoning item came before the call."""

    def add(self, item: wire.Item, raw: Raw, path: str) -> None:
        match item.type:
            case None | "message":
                self._message(item, path)
            case "reasoning":
                self._reasoning(item, path)
            case kind if kind in _CALLS:
                self._call(items.call(item, path))
            case kind if kind in _RESULTS:
                self._group("user").parts.append(items.result(item, path))
            case "compaction" | "compaction_summary":
                self._group("assistant").parts.append(items.compaction(item))
            case "item_reference":
                raise ClientError(
                    f"{path}: item references need stored items, which are not available here; send the item itself.",
                    code="item_reference_not_supported",
                    param=path,
                )
            case kind:
                self._other(item, raw, kind)

    def close(self) -> None:
        group, self.open = self.open, None
        if group is not None and group.parts:
            self.turns.append(Turn(group.role, tuple(group.parts), phase=group.phase, id=group.id))

    def _message(self, item: wire.Item, path: str) -> None:
        content = f"{path}.content"
        match item.role:
            case "user" | "system" | "developer" as role:
                self.close()
                parts = items.input_parts(item.content, content)
                if parts:
                    self.turns.append(Turn(role, parts, id=item.id))
            case "assistant":
                self._said(item, items.output_parts(item.content, content))
            case other:
                where = f"{path}.role" if item.type or other else f"{path}.type"
                came = "nothing" if other is None else repr(other[:64])
                raise ClientError(
                    f"{where}: expected user, assistant, system or developer, got {came}.",
                    code="invalid_request",
                    param=where,
                )

    def _said(self, item: wire.Item, parts: tuple[Part, ...]) -> None:
        group = self._group("assistant")
        spoken = any(isinstance(part, Text | Refusal) for part in group.parts)
        if spoken and (group.phase != item.phase or isinstance(_last_said(group.parts), Text | Refusal)):
            # Thoughts right before a message belong to that message.
            thoughts = _take_thoughts(group.parts)
            self.close()
            group = self._group("assistant")
            group.parts.extend(thoughts)
            spoken = False
        if not spoken:
            group.phase, group.id = item.phase, item.id
        group.parts.extend(parts)

    def _reasoning(self, item: wire.Item, path: str) -> None:
        part, envelope = items.reasoning(item, path)
        group = self._group("assistant")
        if envelope is not None and envelope.text:
            _sign_text(group.parts, envelope.carriers)
            return
        if envelope is None or envelope.call is None:
            group.parts.append(part)
            return
        for index, known in enumerate(group.parts):
            if isinstance(known, ToolCall) and known.id == envelope.call:
                group.parts[index] = msgspec.structs.replace(known, carriers=envelope.carriers)
                return
        self.owed[envelope.call] = envelope.carriers

    def _call(self, call: ToolCall) -> None:
        carriers = self.owed.pop(call.id, ())
        if carriers:
            call = msgspec.structs.replace(call, carriers=carriers)
        self._group("assistant").parts.append(call)

    def _other(self, item: wire.Item, raw: Raw, kind: str) -> None:
        part = items.hosted(item, raw)
        if part is None:
            self._group("assistant").parts.append(Opaque("responses", kind, raw))
        else:
            self._group("assistant" if kind in items.HOSTED_CALLS else "user").parts.append(part)

    def _group(self, role: Role) -> _Open:
        if self.open is None or self.open.role != role:
            self.close()
            self.open = _Open(role)
        return self.open


def _sign_text(parts: list[Part], carriers: tuple[Carrier, ...]) -> None:
    """Put the carriers on the text they stand behind; where there is none, they came with an empty one."""
    if parts and isinstance(last := parts[-1], Text) and not last.carriers:
        parts[-1] = msgspec.structs.replace(last, carriers=carriers)
    else:
        parts.append(Text("", carriers=carriers))


def _last_said(parts: list[Part]) -> Part | None:
    return next((part for part in reversed(parts) if not isinstance(part, Reasoning)), None)


def _take_thoughts(parts: list[Part]) -> list[Part]:
    start = len(parts)
    while start and isinstance(parts[start - 1], Reasoning):
        start -= 1
    taken = parts[start:]
    del parts[start:]
    return taken
