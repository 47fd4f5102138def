"""The series that the readings add up to, as Prometheus collects them."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from ml_tasks.statsd.line import Kind, Reading

# From one turn of the scheduler to a day of training.
SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 900, 3600, 14400, 86400)
MOST_SERIES = 10_000  # label sets; what would be one more is counted and left out

Labels = tuple[tuple[str, str], ...]


@dataclass
class _Series:
    """One label set of one name: a sum, and for times how many fell below which bound."""

    born: float
    told: float
    value: float = 0.0
    counts: list[int] = field(default_factory=lambda: [0] * (len(SECONDS) + 1))


class Series(Collector):
    """Adds readings up; safe to read from one thread while another adds.

    `first_zero`: a new counter shows 0 for so many seconds, more than one scrape apart: Prometheus'
    increase() sees steps only, and would miss the first failure of a task altogether.
    `forget`: a gauge that nobody has told for so many seconds is no longer shown.
    """

    def __init__(
        self,
        first_zero: float = 30.0,
        forget: float = 300.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._first_zero, self._forget, self._now = first_zero, forget, now
        self._lock = threading.Lock()
        self._known: dict[tuple[str, Kind], dict[Labels, _Series]] = {}
        self._size = 0

    def add(self, reading: Reading) -> bool:
        """Takes the reading in; False where it would be one label set too many or goes down."""
        if reading.kind is not Kind.GAUGE and reading.value < 0:
            return False
        with self._lock:
            series = self._of(reading)
            if series is None:
                return False
            series.told = self._now()
            if reading.kind is Kind.GAUGE and not reading.step:
                series.value = reading.value
            else:
                series.value += reading.value
            if reading.kind is Kind.TIMER:
                series.counts[bisect_left(SECONDS, reading.value)] += 1
        return True

    def collect(self) -> Iterator[Metric]:
        """All names with their label sets, as they are now."""
        with self._lock:
            self._drop_silent_gauges()
            metrics = [self._metric(name, kind) for name, kind in sorted(self._known)]
        yield from metrics

    def _of(self, reading: Reading) -> _Series | None:
        sets = self._known.setdefault((reading.name, reading.kind), {})
        series = sets.get(reading.labels)
        if series is None and self._size < MOST_SERIES:
            now = self._now()
            series = sets[reading.labels] = _Series(now, now)
            self._size += 1
        return series

    def _drop_silent_gauges(self) -> None:
        oldest = self._now() - self._forget
        for (_, kind), sets in self._known.items():
            if kind is Kind.GAUGE:
                for labels in [key for key, series in sets.items() if series.told < oldest]:
                    del sets[labels]
                    self._size -= 1

    def _metric(self, name: str, kind: Kind) -> Metric:
        kinds = {Kind.COUNTER: "counter", Kind.GAUGE: "gauge", Kind.TIMER: "histogram"}
        metric = Metric(name.removesuffix("_total"), f"Airflow's {name}", kinds[kind])
        for labels, series in self._known[name, kind].items():
            if kind is Kind.GAUGE:
                metric.add_sample(name, dict(labels), series.value)
                continue
            shown = 0 if self._now() - series.born < self._first_zero else 1
            if kind is Kind.COUNTER:
                metric.add_sample(name, dict(labels), series.value * shown)
            else:
                _add_histogram(metric, dict(labels), series, shown)
        return metric


def _add_histogram(metric: Metric, labels: dict[str, str], series: _Series, shown: int) -> None:
    below = 0
    for bound, count in zip((*map(str, SECONDS), "+Inf"), series.counts, strict=True):
        below += count * shown
        metric.add_sample(f"{metric.name}_bucket", {**labels, "le": bound}, below)
    metric.add_sample(f"{metric.name}_sum", labels, series.value * shown)
    metric.add_sample(f"{metric.name}_count", labels, below)
