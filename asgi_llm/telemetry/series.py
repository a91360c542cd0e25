"""Time series by their labels, so many and no more; and what is counted of one kind of exchange, found at once."""

from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from .histogram import Bounds, Count, Histogram

__all__ = ["Counts", "Histograms", "Labels", "Line"]

Labels = tuple[str, ...]
_MOST = 5000
"""Combinations of labels in one family; what comes later is counted under ``other``."""

T = TypeVar("T")


class _Series(Generic[T]):
    __slots__ = ("_new", "all")

    def __init__(self, new: Callable[[], T]) -> None:
        self._new = new
        self.all: dict[Labels, T] = {}

    def at(self, *labels: str) -> T:
        """The one with these labels."""
        found = self.all.get(labels)
        if found is None:
            if len(self.all) >= _MOST:
                labels = ("other",) * len(labels)
            found = self.all.setdefault(labels, self._new())
        return found


class Counts(_Series[Count]):
    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(Count)


class Histograms(_Series[Histogram]):
    __slots__ = ()

    def __init__(self, bounds: Bounds) -> None:
        super().__init__(partial(Histogram, bounds))


class Line:
    """What is counted of exchanges that are alike in all that labels tell.

    Attributes:
        call: labels of what the conventions name.
        error: what went wrong, or "".
        counts: each grows by one.
        durations, input, output, first, each: histograms; those that nothing was told of yet are None.
    """

    __slots__ = ("call", "counts", "durations", "each", "error", "first", "input", "output")

    def __init__(self, call: Labels, error: str, counts: tuple[Count, ...], durations: Histogram) -> None:
        self.call = call
        self.error = error
        self.counts = counts
        self.durations = durations
        self.input: Histogram | None = None
        self.output: Histogram | None = None
        self.first: Histogram | None = None
        self.each: Histogram | None = None
