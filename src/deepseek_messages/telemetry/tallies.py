"""Counters and histograms that cost little to add to, and are read seldom.

prometheus_client takes a lock and walks the buckets at every observation, which is a measurable
part of a request; here an observation is one or two additions, made on the event loop's thread
only, and the library's own families are made of them when somebody looks.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family

Labels = tuple[str, ...]


class CounterTally:
    """A counter with labels."""

    def __init__(self, name: str, text: str, labels: Sequence[str]) -> None:
        self._described = (name, text, labels)
        self._values: dict[Labels, float] = {}

    def add(self, labels: Labels, by: float = 1) -> None:
        """Count."""
        values = self._values
        values[labels] = values.get(labels, 0) + by

    def collect(self) -> Iterable[Family]:
        """As prometheus_client's ``Collector``."""
        name, text, labels = self._described
        family = CounterMetricFamily(name, text, labels=labels)
        for values, number in self._values.items():
            family.add_metric(values, number)
        yield family


class HistogramTally:
    """A histogram with labels and the upper ends of its buckets."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str], buckets: Sequence[float]
    ) -> None:
        self._described = (name, text, labels)
        self._buckets = buckets
        self._counts: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}

    def observe(self, labels: Labels, value: float) -> None:
        """Add an observation."""
        counts = self._counts.get(labels)
        if counts is None:
            counts = self._counts[labels] = [0] * (len(self._buckets) + 1)
            self._sums[labels] = 0.0
        counts[bisect_left(self._buckets, value)] += 1
        self._sums[labels] += value

    def collect(self) -> Iterable[Family]:
        """As prometheus_client's ``Collector``."""
        name, text, labels = self._described
        family = HistogramMetricFamily(name, text, labels=labels)
        for values, counts in self._counts.items():
            total, rows = 0, []
            for end, count in zip((*map(_spelled, self._buckets), "+Inf"), counts, strict=True):
                total += count
                rows.append((end, total))
            family.add_metric(values, rows, self._sums[values])
        yield family


def _spelled(end: float) -> str:
    """As prometheus_client spells a bucket's upper end."""
    return str(float(end))
