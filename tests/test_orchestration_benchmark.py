"""What the benchmark of the orchestration makes of a run's facts; how fast it is, it tells."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from benchmarks.orchestration import inside, overhead_rows, parse_rows, time_of
from benchmarks.table import PROJECT
from ml_tasks.local_stack.airflow_api import LogLine, TaskInstance

BEGIN = datetime(2026, 11, 29, tzinfo=UTC)


def line(second: float, event: str, logger: str = "ml_tasks.gate") -> LogLine:
    return LogLine(event=event, logger=logger, timestamp=BEGIN + timedelta(seconds=second))


def task(name: str, start: float, end: float, map_index: int = -1) -> TaskInstance:
    return TaskInstance(
        task_id=name,
        map_index=map_index,
        state="success",
        start_date=BEGIN + timedelta(seconds=start),
        end_date=BEGIN + timedelta(seconds=end),
    )


def log_of(name: str, start: float, end: float) -> list[LogLine]:
    """Of a task that starts a second before its stage, and ends one after it."""
    return [
        line(start, "Pre Execute", "task"),
        line(start + 1, f"{name} of run x"),
        line(end - 2, "PASSED the gate"),
        line(end - 1, "Done. Returned value not shown", "airflow.task"),
        line(end, "Pushing xcom", "task"),
    ]


def test_the_stages_own_work_is_from_its_first_line_to_its_return() -> None:
    """What it notes for MLflow after its last line is its work; what Airflow does then is not."""
    assert inside(log_of("gate", 10, 20)) == 8
    assert inside([line(1, "gate of run x"), line(5, "asked for approval")]) == 4
    assert inside([line(1, "begun"), line(5, "no stage")]) == 0
    assert inside([]) == 0


def test_a_run_is_parted_into_work_and_overhead_and_the_longest_shard_counts() -> None:
    tasks = [
        (task("plan", 5, 15), log_of("plan_cleaning", 5, 15)),
        (task("clean", 17, 27, 0), log_of("clean_shard", 17, 27)),
        (task("clean", 17, 37, 1), log_of("clean_shard", 17, 37)),
        (TaskInstance(task_id="approve", state="skipped"), []),
    ]
    run = time_of(40, tasks)
    assert [each.task for each in run.tasks] == ["plan", "clean"]
    assert (run.work, run.overhead, run.between) == (26, 14, 10)
    assert [each.around for each in run.tasks] == [2, 2]


@pytest.mark.parametrize(
    ("wall", "work", "met"), [(40, 30, True), (130, 100, False), (1080, 1000, True)]
)
def test_the_goal_is_seconds_or_a_share(wall: float, work: float, met: bool) -> None:
    lines = log_of("train", 0, work + 2)
    row = overhead_rows(time_of(wall, [(task("train", 0, work + 2), lines)]))[0]
    assert row.met is met
    assert row.figure == pytest.approx(wall - work)


def test_every_dag_file_is_read() -> None:
    rows = parse_rows(1)
    assert len(rows) == len(list((PROJECT / "dags").glob("*.py")))
    assert all(isinstance(row.figure, float) or row.figure.median > 0 for row in rows)
