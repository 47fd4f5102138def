"""Whether a model may ship: by its verdict and by what a person answered, where one was asked."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field, model_validator

from ml_tasks.config import Config
from ml_tasks.errors import GateRefused
from ml_tasks.records import Decision, StageRecord, Verdict
from ml_tasks.release.audit import NOBODY, AuditEntry, Deed, read_audit
from ml_tasks.release.bundle import add_record
from ml_tasks.run_paths import RunPaths

NAME = "approval"  # in a release's record
ANSWERS = (Deed.APPROVED, Deed.REJECTED, Deed.TIMED_OUT)


class Answer(StrEnum):
    """How the question ended."""

    NOT_NEEDED = "not needed"
    APPROVED = "approved"
    REJECTED = "rejected"
    TIMED_OUT = "timed out"  # counts as rejected


class ApprovalRecord(StageRecord):
    """Who decided what about the gate's very decision, whose hash is in `inputs`."""

    stage: ClassVar[str] = "approve"
    asked: bool
    answer: Answer
    who: str = Field("", max_length=200)
    when: str = ""  # UTC, to the second; empty where nobody was asked
    why: str = Field("", max_length=2000)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.asked is (self.answer is Answer.NOT_NEEDED):
            raise ValueError(f"asked is {self.asked}, and the answer {self.answer.value!r}")
        if self.answer is Answer.APPROVED and not (is_named(self.who) and self.why.strip()):
            raise ValueError("an approval has the name of a person and a reason")
        return self

    @property
    def passed(self) -> bool:
        """Whether what follows may run."""
        return self.answer in (Answer.NOT_NEEDED, Answer.APPROVED)

    def summary(self) -> str:
        if self.answer is Answer.TIMED_OUT:
            return f"NOT approved, which counts as rejected: {self.why}"
        if self.answer is Answer.NOT_NEEDED:
            return f"nobody need be asked: {self.why}"
        told = "APPROVED" if self.answer is Answer.APPROVED else "REJECTED"
        return f"{told} by {self.who} on {self.when}: {self.why}"


def is_named(who: str) -> bool:
    """Whether this is the name of a person, as far as a name can tell."""
    return who.strip().lower() not in NOBODY


def person_needed(verdict: Verdict, ask: str) -> bool:
    """Whether approval.ask wants a person for this verdict; of a FAIL nobody is ever asked."""
    if verdict is Verdict.FAIL or ask == "never":
        return False
    return ask == "always" or verdict is Verdict.INCONCLUSIVE


def goes_on(verdict: Verdict, ask: str) -> bool:
    """Whether anything follows the gate: a model that passed, or a person who is to decide."""
    return verdict is Verdict.PASS or person_needed(verdict, ask)


def why_not(decision: Decision, approval: ApprovalRecord | None) -> str | None:
    """Why a model may not ship; None where it may. Everything that ships goes by this alone.

    It ships if the gate passed it and no person was asked, or if a named person approved it. That
    the approval is of this very decision is for the caller to check, by its hash.
    """
    if decision.verdict is Verdict.FAIL:
        return "it failed the gate"
    if approval is not None and approval.asked:
        return None if approval.answer is Answer.APPROVED else approval.summary()
    return None if decision.verdict is Verdict.PASS else "no person has approved it"


def cleared(run: RunPaths, config: Config, refusal: str) -> tuple[Decision, ApprovalRecord]:
    """The decision and the approval by which a run ships; `refusal` begins the error's sentence.

    Raises:
        GateRefused: it may not ship, or the audit log does not hold the approval.
        StageOrderError: approve is missing, or the gate judged anew since.
        AuditError: the audit log is damaged, so that no approval can be told from it.
    """
    decision = run.load(Decision)
    told = f"{refusal} of a model that {decision.summary()}"
    if decision.verdict is Verdict.FAIL:
        raise GateRefused(told)
    remedy = f"mammo approve --run '{run.run_id}' tells more"
    if not decision.passed and not run.has(ApprovalRecord):
        raise GateRefused(f"{told}; {why_not(decision, None)}: {remedy}")
    approval = run.load(ApprovalRecord)
    run.check_built_on(approval, Decision)
    reason = why_not(decision, approval)
    if reason is not None:
        raise GateRefused(f"{told}; {reason}")
    if person_needed(decision.verdict, config.approval.ask) and not approval.asked:
        raise GateRefused(f"{told}; approval.ask is {config.approval.ask}: {remedy}")
    judged = approval.inputs[Decision.stage]
    if not approval.asked and last_told(config.paths.releases, judged) is not None:
        raise GateRefused(f"{told}; a person was asked about it, who has to approve it: {remedy}")
    if approval.asked and not is_audited(config.paths.releases, approval):
        raise GateRefused(
            f"{told}; the audit log in {config.paths.releases} does not hold its approval by "
            f"{approval.who}, so it does not count; ask again: {remedy}"
        )
    return decision, approval


def is_audited(releases: Path, approval: ApprovalRecord) -> bool:
    """Whether this very approval is the last that the audit log holds on its decision.

    An answer after it counts instead; and asked again, a person has yet to answer.

    Raises:
        AuditError: the audit log is damaged.
    """
    last = last_told(releases, approval.inputs.get(Decision.stage, ""))
    return last is not None and is_line_of(approval, last)


def last_told(releases: Path, judged: str) -> AuditEntry | None:
    """The last question or answer that the audit log holds on a decision, given by its hash.

    Whoever was asked once is not passed over by a setting that was changed afterwards.

    Raises:
        AuditError: the audit log is damaged.
    """
    told = [
        entry
        for entry in read_audit(releases)
        if judged and entry.decision == judged and entry.deed in (Deed.ASKED, *ANSWERS)
    ]
    return told[-1] if told else None


def is_line_of(approval: ApprovalRecord, entry: AuditEntry) -> bool:
    """Whether a line of the audit log is that of an approval."""
    judged = approval.inputs.get(Decision.stage)
    return entry.deed is Deed.APPROVED and (entry.decision, entry.who, entry.why) == (
        judged,
        approval.who,
        approval.why,
    )


def keep_approval(bundle: Path, approval: ApprovalRecord) -> Path:
    """Puts the approval into the release's record, beside the gate's own verdict in the bundle."""
    return add_record(bundle, NAME, approval.model_dump(mode="json"))
