"""The table of faults: the newest measurement of each, with a team's waits put in its place."""

from __future__ import annotations

from typing import Any

from tests.stack.fault_table import Waits, page, team_waits
from tests.stack.faults import DEAD_WORKER, QUEUED_AGAIN, RETRY
from tests.stack.running_stack import CHECKOUT, HEARTBEAT_TIMEOUT, QUEUE_TIMEOUT, RETRY_SECONDS

TEAM = Waits(heartbeat=240, queue=1800, retries={"train": 300}, other=60)
SHORT = HEARTBEAT_TIMEOUT + RETRY_SECONDS


def measured(seconds: float, **other: Any) -> dict[str, Any]:
    line = {"stage": "train", "fault": "kill -9", "happened": "went on", "when": "2026-01-01"}
    more = {"seconds": seconds, "waits": [DEAD_WORKER, RETRY], "test": "tests/x.py::test_y"}
    return line | more | other


def rows(*lines: dict[str, Any]) -> list[list[str]]:
    text = page(list(lines), TEAM)
    table = [line for line in text.splitlines() if line.startswith("| ")][1:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_waits_are_exchanged_by_stage() -> None:
    train = measured(SHORT + 7)
    push = measured(SHORT + 7, stage="push_model", test="tests/x.py::test_z")
    assert [row[3:5] for row in rows(train, push)] == [
        [f"{SHORT + 7} s", "547 s"],
        [f"{SHORT + 7} s", "307 s"],
    ]


def test_what_waits_for_nothing_takes_as_long_for_a_team() -> None:
    (row,) = rows(measured(12, waits=[]))
    assert row[3:5] == ["12 s", "12 s"]
    assert row[5] == "`tests/x.py::test_y`"


def test_what_is_queued_again_is_so_later_for_a_team() -> None:
    (row,) = rows(measured(QUEUE_TIMEOUT + 9, waits=[QUEUED_AGAIN]))
    assert row[3:5] == [f"{QUEUE_TIMEOUT + 9} s", "1809 s"]


def test_the_newest_measurement_counts() -> None:
    (row,) = rows(measured(50, waits=[]), measured(40, waits=[], when="2026-02-01"))
    assert row[3] == "40 s"
    assert "2026-02-01" in page([measured(1), measured(2, when="2026-02-01")], TEAM)


def test_a_teams_waits_are_those_of_the_stack_and_of_the_retraining() -> None:
    dag = (CHECKOUT / "dags" / "mammography_retraining.py").read_text()
    assert team_waits((CHECKOUT / "docker-compose.yaml").read_text(), dag) == TEAM
