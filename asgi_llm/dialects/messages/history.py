"""The conversation -> ``messages``: what the API demands of their order, built so that a longer conversation never
changes how its beginning is written (prompt caches and signatures are bound to the prefix).

The demands: roles alternate, a user begins; every tool call is answered in the very next user message, where results
come first and in the order of the calls; no message is empty, and no text is empty or white space only.
Spec: Anthropic Messages API, "Tool use: handling results".
"""

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct

from asgi_llm.dialects.interface import Report
from asgi_llm.dialects.place import place
from asgi_llm.errors import TranslationError
from asgi_llm.neutral.request import DialectName, Part, Text, ToolCall, ToolResult, Turn

from .names import call_id, flat_name
from .parts import Block, assistant_block, call_block, result_block, text_block, user_block

__all__ = ["History", "Message", "ends_in_thoughtless_loop", "history"]

_OPENING = "Continue."
_PLACEHOLDER = "(no content)"
_NO_RESULT = "No result was recorded for this call."


class Message(Struct):
    """A message as it goes out."""

    role: str
    content: list[Block] = []


class History(Struct):
    """The messages, and the names of all tools that were called in them, in order of first use."""

    messages: list[Message]
    called: list[str]


class _Call(Struct):
    """One tool call, its id as written here, and what answered it."""

    wire_id: str
    results: list[tuple[ToolResult, "_Place"]] = []


def history(turns: Sequence[Turn], dialect: DialectName, report: Report, *, system_turns: bool) -> History:
    """The turns as messages. ``dialect`` is the caller's. ``system_turns``: the model takes role system between turns.

    Raises:
        TranslationError: a turn holds content that the API cannot take.
    """
    return _Writer(turns, dialect, report, system_turns).write()


