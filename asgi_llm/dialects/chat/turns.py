"""Neutral instructions and turns -> the ``messages`` of a chat request.

Append-only: what a turn becomes depends on it and on what came before, and on the results that answer its calls,
so a conversation that goes on has the same beginning on the wire.
"""

from typing import Any

import msgspec

from asgi_llm.dialects.interface import Profile, Report
from asgi_llm.dialects.place import conversation_field, place
from asgi_llm.neutral.request import (
    Audio,
    Document,
    FileId,
    Image,
    Instruction,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Request,
    ServerCall,
    ServerResult,
    Text,
    ToolCall,
    ToolResult,
    Turn,
    Video,
)

from .history import History, Place
from .names import wire_id
from .parts import PartWriter, document_text
from .thoughts import detail, extra_content
from .tools import NO_ARGUMENTS, WRAPPED_ARGUMENT, ToolWriter

__all__ = ["MessageWriter"]

_ATTRIBUTION = "x-anthropic-billing-header:"
"""Start of a client's attribution line, which varies between sessions and would ruin prefix caches."""
_NO_RESULT = "Error: no result was given for this tool call."


class MessageWriter:
    """Writes the messages of one request."""

    __slots__ = ("_dialect", "_messages", "_parts", "_profile", "_report", "_tools", "_turns")

    def __init__(self, request: Request, profile: Profile, report: Report, tools: ToolWriter) -> None:
        self._profile = profile
        self._report = report
        self._tools = tools
        self._turns = request.turns
        self._dialect = request.dialect
        self._parts = PartWriter(profile, report)
        self._messages: list[dict[str, Any]] = []

    def write(self, instructions: tuple[Instruction, ...]) -> list[dict[str, Any]]:
        for instruction in instructions:
            self._instruction(instruction.level, instruction.parts, None)
        history: History | None = None
        for index, turn in enumerate(self._turns):
            role, parts = turn.role, turn.parts
            if role != "user" and role != "assistant":
                self._instruction(role, parts, turn.name)
            elif len(parts) == 1 and type(part := parts[0]) is Text and part.cache is None:
                self._say(role, part.text, turn.name)  # most turns are a text and nothing else
            else:
                history = history or self._past()
                write = self._user if role == "user" else self._assistant
                write(turn, index, history)
        return self._messages

    def _past(self) -> History:
        history = History.of(self._turns)
        if history.duplicates:
            self._report.lose("tool_result.duplicate")
        return history

    def _say(self, role: str, content: object, name: str | None = None) -> None:
        message: dict[str, Any] = {"role": role, "content": content}
        if name is not None and self._profile.openai_extras:
            message["name"] = name
        self._messages.append(message)

    def _instruction(self, level: str, parts: tuple[Part, ...], name: str | None) -> None:
        texts: list[Text] = []
        for part in parts:
            if type(part) is not Text:
                self._report.lose("instruction_content")
            elif not part.text.startswith(_ATTRIBUTION):
                texts.append(part)
        if not texts:
            return
        role = level if self._profile.developer_role else "system"
        if self._profile.cache_marks and any(text.cache is not None for text in texts):
            self._say(role, self._parts.content(texts, "messages"), name)
        else:
            self._say(role, "\n\n".join([text.text for text in texts]), name)

    def _user(self, turn: Turn, index: int, history: History) -> None:
        parts: list[Part] = []
        for position, part in enumerate(turn.parts):
            if type(part) is not ToolResult:
                parts.append(part)
            elif history.orphans and (index, position) in history.orphans:
                self._report.lose("tool_result.orphan")
                parts += _orphan(part)
        if parts:
            content = self._parts.content(parts, place(self._dialect, index))
            if content or not _only_lost(turn):
                self._say("user", content, turn.name)
        elif not turn.parts:
            self._say("user", "")

    def _assistant(self, turn: Turn, index: int, history: History) -> None:
        texts: list[str] = []
        refusals: list[str] = []
        thoughts: list[Reasoning] = []
        calls: dict[Place, dict[str, Any]] = {}
        message: dict[str, Any] = {"role": "assistant", "content": None}
        for position, part in enumerate(turn.parts):
            if type(part) is Text:
                texts.append(part.text)
            elif type(part) is ToolCall:
                at = (index, position)
                calls[at] = self._call(part, history.wire_seeds.get(at, part.id), first=not calls)
            elif type(part) is Reasoning:
                thoughts.append(part)
            elif type(part) is Refusal:
                refusals.append(part.text)
            elif type(part) is Audio and isinstance(part.source, FileId) and part.source.dialect == "chat":
                message["audio"] = {"id": part.source.id}
            else:
                texts += self._lost(part, place(self._dialect, index, position))
        self._content(message, "".join(texts), "".join(refusals), bool(calls))
        if thoughts or (calls and self._profile.reasoning_always):
            self._thoughts(message, thoughts, bool(calls))
        if calls:
            message["tool_calls"] = list(calls.values())
        if len(message) > 2 or message["content"] or not _only_lost(turn):
            self._messages.append(message)
        if turn.name is not None and self._profile.openai_extras:
            message["name"] = turn.name
        if calls:
            self._answers(calls, history, last=index == len(self._turns) - 1)

    def _lost(self, part: Part, where: str) -> list[str]:
        """What is left of a part of an assistant turn that chat cannot say there: text, if anything."""
        match part:
            case ServerCall() | ServerResult():
                self._report.lose("server_tool_history")
            case Opaque(text=text) if text:
                return [text]
            case Image() | Document() | Audio() | Video() | Opaque():
                self._report.lose("assistant_content")
            case _:
                return [item["text"] for item in self._parts.part(part, where) if isinstance(item, dict)]
        return []

    def _content(self, message: dict[str, Any], text: str, refusal: str, calls: bool) -> None:
        if refusal and self._profile.openai_extras:
            message["refusal"] = refusal
        else:
            text += refusal
        if text or not (calls or "refusal" in message or "audio" in message):
            message["content"] = text
        elif not self._profile.openai_extras:
            message["content"] = ""  # templates of open models stumble over null

    def _thoughts(self, message: dict[str, Any], thoughts: list[Reasoning], calls: bool) -> None:
        readable = [thought.text or "\n\n".join(thought.summary) for thought in thoughts]
        field, text = self._profile.reasoning_field, "".join(readable)
        if field == "content":
            if text:
                message["content"] = _thinking_parts(text, message["content"])
        elif field is not None:
            if text or (calls and self._profile.reasoning_always):
                message[field] = text
        elif thoughts and self._profile.reasoning_details is None:
            self._report.lose("thinking")
        if self._profile.reasoning_details is not None:
            self._details(message, thoughts, readable)
            if not message["content"] and "reasoning_details" in message:
                message["content"] = None

    def _details(self, message: dict[str, Any], thoughts: list[Reasoning], readable: list[str]) -> None:
        details: list[Any] = []
        for thought, text in zip(thoughts, readable, strict=True):
            for carrier in thought.carriers:
                if carrier.kind == "openrouter.detail":
                    entry = msgspec.json.decode(msgspec.json.encode(detail(carrier, len(details), 0, 0)))
                    if entry.get("type") == "reasoning.text" and text and not entry.get("text"):
                        entry["text"] = text
                    details.append(entry)
            if self._profile.reasoning_details == "all" and text and not thought.carriers:
                details.append({"type": "reasoning.text", "index": len(details), "text": text})
        if details:
            message["reasoning_details"] = details

    def _call(self, call: ToolCall, seed: str, *, first: bool) -> dict[str, Any]:
        call_id = wire_id(seed, self._profile.tool_id_limit)
        name = self._tools.names.wire(call.name, call.namespace)
        if call.kind == "text" and self._profile.custom_tools:
            return {"id": call_id, "type": "custom", "custom": {"name": name, "input": call.arguments}}
        arguments = call.arguments if call.arguments.strip() else NO_ARGUMENTS
        if call.kind == "text":
            arguments = msgspec.json.encode({WRAPPED_ARGUMENT: call.arguments}).decode()
        written: dict[str, Any] = {
            "id": call_id,
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        }
        if self._profile.call_signatures and (extra := self._signature(call, first=first)) is not None:
            written["extra_content"] = extra
        return written

    def _signature(self, call: ToolCall, *, first: bool) -> dict[str, Any] | None:
        """What proves the call; of several in one message only the first needs to be proved."""
        if (extra := extra_content(call.carriers)) is not None or not first:
            return extra
        filler = self._profile.signature_filler
        return None if filler is None else {"google": {"thought_signature": filler}}

    def _answers(self, calls: dict[Place, dict[str, Any]], history: History, *, last: bool) -> None:
        """One tool message for each call, in the order of the calls; media follow in user messages."""
        media: list[tuple[str, list[Part]]] = []
        for at, call in calls.items():
            call_id, result = call["id"], history.answers.get(at)
            if result is not None:
                text, shown = _result(result)
                if shown:
                    media.append((call_id, shown))
                self._messages.append({"role": "tool", "tool_call_id": call_id, "content": text})
            elif not last:
                self._report.lose("tool_result.missing")
                self._messages.append({"role": "tool", "tool_call_id": call_id, "content": _NO_RESULT})
        for call_id, shown in media:
            label = Text(f"[content of the result of tool call {call_id}]")
            self._say("user", self._parts.content([label, *shown], conversation_field(self._dialect)))


