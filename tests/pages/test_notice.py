"""The words of a notice: what happened and where to look; nothing of patients, files or paths."""

from __future__ import annotations

import json

import pytest

from ml_tasks.errors import DataError
from ml_tasks.pages.notice import (
    Notice,
    NoticeEvent,
    failure_line,
    late_line,
    page_link,
    verdict_line,
)
from ml_tasks.records import Decision, RuleResult, Verdict


def test_a_failure_names_the_task_and_the_kind_of_error_alone() -> None:
    """What an error says may name a patient's file."""
    secret = "/data/raw/Positive/Jane_Doe.png is no image"
    for error in (DataError(secret), Exception(f"DataError: {secret}"), OSError(2, secret)):
        line = failure_line("validate_data", error)
        assert "Jane" not in line and "/data" not in line
        assert line.startswith("validate_data failed (")
    assert "(DataError)" in failure_line("t", Exception("DataError: x"))
    assert "(StorageError)" in failure_line("t", Exception("StorageError: x"))
    assert "(stopped)" in failure_line("t", None)


def test_a_name_that_an_error_begins_with_is_not_taken_for_its_kind() -> None:
    for error in (ValueError("JaneDoe"), Exception("JaneDoe: no image"), KeyError("JaneDoe")):
        assert "Jane" not in failure_line("train", error)
    assert "(ValueError)" in failure_line("train", ValueError("JaneDoe"))


def test_a_verdict_says_which_rules_decided() -> None:
    rule = RuleResult(rule="min_auc", verdict=Verdict.FAIL, sentence="AUC 0.71 is below 0.80")
    line = verdict_line(Decision(run_id="r", verdict=Verdict.FAIL, rules=(rule,)))
    assert line == "the model FAILED the gate: AUC 0.71 is below 0.80"


def test_lateness_says_until_when() -> None:
    assert "by 2026-01-05 03:00 UTC" in late_line("2026-01-05T03:00:00+00:00")
    assert "by soon" in late_line("soon")


@pytest.mark.parametrize("event", NoticeEvent)
def test_a_post_holds_what_slack_shows_and_what_programs_read(event: NoticeEvent) -> None:
    link = page_link("http://here:8080/", "d", "manual__2026-01-01T00:00:00+00:00", "gate")
    assert (
        link == "http://here:8080/dags/d/runs/manual__2026-01-01T00%3A00%3A00%2B00%3A00/tasks/gate"
    )
    notice = Notice(event=event, dag="d", run="r", line="a <line>", link=link)
    payload = json.loads(json.dumps(notice.payload()))
    assert set(payload) == {"text", "event", "dag", "run", "link"}
    assert payload["text"] == f"{notice.subject()}\nd, run r: a <line>\n{link}"
    assert "a &lt;line&gt;" in notice.html()