class _Writer:
    __slots__ = ("_dialect", "_pairs", "_place", "_report", "_system_turns", "_turns", "_unanswered", "messages")

    def __init__(self, turns: Sequence[Turn], dialect: DialectName, report: Report, system_turns: bool) -> None:
        self._turns = turns
        self._dialect = dialect
        self._report = report
        self._system_turns = system_turns
        self._pairs: _Pairs | None = None
        self._unanswered: list[_Call] = []
        self._place: _Place = (0, 0)
        self.messages: list[Message] = []

    def write(self) -> History:
        try:
            return self._write()
        except TranslationError as error:
            turn, part = self._place
            error.param = place(self._dialect, turn, part)
            raise

    def _write(self) -> History:
        called: dict[str, None] = {}
        for index, turn in enumerate(self._turns):
            if turn.name:
                self._report.lose("turn.name")
            if turn.role == "assistant":
                self._assistant(index, turn.parts, called)
            elif turn.role == "user":
                self._user(index, turn.parts)
            else:
                self._system(turn.parts)
        if self._unanswered and any(call.results for call in self._unanswered):
            self._answer()
        if not self.messages:
            self._say("user", [_text(_OPENING)])
        return History(self.messages, list(called))

    def _assistant(self, index: int, parts: Iterable[Part], called: dict[str, None]) -> None:
        blocks: list[Block] = []
        for position, part in enumerate(parts):
            block: Block | None
            if isinstance(part, Text) and not part.citations:
                block = text_block(part.text, part.cache)
            elif isinstance(part, ToolCall):
                call = self._paired().calls[index, position]
                name = flat_name(part.name, part.namespace)
                block = call_block(part, call.wire_id, name, self._report)
                called[name] = None
                self._unanswered.append(call)
            else:
                block = assistant_block(part, self._report)
            if block is not None:
                blocks.append(block)
        if not blocks:
            return
        if not self.messages:
            self._say("user", [_text(_OPENING)])
        self._say("assistant", blocks)

    def _user(self, index: int, parts: Sequence[Part]) -> None:
        if self._unanswered:
            self._answer()
        blocks: list[Block] = []
        for position, part in enumerate(parts):
            block: Block | None
            if isinstance(part, Text):
                block = text_block(part.text, part.cache)
            else:
                self._place = index, position
                if isinstance(part, ToolResult):
                    if self._place in self._paired().orphans:
                        blocks.extend(self._orphan(part))
                    continue
                block = user_block(part, self._report)
            if block is not None:
                blocks.append(block)
        if not blocks and (not self.messages or self.messages[-1].role == "assistant"):
            blocks = [_text(_PLACEHOLDER)]
        if blocks:
            self._say("user", blocks)

    def _system(self, parts: Iterable[Part]) -> None:
        if self._unanswered:
            self._answer()
        texts = [part for part in parts if isinstance(part, Text) and part.text and not part.text.isspace()]
        if not texts:
            return
        if self._system_turns and self.messages and self.messages[-1].role == "user":
            blocks = [block for part in texts if (block := text_block(part.text, part.cache)) is not None]
            self.messages.append(Message("system", list(blocks)))
            return
        self._report.lose("system_turn")
        text = "\n\n".join(part.text for part in texts)
        self._say("user", [_text(f"<system-reminder>\n{text}\n</system-reminder>")])

    def _answer(self) -> None:
        """Write the results of the calls just made, in the calls' order, before anything else is said."""
        calls, self._unanswered = self._unanswered, []
        blocks: list[Block] = []
        for call in calls:
            if call.results:
                if len(call.results) > 1:
                    self._report.lose("tool_result_duplicate")
                result, self._place = call.results[-1]
            else:
                self._report.lose("tool_result_missing")
                result = ToolResult("", (Text(_NO_RESULT),), is_error=True)
            blocks.append(result_block(result, call.wire_id, self._report))
        self._say("user", blocks)

    def _orphan(self, result: ToolResult) -> list[Block]:
        self._report.lose("tool_result_orphan")
        blocks: list[Block] = [_text(f"[tool result {result.call_id}]")]
        blocks.extend(b for part in result.parts if (b := user_block(part, self._report)) is not None)
        return blocks

    def _paired(self) -> "_Pairs":
        """Which result answers which call; not looked for in a conversation without tools."""
        if self._pairs is None:
            self._pairs = _pair(self._turns)
        return self._pairs

    def _say(self, role: str, blocks: list[Block]) -> None:
        """Go on with the message being written, or begin one where the role changes."""
        if self.messages and self.messages[-1].role == role:
            self.messages[-1].content.extend(blocks)
        else:
            self.messages.append(Message(role, blocks))


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


_Place = tuple[int, int]


class _Pairs(Struct):
    """Each call with its results, by place (turn, part); and the places of results that answer nothing."""

    calls: dict[_Place, _Call] = {}
    orphans: set[_Place] = set()


def _pair(turns: Sequence[Turn]) -> _Pairs:
    """A result belongs to the first unanswered call before it that has its id, else to the last one. Ids that are used
    again get one of their own."""
    pairs = _Pairs()
    same: dict[str, list[_Call]] = {}
    for index, turn in enumerate(turns):
        for position, part in enumerate(turn.parts):
            if isinstance(part, Text):
                continue
            if isinstance(part, ToolCall) and turn.role == "assistant":
                earlier = same.setdefault(part.id, [])
                call = pairs.calls[index, position] = _Call(call_id(part.id, len(earlier)))
                earlier.append(call)
            elif isinstance(part, ToolResult):
                if asked := same.get(part.call_id):
                    _answered(asked).results.append((part, (index, position)))
                else:
                    pairs.orphans.add((index, position))
    return pairs


def _answered(asked: list[_Call]) -> _Call:
    for call in asked:
        if not call.results:
            return call
    return asked[-1]


def ends_in_thoughtless_loop(messages: Sequence[Message]) -> bool:
    """Whether a tool loop is running whose last assistant message does not begin with its thoughts."""
    if len(messages) < 2 or messages[-2].role != "assistant":
        return False
    blocks = [block for block in messages[-2].content if isinstance(block, dict)]
    if not any(block["type"] == "tool_use" for block in blocks):
        return False
    return blocks[0]["type"] not in ("thinking", "redacted_thinking")
