"""What the readings add up to, in Prometheus' own text format."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from ml_tasks.statsd import series as module
from ml_tasks.statsd.line import parse
from ml_tasks.statsd.series import Series


class Clock:
    """A clock that the test moves."""

    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def series(clock: Clock) -> Series:
    return Series(first_zero=30, forget=300, now=clock)


def text(series: Series) -> list[str]:
    registry = CollectorRegistry()
    registry.register(series)
    return [line for line in generate_latest(registry).decode().splitlines() if line[0] != "#"]


def add(series: Series, *lines: str) -> list[bool]:
    return [series.add(parse(line)) for line in lines]


def test_counters_add_up_by_their_labels(series: Series, clock: Clock) -> None:
    add(series, "a,x=1:1|c", "a,x=1:2|c", "a,x=2:1|c", "a:5|c")
    clock.seconds += 31
    assert text(series) == ['a_total{x="1"} 3.0', 'a_total{x="2"} 1.0', "a_total 5.0"]


def test_a_new_counter_shows_zero_first(series: Series, clock: Clock) -> None:
    """Else increase() would not see the first failure of a task."""
    add(series, "a:1|c")
    clock.seconds += 29
    assert text(series) == ["a_total 0.0"]
    clock.seconds += 1
    assert text(series) == ["a_total 1.0"]


def test_a_counter_does_not_go_down(series: Series, clock: Clock) -> None:
    assert add(series, "a:3|c", "a:-1|c") == [True, False]
    clock.seconds += 31
    assert text(series) == ["a_total 3.0"]


def test_gauges_are_set_and_stepped(series: Series) -> None:
    add(series, "a:3|g", "a:+2|g", "a:-1|g", "b:7|g", "b:1|g")
    assert text(series) == ["a 4.0", "b 1.0"]


def test_a_gauge_that_nobody_tells_is_forgotten(series: Series, clock: Clock) -> None:
    """A queue of a scheduler that is gone must not be shown for ever."""
    add(series, "a:3|g", "b:3|g")
    clock.seconds += 200
    add(series, "b:3|g")
    clock.seconds += 101
    assert text(series) == ["b 3.0"]


def test_times_fall_into_buckets(series: Series, clock: Clock) -> None:
    add(series, "a:10|ms", "a:11|ms", "a:90000|ms", "a:90000000|ms")
    clock.seconds += 31
    found = dict(line.rsplit(" ", 1) for line in text(series))
    assert found['a_seconds_bucket{le="0.01"}'] == "1.0"  # the bound belongs to its bucket
    assert found['a_seconds_bucket{le="0.05"}'] == "2.0"
    assert found['a_seconds_bucket{le="60"}'] == "2.0"
    assert found['a_seconds_bucket{le="300"}'] == "3.0"
    assert found['a_seconds_bucket{le="86400"}'] == "3.0"
    assert found['a_seconds_bucket{le="+Inf"}'] == found["a_seconds_count"] == "4.0"
    assert float(found["a_seconds_sum"]) == pytest.approx(90090.021)


def test_a_flood_of_labels_ends_at_the_limit(
    series: Series, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_SERIES", 3)
    assert add(series, *(f"a,x={i}:1|g" for i in range(5))) == [True] * 3 + [False] * 2
    assert add(series, "a,x=1:2|g") == [True]
    clock.seconds += 301
    assert text(series) == []
    assert add(series, "b:1|g") == [True]  # what was forgotten makes room
