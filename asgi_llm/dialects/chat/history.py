"""Which tool result answers which call.

Chat Completions wants every call of an assistant message answered directly behind it, by ids that are unique there.
Callers of other dialects, and sloppy ones of this, send results late, twice, never, or for calls that are not there.
"""

from dataclasses import dataclass, field

from asgi_llm.neutral.request import ToolCall, ToolResult, Turn

__all__ = ["History", "Place"]

Place = tuple[int, int]
"""A part: index of its turn, index in the turn."""


@dataclass(slots=True)
class History:
    """The answers by the place of their call, and the results that answer none.

    Built in one walk in order; an id that comes again in a later turn means the later call from then on.
    """

    answers: dict[Place, ToolResult] = field(default_factory=dict)
    orphans: set[Place] = field(default_factory=set)
    duplicates: bool = False
    wire_seeds: dict[Place, str] = field(default_factory=dict)
    """What to make the wire id of, for calls whose id occurs more than once in their turn."""

    @classmethod
    def of(cls, turns: tuple[Turn, ...]) -> "History":
        history = cls()
        calls: dict[str, list[Place]] = {}
        for index, turn in enumerate(turns):
            for position, part in enumerate(turn.parts):
                if type(part) is ToolCall:
                    places = calls.get(part.id)
                    if places is None or places[0][0] != index:
                        calls[part.id] = [(index, position)]
                    else:
                        history.wire_seeds[index, position] = f"{part.id}\0{len(places)}"
                        places.append((index, position))
                elif type(part) is ToolResult:
                    history._result(part, (index, position), calls.get(part.call_id))
        return history

    def _result(self, result: ToolResult, place: Place, places: list[Place] | None) -> None:
        if places is None:
            self.orphans.add(place)
            return
        for called in places:
            if called not in self.answers:
                self.answers[called] = result
                return
        self.duplicates = True
        self.answers[places[-1]] = result
