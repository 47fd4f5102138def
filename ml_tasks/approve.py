"""Stage approve: a person decides where one must be asked; nobody waits where nobody need be."""

from __future__ import annotations

import logging

from ml_tasks.config import Config
from ml_tasks.errors import ApprovalPending, ApprovalRefused, GateRefused
from ml_tasks.evaluation.approval_request import ApprovalRequest, request_text
from ml_tasks.evaluation.metrics_file import Metrics
from ml_tasks.records import Decision, EvaluationRecord
from ml_tasks.release.approval import (
    ANSWERS,
    Answer,
    ApprovalRecord,
    goes_on,
    is_audited,
    is_named,
    last_told,
    person_needed,
)
from ml_tasks.release.audit import PIPELINE, UNKNOWN, Deed, note, one_line, read_audit
from ml_tasks.run_paths import RunPaths

log = logging.getLogger(__name__)

_DEEDS = {
    Answer.APPROVED: Deed.APPROVED,
    Answer.REJECTED: Deed.REJECTED,
    Answer.TIMED_OUT: Deed.TIMED_OUT,
}


# Everybody's name in the stack's containers who gives none (docs/operating.md). Approvals of before
# may bear it: they are read, and no new one is taken.
_CONTAINERS = "airflow"


def approve(run: RunPaths, config: Config) -> ApprovalRecord:
    """Gives the answer, or writes down that nobody need be asked; it never waits for a person.

    Raises:
        GateRefused: the model does not ship, whatever anybody says.
        ApprovalPending: a person must decide first; says by which command.
        StageOrderError: gate is missing, or the model was evaluated anew since.
        AuditError, StorageError: the audit log is damaged or cannot be written.
    """
    record = given(run, config) or not_needed(run, config)
    if record is None:
        _note_asked_once(run, config)
        raise ApprovalPending(
            f"a person must decide about {run.run_id}, which {_judged(run).summary()}. Read "
            f"{run.stage('evaluate') / 'report.html'}, then: mammo approve --run '{run.run_id}' "
            "--answer approve --reason '...' (or --answer reject)"
        )
    log.info("%s", record.summary())
    return record


def not_needed(run: RunPaths, config: Config) -> ApprovalRecord | None:
    """The record that nobody need be asked; None where a person must be, or was asked before.

    Raises:
        GateRefused: the model does not ship, whatever anybody says.
        AuditError: the audit log is damaged.
    """
    decision, ask = _judged(run), config.approval.ask
    if not goes_on(decision.verdict, ask):
        raise GateRefused(f"nobody is asked about a model that {decision.summary()}")
    if _person_decides(run, config, decision):
        return None
    record = ApprovalRecord(
        run_id=run.run_id,
        inputs=run.mark(Decision),
        asked=False,
        answer=Answer.NOT_NEEDED,
        why=f"the gate passed the model, and approval.ask is {ask}",
    )
    return _kept(run, record)


def given(run: RunPaths, config: Config) -> ApprovalRecord | None:
    """What a person, or the end of the time, has answered to this very decision; None: nothing yet.

    Raises:
        AuditError: the audit log is damaged.
    """
    if not run.has(ApprovalRecord):
        return None
    record = run.load(ApprovalRecord)
    if not record.asked or record.inputs != run.mark(Decision):
        return None
    if record.passed and not is_audited(config.paths.releases, record):
        log.warning("an approval that the audit log does not hold does not count: ask again")
        return None
    return record


def request(run: RunPaths, config: Config) -> ApprovalRequest:
    """What a person is shown who must decide.

    Raises:
        StageOrderError: gate is missing, or the model was evaluated anew since.
    """
    decision = _judged(run)
    mark = _mark(run)  # first: judged anew from here on, no answer to this request counts
    metrics = Metrics.model_validate_json((run.stage("evaluate") / "metrics.json").read_bytes())
    text = request_text(run.run_id, decision, metrics, config.approval.timeout_hours)
    return text.model_copy(update={"decision": mark})


def ask(run: RunPaths, config: Config) -> ApprovalRequest | None:
    """Notes that a person is asked, and gives the request; None where nobody need be asked.

    An earlier answer does not count any more: whoever runs approve anew wants another.

    Raises:
        GateRefused: the model does not ship, whatever anybody says.
        AuditError, StorageError: the audit log is damaged or cannot be written.
    """
    record = not_needed(run, config)
    if record is not None:
        log.info("%s", record.summary())
        return None
    note(config.paths.releases, Deed.ASKED, run.run_id, PIPELINE, decision=_mark(run))
    return request(run, config)