def _thinking_parts(thought: str, text: str | None) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = [{"type": "thinking", "thinking": [{"type": "text", "text": thought}]}]
    return [*parts, {"type": "text", "text": text}] if text else parts


def _only_lost(turn: Turn) -> bool:
    """Whether all that the turn said is of kinds that chat leaves out."""
    return bool(turn.parts) and not any(isinstance(part, Text | Refusal | ToolCall) for part in turn.parts)


def _result(result: ToolResult) -> tuple[str, list[Part]]:
    """The text of a tool message, and what must be shown in a user message instead."""
    parts = result.parts
    if len(parts) == 1 and type(part := parts[0]) is Text and not result.is_error:
        return part.text, []
    texts: list[str] = []
    media: list[Part] = []
    for part in parts:
        if (text := _readable(part)) is None:
            media.append(part)
            text = f"[{type(part).__name__.lower()}: see the user message below]"
        texts.append(text)
    text = "\n\n".join(texts)
    if result.is_error and text.lstrip()[:5].lower() != "error":
        text = f"Error: {text}"
    return text, media


def _readable(part: Part) -> str | None:
    """A part of a tool result as text, where it is text."""
    match part:
        case Text(text=text) | Refusal(text=text) | ServerResult(text=text):
            return text
        case Document():
            return document_text(part)
        case Opaque():
            return part.text or None
        case _:
            return None


def _orphan(result: ToolResult) -> list[Part]:
    text, media = _result(result)
    return [Text(f"[tool result {result.call_id}] {text}"), *media]
