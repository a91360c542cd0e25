"""Takes what an upstream says of money out of its answers, for callers whom that is not for. Nothing else changes.

Sources: OpenRouter, "Usage accounting" (``cost``, ``cost_details``, ``is_byok``); xAI (``cost_in_usd_ticks``); Vercel
AI Gateway (``provider_metadata.gateway``, there or in a message).
"""

import re
from collections.abc import Iterator

from .spans import AmbiguousError, Edits, Member, members
from .whole_events import WholeEvents

__all__ = ["HideCosts", "without_costs"]

_MARK = re.compile(rb'"(?:cost|is_byok|market_?[cC]ost|provider_?[mM]etadata|gateway)')
_MONEY = frozenset(
    {"cost", "cost_details", "cost_in_usd_ticks", "is_byok", "market_cost", "marketCost", "upstream_inference_cost"}
)
_USAGES = ("usage", "usageMetadata")
_VENDORS = ("provider_metadata", "providerMetadata")
_WRAPPERS = ("message", "response", "delta")
"""Members of an event, or of a choice, that hold the answer or a part of it."""
_DATA = re.compile(rb"^(data: ?)(\{.*\})", re.MULTILINE)


class HideCosts(WholeEvents):
    """A ``StreamFilter``."""

    __slots__ = ()

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
        for found in _holders(body, 0, len(body), 0):
            unwanted = [position for position, name in enumerate(found) if name in _MONEY]
            edits.remove([(place.start, place.end) for place in found.values()], unwanted)
    except AmbiguousError:
        return body
    return edits.apply()


def _holders(body: bytes, start: int, end: int, depth: int) -> Iterator[dict[str, Member]]:
    """The objects in which money may stand."""
    found = members(body, start, end)
    for name in _USAGES:
        if (inside := _object(body, found, name)) is not None:
            yield members(body, *inside)
    for name in _VENDORS:
        if (inside := _object(body, found, name)) is not None:
            vendor = members(body, *inside)
            if (gateway := _object(body, vendor, "gateway")) is not None:
                yield members(body, *gateway)
    if depth < 2:
        for name in _WRAPPERS:
            if (inside := _object(body, found, name)) is not None:
                yield from _holders(body, *inside, depth + 1)


def _object(body: bytes, found: dict[str, Member], name: str) -> tuple[int, int] | None:
    place = found.get(name)
    if place is None or body[place.value : place.value + 1] != b"{":
        return None
    return place.value, place.end
