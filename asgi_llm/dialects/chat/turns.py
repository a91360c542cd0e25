"""Neutral instructions and turns -> the ``messages`` of a chat request.

Append-only: what a turn becomes depends on it and on what came before, and on the results that answer its calls,
so a conversation that goes on has the same beginning on the wire.
"""

from typing import Any

import msgspec

from asgi_llm.dialects.interface import Profile, Report
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
from .parts import PartWriter, document_text, opaque_text
from .thoughts import detail, extra_content
from .tools import NO_ARGUMENTS, WRAPPED_ARGUMENT, ToolWriter

__all__ = ["MessageWriter"]

_ATTRIBUTION = "x-anthropic-billing-header:"
"""Start of a client's attribution line, which varies between sessions and would ruin prefix caches."""
_NO_RESULT = "Error: no result was given for this tool call."


class MessageWriter:
    """Writes the messages of one request."""

    __slots__ = ("_history", "_messages", "_parts", "_profile", "_report", "_tools", "_turns")

    def __init__(self, request: Request, profile: Profile, report: Report, tools: ToolWriter) -> None:
        self._profile = profile
        self._report = report
        self._tools = tools
        self._turns = request.turns
        self._history = History.of(request.turns)
        self._parts = PartWriter(profile, report)
        self._messages: list[dict[str, Any]] = []

    def write(self, instructions: tuple[Instruction, ...]) -> list[dict[str, Any]]:
        if self._history.duplicates:
            self._report.lose("tool_result.duplicate")
        for instruction in instructions:
            self._instruction(instruction.level, instruction.parts, None)
        for index, turn in enumerate(self._turns):
            match turn.role:
                case "assistant":
                    self._assistant(turn, index)
                case "user":
                    self._user(turn, index)
                case "system" | "developer":
                    self._instruction(turn.role, turn.parts, turn.name)
        return self._messages

    def _say(self, role: str, content: object, name: str | None = None) -> None:
        message: dict[str, Any] = {"role": role, "content": content}
        if name is not None and self._profile.openai_extras:
            message["name"] = name
        self._messages.append(message)

    def _instruction(self, level: str, parts: tuple[Part, ...], name: str | None) -> None:
        texts = [part for part in parts if isinstance(part, Text) and not part.text.startswith(_ATTRIBUTION)]
        if any(not isinstance(part, Text) for part in parts):
            self._report.lose("instruction_content")
        if not texts:
            return
        role = level if self._profile.developer_role else "system"
        if any(text.cache is not None for text in texts) and self._profile.provider == "openrouter":
            self._say(role, self._parts.content(texts, "messages"), name)
        else:
            self._say(role, "\n\n".join(text.text for text in texts), name)

    def _user(self, turn: Turn, index: int) -> None:
        parts: list[Part] = []
        for position, part in enumerate(turn.parts):
            if not isinstance(part, ToolResult):
                parts.append(part)
            elif (index, position) in self._history.orphans:
                self._report.lose("tool_result.orphan")
                parts += _orphan(part)
        if parts:
            self._say("user", self._parts.content(parts, f"messages[{index}]"), turn.name)
        elif not turn.parts:
            self._say("user", "")

    def _assistant(self, turn: Turn, index: int) -> None:
        texts: list[str] = []
        refusals: list[str] = []
        thoughts: list[Reasoning] = []
        calls: list[tuple[Place, ToolCall, str]] = []
        message: dict[str, Any] = {"role": "assistant", "content": None}
        for position, part in enumerate(turn.parts):
            match part:
                case Text():
                    texts.append(part.text)
                case Refusal():
                    refusals.append(part.text)
                case Reasoning():
                    thoughts.append(part)
                case ToolCall():
                    place = (index, position)
                    seed = self._history.wire_seeds.get(place, part.id)
                    calls.append((place, part, wire_id(seed, self._profile.tool_id_limit)))
                case Audio(source=FileId(dialect="chat", id=audio_id)):
                    message["audio"] = {"id": audio_id}
                case _:
                    texts += self._lost(part, f"messages[{index}].content[{position}]")
        self._thoughts(message, thoughts, bool(calls))
        self._content(message, "".join(texts), "".join(refusals), bool(calls))
        if calls:
            message["tool_calls"] = [self._call(call, call_id) for _, call, call_id in calls]
        if len(message) > 2 or message["content"] or not _only_lost(turn):
            self._messages.append(message)
        if turn.name is not None and self._profile.openai_extras:
            message["name"] = turn.name
        self._answers(calls, last=index == len(self._turns) - 1)

    def _lost(self, part: Part, where: str) -> list[str]:
        """What is left of a part of an assistant turn that chat cannot say there: text, if anything."""
        match part:
            case ServerCall() | ServerResult():
                self._report.lose("server_tool_history")
            case Opaque() if (text := opaque_text(part)) is not None:
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
        if text or not (calls or "refusal" in message or "audio" in message or self._has_thoughts(message)):
            message["content"] = text
        elif not self._profile.openai_extras:
            message["content"] = ""  # templates of open models stumble over null

    def _has_thoughts(self, message: dict[str, Any]) -> bool:
        return "reasoning_details" in message

    def _thoughts(self, message: dict[str, Any], thoughts: list[Reasoning], calls: bool) -> None:
        readable = [thought.text or "\n\n".join(thought.summary) for thought in thoughts]
        field = self._profile.reasoning_field
        if field is not None:
            text = "".join(readable)
            # DeepSeek and Kimi insist on the field wherever there are calls, even if nothing is known.
            if text or (calls and field == "reasoning_content"):
                message[field] = text
        elif thoughts and self._profile.provider != "openrouter":
            self._report.lose("thinking")
        if self._profile.provider == "openrouter":
            self._details(message, thoughts, readable)

    def _details(self, message: dict[str, Any], thoughts: list[Reasoning], readable: list[str]) -> None:
        details: list[Any] = []
        for thought, text in zip(thoughts, readable, strict=True):
            for carrier in thought.carriers:
                if carrier.kind == "openrouter.detail":
                    entry = msgspec.json.decode(msgspec.json.encode(detail(carrier, len(details), 0, 0)))
                    if entry.get("type") == "reasoning.text" and text and not entry.get("text"):
                        entry["text"] = text
                    details.append(entry)
        if details:
            message["reasoning_details"] = details

    def _call(self, call: ToolCall, call_id: str) -> dict[str, Any]:
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
        if (extra := extra_content(call.carriers)) is not None and not self._profile.openai_extras:
            written["extra_content"] = extra
        return written

    def _answers(self, calls: list[tuple[Place, ToolCall, str]], *, last: bool) -> None:
        """One tool message for each call, in the order of the calls; media follow in user messages."""
        media: list[tuple[str, list[Part]]] = []
        for place, _, call_id in calls:
            result = self._history.answers.get(place)
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
            self._say("user", self._parts.content([label, *shown], "messages"))


def _only_lost(turn: Turn) -> bool:
    """Whether all that the turn said is of kinds that chat leaves out."""
    return bool(turn.parts) and not any(isinstance(part, Text | Refusal | ToolCall) for part in turn.parts)


def _result(result: ToolResult) -> tuple[str, list[Part]]:
    """The text of a tool message, and what must be shown in a user message instead."""
    texts: list[str] = []
    media: list[Part] = []
    for part in result.parts:
        match part:
            case Text(text=text) | Refusal(text=text) | ServerResult(text=text):
                texts.append(text)
            case Document() if (found := document_text(part)) is not None:
                texts.append(found)
            case Opaque() if (found := opaque_text(part)) is not None:
                texts.append(found)
            case _:
                media.append(part)
                texts.append(f"[{type(part).__name__.lower()}: see the user message below]")
    text = "\n\n".join(texts)
    if result.is_error and text.lstrip()[:5].lower() != "error":
        text = f"Error: {text}"
    return text, media


def _orphan(result: ToolResult) -> list[Part]:
    text, media = _result(result)
    return [Text(f"[tool result {result.call_id}] {text}"), *media]