def answer(
    run: RunPaths,
    config: Config,
    what: Answer,
    who: str,
    why: str,
    when: str = "",
    asked_about: str = "",
) -> ApprovalRecord:
    """Writes an answer down, first in the audit log: what that does not hold does not count.

    `when` it was given (UTC, ISO), if that was before now. `asked_about` is the hash of the gate's
    record that the person was shown, where that was before now.

    Raises:
        ApprovalRefused: nobody need be asked, an approval lacks a name or a reason, or the model
            was judged anew since the person was asked; the audit log says so.
        GateRefused: the model does not ship, whatever anybody says.
        AuditError, StorageError: the audit log is damaged or cannot be written; it does not count.
    """
    decision, ask_when = _judged(run), config.approval.ask
    releases = config.paths.releases
    who, why = one_line(who, 200), one_line(why, 2000)
    if not goes_on(decision.verdict, ask_when):
        raise GateRefused(f"nobody is asked about a model that {decision.summary()}")
    if not _person_decides(run, config, decision):
        raise ApprovalRefused(
            f"nobody is asked about {run.run_id}: the gate passed it, and approval.ask is "
            f"{ask_when}; to stop it, end its run, or go back after it with `mammo rollback`"
        )
    lacking = _judged_anew(run, asked_about) or _lacking(what, who, why)
    if lacking:
        told = f"{what.value}: {lacking}"
        note(releases, Deed.UNCOUNTED, run.run_id, who or UNKNOWN, told, decision=_mark(run))
        raise ApprovalRefused(
            f"{who or 'somebody'} {what.value} it, which does not count: {lacking}"
        )
    why = why or "no reason was given"
    entry = note(releases, _DEEDS[what], run.run_id, who or PIPELINE, why, decision=_mark(run))
    record = ApprovalRecord(
        run_id=run.run_id,
        inputs=run.mark(Decision),
        asked=True,
        answer=what,
        who=who,
        when=when or entry.at,
        why=why,
    )
    return _kept(run, record)


def time_out(run: RunPaths, config: Config, asked_about: str = "") -> ApprovalRecord:
    """Nobody has answered in time: written down as an answer, which counts as a rejection.

    An answer that was given elsewhere meanwhile (at a terminal) stays what it is: the model may
    have shipped by it.

    Raises:
        ApprovalRefused: the model was judged anew since `asked_about`; the audit log says so.
        AuditError, StorageError: the audit log is damaged or cannot be written.
    """
    record, last = given(run, config), last_told(config.paths.releases, _mark(run))
    if record is not None and last is not None and last.deed is _DEEDS[record.answer]:
        return record
    why = f"nobody answered within {config.approval.timeout_hours:g} hours"
    return answer(run, config, Answer.TIMED_OUT, "", why, asked_about=asked_about)


def _person_decides(run: RunPaths, config: Config, decision: Decision) -> bool:
    """Whether the settings want a person, or one was asked: no change of them undoes that."""
    return (
        person_needed(decision.verdict, config.approval.ask)
        or last_told(config.paths.releases, _mark(run)) is not None
    )


def _judged_anew(run: RunPaths, asked_about: str) -> str:
    if asked_about in ("", _mark(run)):
        return ""
    return (
        "the model was judged anew since the question was asked, and nobody shall decide by old "
        f"figures; read the report, then: mammo approve --run '{run.run_id}'"
    )


def _lacking(what: Answer, who: str, why: str) -> str:
    if what is Answer.TIMED_OUT:
        return ""
    if not is_named(who) or who.lower() == _CONTAINERS:
        return (
            f"{who or 'nothing'!r} is not the name of a person; log in with a name of your own "
            "(in a container of the stack: docker-compose exec -e LOGNAME=NAME builder mammo ...)"
        )
    if what is Answer.APPROVED and not why:
        return "it gave no reason"
    return ""


def _judged(run: RunPaths) -> Decision:
    decision = run.load(Decision)
    run.check_built_on(decision, EvaluationRecord)
    return decision


def _mark(run: RunPaths) -> str:
    return run.mark(Decision)[Decision.stage]


def _note_asked_once(run: RunPaths, config: Config) -> None:
    """Whoever looks twice before deciding has not been asked twice."""
    releases, mark = config.paths.releases, _mark(run)
    told = [entry.deed for entry in read_audit(releases) if entry.decision == mark]
    if not told or told[-1] in (*ANSWERS, Deed.UNCOUNTED):
        note(releases, Deed.ASKED, run.run_id, PIPELINE, decision=mark)


def _kept(run: RunPaths, record: ApprovalRecord) -> ApprovalRecord:
    with run.writing(record.stage) as work:
        run.seal(work, record)
    return record
