"""Counting what happens with every message: one addition each."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

# From a local round trip to a drain; seconds.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Tally(Collector):
    """A counter by labels. For one thread: the event loop's."""

    def __init__(self, name: str, text: str, labels: tuple[str, ...]) -> None:
        self._family = (name, text, None, labels)
        self._counts: defaultdict[tuple[str, ...], int] = defaultdict(int)
        if not labels:
            self.known()

    def known(self, *labels: str) -> None:
        """Have the series there before it counts: a rate over what never happened is 0."""
        self._counts[labels] += 0

    def add(self, *labels: str) -> None:
        """Count one."""
        self._counts[labels] += 1

    def count(self, *labels: str) -> int:
        """Return how many there were."""
        return self._counts[labels]

    def describe(self) -> Iterator[Metric]:
        """Yield the name, which a registry takes once."""
        yield CounterMetricFamily(*self._family)

    def collect(self) -> Iterator[Metric]:
        """Yield the series."""
        family = CounterMetricFamily(*self._family)
        for labels, count in self._counts.items():
            family.add_metric(labels, count)
        yield family


@dataclass(slots=True)
class _Times:
    """How many fell into each bucket, the last one without an end, and their sum in seconds."""

    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    total: float = 0.0


class Timing(Collector):
    """A histogram of seconds by labels. For one thread: the event loop's."""

    def __init__(self, name: str, text: str, labels: tuple[str, ...]) -> None:
        self._family = (name, text, None, None, labels)
        self._times: defaultdict[tuple[str, ...], _Times] = defaultdict(_Times)

    def observe(self, seconds: float, *labels: str) -> None:
        """Count one that took so long."""
        times = self._times[labels]
        times.buckets[bisect_left(BUCKETS, seconds)] += 1
        times.total += seconds

    def describe(self) -> Iterator[Metric]:
        """Yield the name, which a registry takes once."""
        yield HistogramMetricFamily(*self._family)

    def collect(self) -> Iterator[Metric]:
        """Yield the series; a bucket's holds all that are not longer than its bound."""
        family = HistogramMetricFamily(*self._family)
        for labels, times in self._times.items():
            upto = 0
            rows = []
            for bound, count in zip((*BUCKETS, "+Inf"), times.buckets, strict=True):
                upto += count
                rows.append((str(bound), upto))
            family.add_metric(labels, rows, times.total)
        yield family
