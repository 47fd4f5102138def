"""Whether drift asks for a retraining now: at most once for a release and a day, with a cooldown.

The audit log is the memory: what it holds was asked for, whatever became of the task. Its line is
written before the event that starts the retraining, so a crash between the two can at worst leave
a line without an event (the red task says so, and clearing it emits the event); it can never start
two retrainings.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from ml_tasks.config_operation import DriftConfig
from ml_tasks.monitoring.verdict import DriftReport
from ml_tasks.records import Record
from ml_tasks.release.audit import AuditEntry, Deed, note, read_audit
from ml_tasks.storage import locked

_ASKED = (Deed.RETRAINING_SUGGESTED, Deed.RETRAINING_STARTED)


class Action(StrEnum):
    """What follows from a report."""

    NONE = "none"
    SUGGEST = "suggest"
    START = "start"


_DEEDS = {Action.SUGGEST: Deed.RETRAINING_SUGGESTED, Action.START: Deed.RETRAINING_STARTED}


class Suggestion(Record):
    """What follows from one day's report, and why; `new`: the audit log did not know it yet."""

    action: Action
    reason: str
    new: bool = False


def decide(
    report: DriftReport, policy: DriftConfig, audit: Sequence[AuditEntry], now: datetime
) -> Suggestion:
    """What follows from `report`; nothing is noted yet.

    A start counts anew for people who switch `drift.retrain` on after a mere suggestion: only an
    earlier start holds it up.
    """
    if not report.drift or report.version is None:
        return Suggestion(action=Action.NONE, reason=report.summary())
    wanted = Action.START if policy.retrain else Action.SUGGEST
    counting = (Deed.RETRAINING_STARTED,) if policy.retrain else _ASKED
    asked = [entry for entry in audit if entry.deed in counting]
    same = [entry for entry in asked if entry.subject == subject_of(report)]
    if same:
        return Suggestion(action=wanted, reason=_again(report, same[-1]))
    until = _cool(asked, policy.cooldown_days)
    if until is not None and now < until:
        last = asked[-1]
        return Suggestion(
            action=Action.NONE,
            reason=f"drift seen, but {last.deed} on {last.at[:10]}; next on {until:%Y-%m-%d} "
            f"(drift.cooldown_days is {policy.cooldown_days:g}). {report.summary()}",
        )
    return Suggestion(action=wanted, reason=_reason(report, wanted), new=True)


def subject_of(report: DriftReport) -> str:
    """What the audit log calls this evidence: the release and the day."""
    return f"{report.version} on {report.day}"


def suggest_retraining(
    releases: Path, report: DriftReport, policy: DriftConfig, now: datetime | None = None
) -> Suggestion:
    """Decides, and notes in the audit log what is new; the same evidence is noted once.

    Raises:
        AuditError: the audit log is damaged: what was asked for before is not known.
        StorageError: no space left or not writable.
    """
    with locked(releases / "retraining"):  # two at a time would both find nothing noted
        suggestion = decide(report, policy, read_audit(releases), now or datetime.now(UTC))
        if suggestion.new:
            note(releases, _DEEDS[suggestion.action], subject_of(report), why=report.summary())
    return suggestion


def _cool(asked: Sequence[AuditEntry], days: float) -> datetime | None:
    """When the cooldown after the last asking ends; None where nothing was asked."""
    return datetime.fromisoformat(asked[-1].at) + timedelta(days=days) if asked else None


def _reason(report: DriftReport, action: Action) -> str:
    what = "a retraining is asked for" if action is Action.START else "a retraining is suggested"
    how = "" if action is Action.START else _HOW
    return f"{what}: {report.summary()}{how}"


_HOW = (
    ". Look at the report; if the change is here to stay, trigger mammography_retraining with data "
    "that show it (drift.retrain: true does so by itself)"
)


def _again(report: DriftReport, entry: AuditEntry) -> str:
    return (
        f"{entry.deed} already at {entry.at[:19]} for this release and day; nothing is noted "
        f"twice. {report.summary()}"
    )
