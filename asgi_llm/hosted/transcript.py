"""The history of a conversation as an upstream can read it that has no such tools: what the gateway's tools were asked
and said is told as calls and results of functions.

It comes out as it was told while the answer was made, call by call, so that what an upstream has cached still holds.
"""

from collections.abc import Callable, Mapping

from msgspec import structs

from asgi_llm.neutral.ran import HostedForms, Ran
from asgi_llm.neutral.request import Part, Request, ServerCall, ServerResult, ToolCall, ToolResult, Turn

from .ids import batch_of
from .said import asked, told, unapproved

__all__ = ["History", "Name", "closed", "read_history", "retold"]

Name = Callable[[Ran], str]
"""What the tool of a call is called towards upstreams."""


class History:
    """What is in a history of the gateway's tools.

    Attributes:
        ran: by the ids of the calls.
        lists: the tools of servers that were listed, by label.
        pending: calls that were approved and not made yet.
        denied: why, by the ids of calls that were not approved.
    """

    __slots__ = ("denied", "lists", "pending", "ran")

    def __init__(self) -> None:
        self.ran: dict[str, Ran] = {}
        self.lists: dict[str, Ran] = {}
        self.pending: list[Ran] = []
        self.denied: dict[str, str] = {}


def read_history(request: Request, forms: HostedForms) -> History:
    found, answers, made = History(), dict[str, tuple[bool, str]](), set[str]()
    parts = [part for turn in request.turns for part in turn.parts]
    results = {part.call_id: part for part in parts if isinstance(part, ServerResult)}
    for part in parts:
        if isinstance(part, ServerResult) and (said := forms.approvals(part)) is not None:
            answers[said[0]] = said[1:]
        elif isinstance(part, ServerCall) and (ran := forms.read(part, results.get(part.id))) is not None:
            found.ran[ran.id] = ran
            if ran.approval is not None:
                made.add(ran.approval)
            if ran.kind == "mcp_list_tools" and ran.tools is not None and not ran.output:
                found.lists[ran.server] = ran
    for name, ran in found.ran.items():
        if ran.kind == "mcp_approval" and name not in made:
            approved, why = answers.get(name, (False, ""))
            if approved:
                found.pending.append(ran)
            else:
                found.denied[name] = why
    return found


def retold(turns: tuple[Turn, ...], history: History, named: Name, forms: HostedForms) -> tuple[Turn, ...]:
    out: list[Turn] = []
    for turn in turns:
        if not any(isinstance(part, ServerCall | ServerResult) for part in turn.parts):
            _add(out, turn)
        elif turn.role == "assistant":
            for piece in _Assistant(turn, history, named).pieces():
                _add(out, piece)
        else:
            kept = tuple(part for part in turn.parts if not _is_approval(part, forms))
            if kept:
                _add(out, structs.replace(turn, parts=kept))
    return tuple(out)


def _is_approval(part: Part, forms: HostedForms) -> bool:
    return isinstance(part, ServerResult) and forms.approvals(part) is not None


def _add(out: list[Turn], turn: Turn) -> None:
    """Results of one turn of the assistant's belong together, whoever gave them."""
    last = out[-1] if out else None
    if (
        last is not None
        and last.role == turn.role == "user"
        and all(isinstance(part, ToolResult) for part in last.parts)
        and isinstance(turn.parts[0], ToolResult)
    ):
        out[-1] = structs.replace(turn, parts=(*last.parts, *turn.parts))
    else:
        out.append(turn)


class _Assistant:
    """One turn of the assistant's as the turns that it was."""

    def __init__(self, turn: Turn, history: History, named: Name) -> None:
        self._turn = turn
        self._history = history
        self._named = named
        self._said: list[Part] = []
        self._results: list[ToolResult] = []
        self._out: list[Turn] = []

    def pieces(self) -> list[Turn]:
        batch = ""
        for part in self._turn.parts:
            known = self._known(part)
            if known is None:
                if self._results and not isinstance(part, ServerResult):
                    self._flush()
                if not (isinstance(part, ServerResult) and part.call_id in self._history.ran):
                    self._said.append(part)
                continue
            if not known:
                continue
            call, result = known
            if self._results and batch_of(call.id) != batch:
                self._flush()
            batch = batch_of(call.id)
            self._said.append(call)
            self._results.append(result)
        self._flush()
        return self._out

    def _known(self, part: Part) -> tuple[ToolCall, ToolResult] | tuple[()] | None:
        """The call and its result; neither where it need not be told; None where it is none of ours."""
        ran = self._history.ran.get(part.id or "") if isinstance(part, ServerCall) else None
        if ran is None:
            return None
        if ran.kind == "mcp_list_tools":
            return ()
        if ran.kind == "mcp_approval" and ran.id not in self._history.denied:
            return ()  # told by the call that it led to
        name = self._named(ran)
        if ran.kind == "mcp_approval":
            return asked(ran, name), unapproved(ran.id, self._history.denied[ran.id])
        return asked(ran, name), told(ran)

    def _flush(self) -> None:
        if self._said:
            self._out.append(structs.replace(self._turn, parts=tuple(self._said)))
        if self._results:
            self._out.append(Turn("user", tuple(self._results)))
        self._said, self._results = [], []


def closed(turns: tuple[Turn, ...], ran: Mapping[str, tuple[ToolCall, ToolResult]]) -> tuple[Turn, ...]:
    """``turns`` and after them the calls that were made since, with what they came to."""
    if not ran:
        return turns
    calls, results = zip(*ran.values(), strict=True)
    return (*turns, Turn("assistant", calls), Turn("user", results))
