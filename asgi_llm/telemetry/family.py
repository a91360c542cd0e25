"""Metrics as they are told to whoever asks: families of samples, in nobody's format."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from .histogram import Histogram

__all__ = ["Family", "Sample"]

Labels = tuple[str, ...]


class Sample(Struct, frozen=True):
    """One time series: ``labels`` are the values of the family's labels; ``value`` is a number, or for a histogram the
    counts of its buckets (each with those below it), and ``sum``."""

    labels: Labels
    value: float = 0.0
    buckets: tuple[tuple[float, int], ...] = ()
    sum: float = 0.0


class Family(Struct, frozen=True):
    """``name`` as Prometheus has it, of a counter without its ``_total``."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: Labels
    samples: Sequence[Sample]

    @classmethod
    def counter(cls, name: str, help: str, labels: Labels, values: Mapping[Labels, float]) -> "Family":  # noqa: A002  # Prometheus' own word
        return cls(name, "counter", help, labels, [Sample(key, value) for key, value in values.items()])

    @classmethod
    def gauge(cls, name: str, help: str, labels: Labels, values: Iterable[tuple[Labels, float]]) -> "Family":  # noqa: A002
        return cls(name, "gauge", help, labels, [Sample(key, value) for key, value in values])

    @classmethod
    def histogram(cls, name: str, help: str, labels: Labels, values: Mapping[Labels, Histogram]) -> "Family":  # noqa: A002
        return cls(name, "histogram", help, labels, [_told(key, value) for key, value in values.items()])


def _told(labels: Labels, histogram: Histogram) -> Sample:
    below, buckets = 0, []
    for bound, count in zip((*histogram.bounds, float("inf")), histogram.counts, strict=True):
        below += count
        buckets.append((bound, below))
    return Sample(labels, buckets=tuple(buckets), sum=histogram.sum)
