"""Call ids that come again: some servers count their calls from zero in every answer.

The API looks calls up by id in the whole input, so each needs one of its own there. A pure function of the turns so
far: a turn that is added at the end changes nothing before it.
"""

from msgspec.structs import replace

from asgi_llm.neutral.request import Part, ToolCall, ToolResult, Turn

from .ids import derived

__all__ = ["with_own_ids"]


def with_own_ids(turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """The turns, with new ids for calls whose id an earlier turn has used, and for their results. From the later call
    on, the id means that one. (The same id twice in one turn is another matter: that is one call, told twice.)"""
    if not _come_again(turns):
        return turns
    ids = _Ids()
    return tuple(
        replace(turn, parts=tuple(ids.own(part, index) for part in turn.parts)) for index, turn in enumerate(turns)
    )


def _come_again(turns: tuple[Turn, ...]) -> bool:
    first: dict[str, int] = {}
    for index, turn in enumerate(turns):
        for part in turn.parts:
            if isinstance(part, ToolCall) and first.setdefault(part.id, index) != index:
                return True
    return False


class _Ids:
    """What each id means at this point of the conversation."""

    __slots__ = ("_times", "_turn", "_wire")

    def __init__(self) -> None:
        self._turn: dict[str, int] = {}
        self._times: dict[str, int] = {}
        self._wire: dict[str, str] = {}

    def own(self, part: Part, index: int) -> Part:
        match part:
            case ToolCall(id=call_id):
                if self._turn.setdefault(call_id, index) != index:
                    self._turn[call_id] = index
                    self._times[call_id] = times = self._times.get(call_id, 1) + 1
                    self._wire[call_id] = derived("call_", call_id, str(times))
                return replace(part, id=self._wire.get(call_id, call_id))
            case ToolResult(call_id=call_id):
                return replace(part, call_id=self._wire.get(call_id, call_id))
            case _:
                return part
