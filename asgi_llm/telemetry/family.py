"""Metrics as they are told to whoever asks: families of samples, in nobody's format."""

from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec import Struct

from .histogram import Histogram
from .series import Counts, Histograms, Labels

__all__ = ["Family", "Sample"]


class Sample(Struct, frozen=True):
    """One time series: ``labels`` are the values of the family's labels; ``value`` is a number, or for a histogram the
    counts of its buckets (each with those below it), and ``sum``."""

    labels: Labels
    value: float = 0.0
    buckets: tuple[tuple[float, int], ...] = ()
    sum: float = 0.0


class Family(Struct, frozen=True):
    """``name`` as Prometheus has it, of a counter without its ``_total``; ``help`` is its own word for what it is."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: Labels
    samples: Sequence[Sample]

    @classmethod
    def counter(cls, name: str, help: str, labels: Labels, values: Counts) -> "Family":  # noqa: A002
        return cls(name, "counter", help, labels, [Sample(key, count.value) for key, count in values.all.items()])

    @classmethod
    def total(cls, name: str, help: str, labels: Labels, values: Iterable[tuple[Labels, float]]) -> "Family":  # noqa: A002
        """A counter that is kept elsewhere."""
        return cls(name, "counter", help, labels, [Sample(key, value) for key, value in values])

    @classmethod
    def gauge(cls, name: str, help: str, labels: Labels, values: Iterable[tuple[Labels, float]]) -> "Family":  # noqa: A002
        return cls(name, "gauge", help, labels, [Sample(key, value) for key, value in values])

    @classmethod
    def histogram(cls, name: str, help: str, labels: Labels, values: Histograms) -> "Family":  # noqa: A002
        return cls(name, "histogram", help, labels, [_told(key, value) for key, value in values.all.items()])


def _told(labels: Labels, histogram: Histogram) -> Sample:
    below, buckets = 0, []
    for bound, count in zip((*histogram.bounds, float("inf")), histogram.counts, strict=True):
        below += count
        buckets.append((bound, below))
    return Sample(labels, buckets=tuple(buckets), sum=histogram.sum)
