"""Metrics for Prometheus, through its own library: a collector for a registry, and the text of an answer.

The only importer of prometheus_client, which is an extra.
"""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from .family import Family

__all__ = ["FamilyCollector", "exposed"]


class FamilyCollector(Collector):
    """For ``prometheus_client.REGISTRY.register``; ``families`` is asked at each scrape, in whatever thread."""

    def __init__(self, families: Callable[[], Iterable[Family]]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        for family in self._families():
            yield _metric(family)

    def describe(self) -> Iterable[Metric]:
        """Nothing: what there is shows only when it is collected."""
        return ()


def exposed(families: Iterable[Family], accept: str) -> tuple[bytes, str]:
    """Text and content type, in the format that ``accept`` asks for."""
    registry = CollectorRegistry()
    told = list(families)
    registry.register(FamilyCollector(lambda: told))
    encoder, content_type = choose_encoder(accept)
    return encoder(registry), content_type


def _metric(family: Family) -> Metric:
    if family.kind == "histogram":
        histogram = HistogramMetricFamily(family.name, family.help, labels=family.labels)
        for sample in family.samples:
            buckets = [("+Inf" if bound == float("inf") else repr(bound), count) for bound, count in sample.buckets]
            histogram.add_metric(sample.labels, buckets, sample.sum)
        return histogram
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = kind(family.name, family.help, labels=family.labels)
    for sample in family.samples:
        metric.add_metric(sample.labels, sample.value)
    return metric
