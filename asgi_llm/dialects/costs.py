"""Takes what an upstream says of money out of its answers, for callers whom that is not for. Nothing else changes.

In a usage that is whatever has "cost" in its name, and whose key paid (``is_byok``). Beside it, Vercel's AI Gateway
tells in ``provider_metadata.gateway``, of an answer, an event, a message or a delta, and OpenRouter in
``openrouter_metadata``, by which way a request went, with whose key and for how much: none of it is the caller's.
``money.py`` reads what is taken out here.
"""

import re
from collections.abc import Callable, Iterator

from .spans import AmbiguousError, Edits, Member, Span, items, members
from .whole_events import WholeEvents

__all__ = ["HideCosts", "without_costs"]

_MARK = re.compile(rb'[cC]ost[A-Za-z_]*"|"is_byok"|"gateway"|"openrouter_metadata"')
_MONEY = re.compile(r"cost|^is_byok$", re.IGNORECASE)
_USAGES = ("usage", "usageMetadata")
_VENDORS = ("provider_metadata", "providerMetadata")
_WRAPPERS = ("message", "response", "delta", "x_groq")
"""Members of an event, or of a choice, that hold the answer or a part of it."""
_DEEPEST = 3
_DATA = re.compile(rb"^(data: ?)(\{.*\})", re.MULTILINE)


class HideCosts(WholeEvents):
    """A ``StreamFilter``."""

    __slots__ = ()
    longest = 32 * 1024 * 1024  # the event that repeats a whole answer has the costs at its end

    def _edit(self, data: bytes) -> bytes:
        if _MARK.search(data) is None:
            return data
        return _DATA.sub(lambda line: line[1] + without_costs(line[2]), data)


def without_costs(body: bytes) -> bytes:
    """``body`` (a whole answer, or an event) without it. What is no JSON object stays as it is."""
    if _MARK.search(body) is None:
        return body
    edits = Edits(body)
    try:
        for found, unwanted in _holders(body, 0, len(body), 0):
            out = [position for position, name in enumerate(found) if unwanted(name)]
            edits.remove([(place.start, place.end) for place in found.values()], out)
    except AmbiguousError:
        return body
    return edits.apply()


_Found = dict[str, Member]
_Unwanted = Callable[[str], object]


def _holders(body: bytes, start: int, end: int, depth: int) -> Iterator[tuple[_Found, _Unwanted]]:
    """The objects in which money may stand, and what is unwanted of each."""
    found = members(body, start, end)
    yield found, "openrouter_metadata".__eq__
    for name in _USAGES:
        if (inside := _within(body, found, name, b"{")) is not None:
            yield members(body, *inside), _MONEY.search
    for name in _VENDORS:
        if (inside := _within(body, found, name, b"{")) is not None:
            yield members(body, *inside), "gateway".__eq__
    if depth == _DEEPEST:
        return
    for name in _WRAPPERS:
        if (inside := _within(body, found, name, b"{")) is not None:
            yield from _holders(body, *inside, depth + 1)
    if (inside := _within(body, found, "choices", b"[")) is not None:
        for choice in items(body, *inside):
            if body[choice.start : choice.start + 1] == b"{":
                yield from _holders(body, *choice, depth + 1)


def _within(body: bytes, found: _Found, name: str, opening: bytes) -> Span | None:
    """Where the object, or the list, stands that ``name`` is."""
    place = found.get(name)
    if place is None or body[place.value : place.value + 1] != opening:
        return None
    return Span(place.value, place.end)
