"""Turns -> input items.

The rules that the API enforces are met here: every result has its call, every call its result, thoughts stand before
what they led to, ids are legal. Everything is a function of the turns alone, and a turn that is added at the end
changes nothing before it.
"""

from typing import Any

import msgspec

from asgi_llm.dialects.interface import Profile, Report
from asgi_llm.dialects.searched import searched
from asgi_llm.neutral.request import (
    Compaction,
    HostedTool,
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
)

from .content import Content
from .definitions import Form, ToolTable
from .ids import call_id, derived, legal_item_id, own_search_id
from .repeats import with_own_ids

__all__ = ["History"]

_NO_RESULT = "No result is available for this call."
_SPOKEN = frozenset({"message", "function_call", "custom_tool_call"})

_TYPED_CALLS = {
    "apply_patch": ("apply_patch_call", "operation"),
    "shell": ("shell_call", "action"),
    "local_shell": ("local_shell_call", "action"),
    "computer": ("computer_call", "action"),
}


class History:
    """Writes the items of one request."""

    def __init__(self, request: Request, profile: Profile, tools: ToolTable, report: Report) -> None:
        self._request = request
        self._turns = with_own_ids(request.turns)
        self._profile = profile
        self._tools = tools
        self._report = report
        self._content = Content(request, report)
        self._own = request.dialect == "responses"
        self._native = profile.origin
        self._stored = bool(request.state.previous_response_id or request.state.conversation)
        self._calls: dict[str, ToolCall] = {}
        self._results: dict[str, ToolResult] = {}
        self._answered: set[str] = set()
        self._items: list[dict[str, Any] | msgspec.Raw] = []

    def write(self, instructions: list[Instruction]) -> list[Any]:
        """The items, ``instructions`` first (those that are not in the top-level field)."""
        self._survey()
        for instruction in instructions:
            self._message(instruction.level, list(instruction.parts), None)
        last = len(self._turns) - 1
        for index, turn in enumerate(self._turns):
            if turn.role == "assistant":
                self._assistant(turn)
                if index != last:
                    self._complete(turn)
            else:
                self._other(turn)
        items = self._without_orphan_thoughts()
        if not items and not self._stored and "prompt" not in self._request.ext:
            # Nothing but empty text was said. The API wants something to answer; empty text will do.
            items.append({"type": "message", "role": "user", "content": [{"type": "input_text", "text": ""}]})
        return items

    def _survey(self) -> None:
        for turn in self._turns:
            for part in turn.parts:
                if isinstance(part, ToolCall):
                    self._calls.setdefault(part.id, part)
                elif isinstance(part, ToolResult):
                    if part.call_id in self._results:
                        self._report.lose("duplicate_result")
                    self._results[part.call_id] = part

    # What the assistant said

    def _assistant(self, turn: Turn) -> None:
        spoken: list[Any] = []
        item_id = turn.id
        for part in turn.parts:
            match part:
                case Text() | Refusal():
                    if part.text or isinstance(part, Refusal):
                        spoken.append(_said(part))
                    continue
                case _:
                    if spoken:
                        self._say(spoken, turn.phase, item_id)
                        spoken, item_id = [], None
            self._assistant_item(part)
        if spoken:
            self._say(spoken, turn.phase, item_id)

    def _say(self, content: list[Any], phase: str | None, item_id: str | None) -> None:
        item: dict[str, Any] = {"type": "message", "role": "assistant", "content": content}
        legal = legal_item_id(item_id, "msg_") if self._own else None
        if legal is not None:
            item["id"] = legal
            item["status"] = "completed"
        if phase is not None:
            item["phase"] = phase
        self._items.append(item)

    def _assistant_item(self, part: Part) -> None:
        match part:
            case Reasoning():
                self._think(part)
            case ToolCall():
                self._call(part)
            case ServerCall() | ServerResult():
                self._server(part)
            case Compaction():
                self._compaction(part)
            case Opaque():
                self._opaque_item(part)
            case _:
                self._report.lose("assistant_media")

    def _think(self, part: Reasoning) -> None:
        carrier = next(
            (
                carrier
                for carrier in part.carriers
                if carrier.kind == "openai.encrypted" and carrier.provider in (None, self._profile.provider)
            ),
            None,
        )
        known = legal_item_id(part.id or (carrier.item_id if carrier is not None else None), "rs_")
        if carrier is None and not self._readable(part, known):
            self._report.lose("reasoning")
            return
        proof = carrier.data if carrier is not None else part.text
        item: dict[str, Any] = {
            "type": "reasoning",
            "id": known or derived("rs_", proof, *part.summary),
            "summary": [{"type": "summary_text", "text": text} for text in part.summary],
        }
        if part.text and not self._native:
            item["content"] = [{"type": "reasoning_text", "text": part.text}]
        if carrier is not None:
            item["encrypted_content"] = carrier.data
        self._items.append(item)

    def _readable(self, part: Reasoning, known: str | None) -> bool:
        """Whether the upstream can make use of a thought without its encrypted content: the origin of one that it
        stored under its id, an open engine of the plain text."""
        if self._native:
            return self._own and known is not None and self._request.state.store is not False
        return bool(part.text or part.summary)

    def _call(self, call: ToolCall) -> None:
        if self._calls[call.id] is not call:
            self._report.lose("duplicate_call")
            return
        form = self._tools.form(call)
        wire_id = call_id(call.id, self._profile.tool_id_limit)
        if form.kind == "typed" and form.typed in _TYPED_CALLS:
            self._items.append(self._typed(call, form, wire_id))
            return
        item: dict[str, Any] = {"type": "function_call"}
        prefix = "fc_"
        if form.kind == "custom":
            item["type"], prefix = "custom_tool_call", "ctc_"
        if self._own and (known := legal_item_id(call.item_id, prefix)) is not None:
            item["id"] = known
        item["call_id"] = wire_id
        item["name"] = form.name
        if form.namespace is not None:
            item["namespace"] = form.namespace
        if form.kind == "custom":
            item["input"] = call.arguments
        elif form.kind == "wrapped":
            item["arguments"] = msgspec.json.encode({"input": call.arguments}).decode()
        else:
            item["arguments"] = call.arguments if call.arguments.strip() else "{}"
        self._items.append(item)

    def _typed(self, call: ToolCall, form: Form, wire_id: str) -> dict[str, Any]:
        kind, key = _TYPED_CALLS[form.typed or ""]
        prefix = {"local_shell_call": "lsh_", "computer_call": "cu_"}.get(kind, "")
        item_id = legal_item_id(call.item_id, "") or derived(prefix or "item_", call.id)
        arguments = call.arguments if call.arguments.strip() else "{}"
        item: dict[str, Any] = {"type": kind, "id": item_id, "call_id": wire_id, "status": "completed"}
        if key == "action" and arguments.lstrip()[:1] == "[":
            key = "actions"
        item[key] = msgspec.Raw(arguments.encode())
        if kind == "computer_call":
            item["pending_safety_checks"] = []
        return item

    def _server(self, part: ServerCall | ServerResult) -> None:
        if part.dialect == "responses" and part.raw is not None:
            self._items.append(part.raw)
        elif isinstance(part, ServerCall) and (item := self._own_search(part)) is not None:
            self._items.append(item)
        elif not (isinstance(part, ServerResult) and own_search_id(part.call_id) is not None):
            self._report.lose("server_tools")

    def _own_search(self, call: ServerCall) -> dict[str, Any] | None:
        """A search that this API ran and a caller of another was told of. Thoughts that led to it want it back."""
        if (item_id := own_search_id(call.id)) is None or (found := searched(call, call.arguments)) is None:
            return None
        if not (self._native or any(isinstance(tool, HostedTool) for tool in self._request.tools)):
            return None
        action = {"type": "search", "query": found.queries[0]}
        return {"type": "web_search_call", "id": item_id, "status": "completed", "action": action}

    def _compaction(self, part: Compaction) -> None:
        if part.text:
            self._message("user", [Text(part.text)], None)
            return
        carrier = part.carrier
        if carrier is None or carrier.kind != "openai.encrypted" or not self._native:
            self._report.lose("compaction", self._content.field)
            return
        item: dict[str, Any] = {"type": "compaction", "encrypted_content": carrier.data}
        if (known := legal_item_id(carrier.item_id, "cmp_")) is not None:
            item["id"] = known
        self._items.append(item)

    def _opaque_item(self, part: Opaque) -> None:
        if part.dialect == "responses":
            self._items.append(part.raw)
        else:
            self._report.lose("opaque")

    def _complete(self, turn: Turn) -> None:
        """An answered call is answered where its result stands; one without any result gets an empty one."""
        for part in turn.parts:
            if isinstance(part, ToolCall) and part.id not in self._results and self._calls[part.id] is part:
                self._report.lose("orphan_call")
                self._items.append(self._output(part, ToolResult(part.id, (Text(_NO_RESULT),), is_error=True)))

    # What everybody else said

    def _other(self, turn: Turn) -> None:
        pending: list[Part] = []
        for part in turn.parts:
            match part:
                case ToolResult():
                    self._flush(turn, pending)
                    self._result(part)
                case ServerCall() | ServerResult():
                    self._flush(turn, pending)
                    self._server(part)
                case Compaction():
                    self._flush(turn, pending)
                    self._compaction(part)
                case Opaque() if turn.role != "user" and part.dialect != "responses":
                    self._report.lose("opaque")
                case Reasoning() | ToolCall():
                    # Only an assistant thinks and calls; whoever wrote this elsewhere meant no such thing.
                    self._report.lose("opaque")
                case _:
                    pending.append(part)
        self._flush(turn, pending)

    def _flush(self, turn: Turn, pending: list[Part]) -> None:
        if pending:
            self._message(turn.role, pending, turn.id)
            pending.clear()

    def _message(self, role: str, parts: list[Part], item_id: str | None) -> None:
        content = self._content.parts(parts)
        if not content:
            return
        item: dict[str, Any] = {"type": "message", "role": role, "content": content}
        if self._own and (known := legal_item_id(item_id, "msg_")) is not None:
            item["id"] = known
        self._items.append(item)

    def _result(self, part: ToolResult) -> None:
        if part.call_id in self._answered:
            return
        self._answered.add(part.call_id)
        last = self._results[part.call_id]
        call = self._calls.get(part.call_id)
        if call is not None or self._stored:
            self._items.append(self._output(call, last))
            return
        self._report.lose("orphan_result")
        label: list[Part] = [Text(f"[tool result {part.call_id}]")]
        self._message("user", label + list(last.parts), None)

    def _output(self, call: ToolCall | None, result: ToolResult) -> dict[str, Any]:
        wire_id = call_id(result.call_id, self._profile.tool_id_limit)
        form = self._tools.form(call) if call is not None else None
        if form is not None and form.kind == "typed":
            return self._content.typed_output(form.typed or "", wire_id, result)
        custom = form.kind == "custom" if form is not None else result.kind == "text"
        return {
            "type": "custom_tool_call_output" if custom else "function_call_output",
            "call_id": wire_id,
            "output": self._content.output(result, listed=self._native),
        }

    def _without_orphan_thoughts(self) -> list[Any]:
        """A thought that led to nothing is refused by the API."""
        kept: list[Any] = []
        led_to_something = False
        for item in reversed(self._items):
            if isinstance(item, dict) and item["type"] == "reasoning":
                if not led_to_something:
                    continue
            else:
                led_to_something = isinstance(item, msgspec.Raw) or (
                    (item["type"] in _SPOKEN and item.get("role", "assistant") == "assistant")
                    or item["type"].endswith("_call")
                )
            kept.append(item)
        kept.reverse()
        return kept


def _said(part: Text | Refusal) -> dict[str, Any]:
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text}
    return {"type": "output_text", "text": part.text, "annotations": []}
