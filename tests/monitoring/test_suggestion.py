"""What follows from drift: once for a release and a day, with a cooldown, whoever runs it again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ml_tasks.config_operation import DriftConfig
from ml_tasks.errors import AuditError
from ml_tasks.monitoring.suggestion import Action, Suggestion, decide, suggest_retraining
from ml_tasks.monitoring.verdict import DriftReport, DriftVerdict
from ml_tasks.release.audit import AuditEntry, Deed, read_audit

TODAY = datetime.now(UTC)
SUGGESTS, STARTS = DriftConfig(), DriftConfig(retrain=True)


def report(day: int = 0, version: str = "v1", **fields: Any) -> DriftReport:
    until = TODAY + timedelta(days=day)
    told = {
        "day": f"{until:%Y-%m-%d}",
        "run_id": "r",
        "version": version,
        "verdict": DriftVerdict.DRIFT,
        "reason": "5 of 10 figures have drifted",
        "since": "",
        "until": until.isoformat(),
        "window_days": 7,
    }
    return DriftReport.model_validate({**told, **fields})


def after(releases: Path, day: int, policy: DriftConfig, version: str = "v1") -> Suggestion:
    return suggest_retraining(releases, report(day, version), policy, TODAY + timedelta(days=day))


def deeds(releases: Path) -> list[Deed]:
    return [entry.deed for entry in read_audit(releases)]


def test_by_default_drift_only_suggests(tmp_path: Path) -> None:
    suggestion = after(tmp_path, 0, SUGGESTS)
    assert suggestion.action is Action.SUGGEST
    assert suggestion.reason.startswith("a retraining is suggested: DRIFT: 5 of 10 figures")
    (entry,) = read_audit(tmp_path)
    assert entry.deed is Deed.RETRAINING_SUGGESTED
    assert entry.why == "DRIFT: 5 of 10 figures have drifted"
    assert entry.subject == f"v1 on {TODAY:%Y-%m-%d}"


def test_switched_on_it_starts(tmp_path: Path) -> None:
    assert after(tmp_path, 0, STARTS).action is Action.START
    assert deeds(tmp_path) == [Deed.RETRAINING_STARTED]


@pytest.mark.parametrize("verdict", [v for v in DriftVerdict if v is not DriftVerdict.DRIFT])
def test_without_drift_nothing_follows(tmp_path: Path, verdict: DriftVerdict) -> None:
    told = report(verdict=verdict)
    suggestion = suggest_retraining(tmp_path, told, STARTS)
    assert suggestion == Suggestion(action=Action.NONE, reason=told.summary())
    assert deeds(tmp_path) == []


@pytest.mark.parametrize("policy", [SUGGESTS, STARTS])
def test_the_same_evidence_is_noted_once(tmp_path: Path, policy: DriftConfig) -> None:
    first, second = after(tmp_path, 0, policy), after(tmp_path, 0, policy)
    assert (first.new, second.new) == (True, False)
    assert first.action is second.action, "a start whose event was never recorded goes on"
    assert "nothing is noted twice" in second.reason
    assert len(deeds(tmp_path)) == 1


@pytest.mark.parametrize("policy", [SUGGESTS, STARTS])
def test_in_the_cooldown_the_reason_is_shown_with_the_next_day(
    tmp_path: Path, policy: DriftConfig
) -> None:
    after(tmp_path, 0, policy)
    held = after(tmp_path, 13, policy)
    assert held.action is Action.NONE
    noted = datetime.fromisoformat(read_audit(tmp_path)[0].at)  # midnight may have passed since
    assert f"on {noted:%Y-%m-%d}; next on {noted + timedelta(days=14):%Y-%m-%d}" in held.reason
    assert held.reason.endswith("DRIFT: 5 of 10 figures have drifted")
    assert len(deeds(tmp_path)) == 1
    assert after(tmp_path, 15, policy).action is not Action.NONE
    assert len(deeds(tmp_path)) == 2


def test_another_release_does_not_end_the_cooldown(tmp_path: Path) -> None:
    """Else a retraining on the same data would start the next one as soon as it is released."""
    after(tmp_path, 0, STARTS)
    assert after(tmp_path, 1, STARTS, "v2").action is Action.NONE


def test_a_suggestion_does_not_hold_up_whoever_switches_starting_on(tmp_path: Path) -> None:
    after(tmp_path, 0, SUGGESTS)
    assert after(tmp_path, 0, STARTS).action is Action.START
    assert after(tmp_path, 1, SUGGESTS).action is Action.NONE
    assert deeds(tmp_path) == [Deed.RETRAINING_SUGGESTED, Deed.RETRAINING_STARTED]


def test_without_a_cooldown_each_day_counts(tmp_path: Path) -> None:
    policy = DriftConfig(cooldown_days=0)
    assert [after(tmp_path, day, policy).new for day in (0, 1, 1)] == [True, True, False]


def test_other_deeds_do_not_count() -> None:
    entry = AuditEntry(at=TODAY.isoformat(), who="x", deed=Deed.PUSHED, subject="v1")
    assert decide(report(), SUGGESTS, [entry], TODAY).new


def test_a_damaged_audit_log_is_an_error(tmp_path: Path) -> None:
    """What was asked for before is not known then."""
    (tmp_path / "audit.jsonl").write_text("{}\n")
    with pytest.raises(AuditError, match="restore it from a copy"):
        after(tmp_path, 0, SUGGESTS)
