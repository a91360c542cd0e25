"""The conversation -> ``contents``: what the API demands of their order, built so that a longer conversation never
changes how its beginning is written (prompt caches and signatures are bound to the prefix).

The demands: a user begins; all results of one step stand in one content of their own, as many and in the order of the
calls, right behind them; no part is empty; the first call of every step carries a signature.
Spec: Gemini API, "Function calling", "Thought signatures".
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from asgi_llm.dialects.interface import Report
from asgi_llm.dialects.place import place
from asgi_llm.errors import TranslationError
from asgi_llm.neutral.request import Carrier, DialectName, Part, Reasoning, Text, ToolCall, ToolResult, Turn

from .models import Capabilities
from .names import call_id, flat_name
from .said import assistant_part, call_of, result_of, user_parts
from .signatures import SENTINEL, google_signature

__all__ = ["Content", "history"]

_OPENING = "Continue."
_PLACEHOLDER = "(no content)"
_NO_RESULT = "No result was recorded for this call."


@dataclass(slots=True)
class Content:
    role: str
    parts: list[Any] = field(default_factory=list)
    results: bool = False
    """Holds the results of a step, to which nothing else is added."""


@dataclass(slots=True)
class _Call:
    """One tool call, its id and name as written here, and what answered it."""

    call: ToolCall
    wire_id: str
    results: list[tuple[ToolResult, "_Place"]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return flat_name(self.call.name, self.call.namespace)


_Place = tuple[int, int]


def history(turns: Sequence[Turn], dialect: DialectName, model: Capabilities, report: Report) -> list[Content]:
    """The turns as contents.

    Raises:
        TranslationError: a turn holds content that the API cannot take, or the last word is the model's.
    """
    return _Writer(turns, dialect, model, report).write()


class _Writer:
    __slots__ = ("_calls", "_dialect", "_model", "_orphans", "_place", "_report", "_turns", "_unanswered", "contents")

    def __init__(self, turns: Sequence[Turn], dialect: DialectName, model: Capabilities, report: Report) -> None:
        self._turns = turns
        self._dialect = dialect
        self._model = model
        self._report = report
        self._calls, self._orphans = _pair(turns)
        self._unanswered: list[_Call] = []
        self._place: _Place = (0, 0)
        self.contents: list[Content] = []

    def write(self) -> list[Content]:
        try:
            return self._write()
        except TranslationError as error:
            turn, part = self._place
            error.param = place(self._dialect, turn, part)
            raise

    def _write(self) -> list[Content]:
        for index, turn in enumerate(self._turns):
            if turn.name:
                self._report.lose("turn.name")
            match turn.role:
                case "assistant":
                    self._assistant(index, turn.parts)
                case "user":
                    self._user(index, turn.parts)
                case "system" | "developer":
                    self._system(turn.parts)
        self._answer(last=True)
        if not self.contents:
            self._open("user").parts.append({"text": _OPENING})
        if self.contents[-1].role == "model":
            self._report.lose("prefill")
        return self.contents

    def _assistant(self, index: int, parts: Sequence[Part]) -> None:
        self._answer()  # a new step begins: the calls of the one before must have their results first
        written: list[Any] = []
        proof: tuple[Carrier, ...] = ()
        called = False
        for position, part in enumerate(parts):
            self._place = index, position
            match part:
                case ToolCall():
                    call = self._calls[index, position]
                    signature = google_signature(part.carriers) or google_signature(proof)
                    if signature is None and not called and self._model.signatures:
                        signature = SENTINEL
                    written.append(call_of(part, call.name, call.wire_id, signature, self._report))
                    self._unanswered.append(call)
                    called, proof = True, ()
                case Reasoning() if not part.text and not any(part.summary) and google_signature(part.carriers):
                    proof = part.carriers  # a signature alone: it belongs to what follows
                case _:
                    own = part.carriers if isinstance(part, Text) else ()
                    said = assistant_part(part, own or proof, self._dialect, self._report)
                    if said is not None:
                        written.append(said)
                        proof = ()
        if not written:
            return
        if not self.contents:
            self._open("user").parts.append({"text": _OPENING})
        self._open("model").parts.extend(written)

    def _user(self, index: int, parts: Sequence[Part]) -> None:
        self._answer()
        written: list[Any] = []
        for position, part in enumerate(parts):
            self._place = index, position
            if isinstance(part, ToolResult):
                if self._place in self._orphans:
                    written.extend(self._orphan(part))
            else:
                written.extend(user_parts(part, self._report))
        if not written and (not self.contents or self.contents[-1].role == "model"):
            written = [{"text": _PLACEHOLDER}]
        if written:
            self._open("user").parts.extend(written)

    def _system(self, parts: Iterable[Part]) -> None:
        self._answer()
        text = "\n\n".join(part.text for part in parts if isinstance(part, Text) and part.text)
        if text:
            self._report.lose("system_turn")
            self._open("user").parts.append({"text": f"<system-reminder>\n{text}\n</system-reminder>"})

    def _answer(self, *, last: bool = False) -> None:
        """Write the results of the calls just made, in the calls' order, before anything else is said."""
        calls, self._unanswered = self._unanswered, []
        if not calls or (last and not any(call.results for call in calls)):
            return
        results = Content("user", results=True)
        media: list[Any] = []
        for call in calls:
            if call.results:
                if len(call.results) > 1:
                    self._report.lose("tool_result_duplicate")
                result, self._place = call.results[-1]
            else:
                self._report.lose("tool_result_missing")
                result = ToolResult("", (Text(_NO_RESULT),), is_error=True)
            written, beside = result_of(result, call.name, call.wire_id, self._model, self._report)
            results.parts.append(written)
            media += beside
        self.contents.append(results)
        if media:
            self._open("user").parts.extend(media)

    def _orphan(self, result: ToolResult) -> list[Any]:
        self._report.lose("tool_result_orphan")
        written: list[Any] = [{"text": f"[tool result {result.name or result.call_id}]"}]
        for part in result.parts:
            written += user_parts(part, self._report)
        return written

    def _open(self, role: str) -> Content:
        """The content being written, or a new one where the role changes or results stand apart."""
        last = self.contents[-1] if self.contents else None
        if last is None or last.role != role or last.results:
            last = Content(role)
            self.contents.append(last)
        return last


def _pair(turns: Sequence[Turn]) -> tuple[dict[_Place, _Call], set[_Place]]:
    """Each call with its results, by place (turn, part); and the places of results that answer nothing.

    A result belongs to the first unanswered call before it that has its id, else to the last one. Ids that are used
    again get one of their own.
    """
    calls: dict[_Place, _Call] = {}
    orphans: set[_Place] = set()
    same: dict[str, list[_Call]] = {}
    for index, turn in enumerate(turns):
        for position, part in enumerate(turn.parts):
            if isinstance(part, ToolCall) and turn.role == "assistant":
                earlier = same.setdefault(part.id, [])
                call = calls[index, position] = _Call(part, call_id(part.id, len(earlier)))
                earlier.append(call)
            elif isinstance(part, ToolResult):
                if asked := same.get(part.call_id):
                    call = next((call for call in asked if not call.results), asked[-1])
                    call.results.append((part, (index, position)))
                else:
                    orphans.add((index, position))
    return calls, orphans
