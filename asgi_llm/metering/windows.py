"""The time over which a quota counts, as numbered slots. Values in, values out: the caller brings the clock.

A sliding window is cut into ``_PIECES`` slots, and the one that is only partly inside still counts: so no stretch of
its length ever holds more than the limit, and what was used comes free up to a slot later than it could. A day or a
month of the calendar is one slot, numbered by the second in which it begins; a lifetime is the slot 0.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec import Struct

__all__ = ["Calendar", "Lifetime", "Sliding", "Span", "Window", "wait"]

_PIECES = 16
_FOREVER = 253402300799.0
"""The end of the year 9999, in seconds since the epoch."""


class Span(Struct, frozen=True, gc=False):
    """The window around a moment: slots from ``first`` to ``slot`` count, what is used now goes into ``slot``.

    ``keep`` is until when ``slot`` counts, ``reset`` until when nothing of the window can be had back where it is used
    up. It is the same for every moment from ``begin`` until ``end``. All are seconds since the epoch.
    """

    first: int
    slot: int
    keep: float
    reset: float
    begin: float
    end: float


class Sliding(Struct, frozen=True):
    """The last ``seconds``."""

    seconds: float

    @property
    def length(self) -> float:
        """Seconds of one slot."""
        return self.seconds / _PIECES

    def span(self, now: float) -> Span:
        length = self.length
        slot = int(now // length)
        leaves = self.leaves(slot)
        return Span(slot - _PIECES, slot, leaves, leaves, slot * length, (slot + 1) * length)

    def leaves(self, slot: int) -> float:
        """When ``slot`` stops counting."""
        return (slot + _PIECES + 1) * self.length


class Calendar(Struct, frozen=True):
    """The current day, or month, of a time zone."""

    unit: str
    zone: str = "UTC"

    def span(self, now: float) -> Span:
        zone = ZoneInfo(self.zone)
        begin = datetime.fromtimestamp(now, zone).replace(hour=0, minute=0, second=0, microsecond=0)
        if self.unit == "month":
            begin = begin.replace(day=1)
            later = (begin + timedelta(days=32)).replace(day=1)
        else:
            # Wall-clock arithmetic: days on which the clock is changed have 23 or 25 hours.
            later = begin + timedelta(days=1)
        slot, end = int(begin.timestamp()), later.timestamp()
        return Span(slot, slot, end, end, slot, end)

    def leaves(self, slot: int) -> float:
        return self.span(slot).reset


class Lifetime(Struct, frozen=True):
    """All time."""

    def span(self, now: float) -> Span:
        return Span(0, 0, _FOREVER, _FOREVER, 0, _FOREVER)

    def leaves(self, slot: int) -> float:
        return _FOREVER


Window = Sliding | Calendar | Lifetime


def wait(window: Window, slots: Mapping[int, int] | Iterable[tuple[int, int]], excess: int, now: float) -> float | None:
    """Seconds until ``excess`` of what ``slots`` hold counts no more; None if it never does."""
    if isinstance(window, Lifetime):
        return None
    for slot, amount in sorted(slots.items() if isinstance(slots, Mapping) else slots):
        excess -= amount
        if excess <= 0:
            return max(window.leaves(slot) - now, 0.001)
    return None
