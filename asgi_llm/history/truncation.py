"""What is left out of a conversation that is too long for its model, towards upstreams that do not do that themselves.

OpenAI Responses API reference, ``truncation``: the oldest items go first. Here whole turns go, so that no call loses
its result; of the last turn its oldest steps, each a round of calls with their results. What the user said last stays,
and so do messages of the system. How much goes is rounded up in coarse steps, counted from the beginning: a
conversation that grows is cut in the same place for a while, and caches hold.
"""

from collections.abc import Sequence

import msgspec
from msgspec import Struct, structs

from asgi_llm.dialects.interface import Warned
from asgi_llm.pipeline.plan import Leg, Plan

__all__ = ["CUT", "Truncation", "truncates"]

CUT = Warned("truncation", "cut", "The oldest turns of the conversation are left out: it is too long for the model.")
_STEPS = 3
"""How often less is asked: half of the conversation, a quarter, an eighth."""
_MEDIUM = 8192
"""Bytes that an item with a picture or file counts for, at most: its own say nothing about tokens."""
_BYTES_PER_TOKEN = 4
_SYSTEM = ("system", "developer")


class _Item(Struct):
    type: str | None = None
    role: str | None = None
    call_id: str | None = None

    @property
    def users(self) -> bool:
        return self.type in (None, "message") and self.role == "user"

    @property
    def stays(self) -> bool:
        return self.type in (None, "message") and self.role in _SYSTEM

    @property
    def result(self) -> bool:
        return (self.type or "").endswith("_output")


_item = msgspec.json.Decoder(_Item)


def truncates(leg: Leg) -> bool:
    """Whether the upstream of ``leg`` leaves things out by itself."""
    return leg.dialect.name == "responses" and leg.crew.target.profile.origin


class Truncation:
    """``items`` are those of the whole input, ``rest`` is the bytes of all else that the model is told, ``answer`` the
    tokens that it may say. ``orphans``: the beginning is missing, and with it perhaps the calls of results."""

    __slots__ = ("_answer", "_cuts", "_rest", "_weights")

    def __init__(self, items: Sequence[bytes], rest: int = 0, answer: int = 0, *, orphans: bool = False) -> None:
        read = [_read(item) for item in items]
        self._weights = [_weight(item) for item in items]
        self._rest = rest
        self._answer = answer
        self._cuts = [_orphans(read) if orphans else frozenset[int]()]
        segments = _segments(read)
        for step in range(1, _STEPS + 1):
            gone = self._cuts[0] | _without_calls(read, _oldest(segments, self._weights, step))
            if gone != self._cuts[-1]:
                self._cuts.append(gone)

    def extended(self, plan: Plan) -> Plan:
        """``plan`` with more legs behind it: the last one that may take what is too long for others, told less each
        time."""
        last = next((leg for leg in reversed(plan.legs) if leg.on != "failure"), plan.legs[0])
        if truncates(last):
            return plan
        again = (structs.replace(last, on="overflow", cut=cut) for cut in range(1, len(self._cuts)))
        return structs.replace(plan, legs=(*plan.legs, *again))

    def gone(self, leg: Leg) -> frozenset[int]:
        """The places of the items that ``leg`` is not told: as many as it takes, where its window is known."""
        cut, last = min(leg.cut, len(self._cuts) - 1), len(self._cuts) - 1
        window = leg.crew.target.window(leg.model)
        while window is not None and cut < last and self._tokens(self._cuts[cut]) > window:
            cut += 1
        return self._cuts[cut]

    def _tokens(self, gone: frozenset[int]) -> int:
        """Rather too few: an upstream that says so mends that, and what is left out needlessly nothing does."""
        size = sum(weight for place, weight in enumerate(self._weights) if place not in gone)
        return (size + self._rest) // _BYTES_PER_TOKEN + self._answer


def _read(item: bytes) -> _Item:
    try:
        return _item.decode(item)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _Item()  # whoever is asked says best what is wrong with it


def _weight(item: bytes) -> int:
    return min(len(item), _MEDIUM) if b"base64," in item or b'"file_data"' in item else len(item)


def _segments(items: list[_Item]) -> list[list[int]]:
    """What may go, the oldest first: turns, and the steps of the last one but the last."""
    turns: list[list[int]] = [[]]
    for place, item in enumerate(items):
        if item.stays:
            continue
        if item.users and turns[-1] and not items[turns[-1][-1]].users:
            turns.append([])
        turns[-1].append(place)
    steps: list[list[int]] = [[]]
    for place in turns[-1]:
        if items[place].users:
            continue
        if steps[-1] and items[steps[-1][-1]].result and not items[place].result:
            steps.append([])
        steps[-1].append(place)
    return [*turns[:-1], *steps[:-1]]


def _oldest(segments: list[list[int]], weights: list[int], step: int) -> frozenset[int]:
    total = sum(weights)
    unit = max(1, 1 << max(0, total.bit_length() - 4))
    goal = -(-(total - (total >> step)) // unit) * unit
    gone, weight = list[int](), 0
    for segment in segments:
        if weight >= goal:
            break
        gone += segment
        weight += sum(weights[place] for place in segment)
    return frozenset(gone)


def _without_calls(items: list[_Item], gone: frozenset[int]) -> frozenset[int]:
    """``gone`` and the results, wherever they stand, of calls that are among it."""
    calls = {items[place].call_id for place in gone if not items[place].result} - {None}
    orphans = (place for place, item in enumerate(items) if item.result and item.call_id in calls)
    return gone | frozenset(orphans)


def _orphans(items: list[_Item]) -> frozenset[int]:
    """Results without their calls."""
    calls, found = set[str | None](), []
    for place, item in enumerate(items):
        if item.result and item.call_id is not None and item.call_id not in calls:
            found.append(place)
        elif not item.result:
            calls.add(item.call_id)
    return frozenset(found)
