"""StatsD lines: as Airflow sends them, and as nobody should."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_tasks.statsd.line import Kind, LineRefused, Reading, parse
from tests.counts import cases


@pytest.mark.parametrize(
    ("line", "reading"),
    [
        ("airflow.scheduler_heartbeat:1|c", (Kind.COUNTER, "airflow_scheduler_heartbeat_total", 1)),
        ("airflow.ti.start:2|c|@0.5", (Kind.COUNTER, "airflow_ti_start_total", 4)),
        ("airflow.executor.open_slots:3|g", (Kind.GAUGE, "airflow_executor_open_slots", 3)),
        ("airflow.dagrun.dependency-check:250|ms",
         (Kind.TIMER, "airflow_dagrun_dependency_check_seconds", 0.25)),
    ],
)  # fmt: skip
def test_kinds_names_and_units(line: str, reading: tuple[Kind, str, float]) -> None:
    kind, name, value = reading
    assert parse(line) == Reading(kind, name, (), value)


def test_tags_become_labels() -> None:
    found = parse("airflow.task.duration,task_id=clean.shard,dag_id=m:1500.5|ms")
    assert found.labels == (("dag_id", "m"), ("task_id", "clean.shard"))
    assert found.value == 1.5005


def test_a_tag_may_hold_a_colon() -> None:
    assert parse("a,run=manual__2026-01-01T00:00:00:1|c").labels == (
        ("run", "manual__2026-01-01T00:00:00"),
    )


@pytest.mark.parametrize("line", ["a:+2|g", "a:-2|g"])
def test_a_signed_gauge_is_a_step(line: str) -> None:
    assert parse(line).step


@pytest.mark.parametrize(
    "line",
    ["", "a", "a:1", ":1|c", "9a:1|c", "a:|c", "a:x|c", "a:nan|g", "a:inf|g", "a:1|s", "a:1|c|0.5",
     "a:1|c|@0", "a:1|c|@2", "a:1|c|@0.1|x", "a,b:1|c", "a,=b:1|c", "a,le=1:1|ms",
     "a,__name__=b:1|c"],
)  # fmt: skip
def test_anything_else_is_refused_and_quoted(line: str) -> None:
    with pytest.raises(LineRefused, match="'"):
        parse(line)


@settings(max_examples=cases(200, 5000))
@given(st.text(max_size=80) | st.from_regex(r"[a.,=_]{1,9}:[-+0-9.e]{1,8}\|(c|g|ms)(\|@.*)?"))
def test_no_text_does_anything_but_read_or_be_refused(line: str) -> None:
    try:
        found = parse(line)
    except LineRefused:
        return
    assert math.isfinite(found.value) and found.name.isascii()
