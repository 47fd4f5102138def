"""What runs and releases say of themselves, read so that a damaged file is told and not fatal."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

from ml_tasks.errors import MammoError
from ml_tasks.records import (
    ChangesRecord,
    Decision,
    ReleaseRecord,
    StageRecord,
    ValidationRecord,
)
from ml_tasks.run_paths import RECORD, SKIPPED, RunPaths
from ml_tasks.storage import sha256_file
from ml_tasks.tracking.notes import facts_of

R = TypeVar("R", bound=StageRecord)

APPROVE = "approve"  # the stage of a person's decision
# What a file may be without the page falling over it.
DAMAGED = (
    *(MammoError, OSError, ValueError, KeyError, TypeError, AttributeError),
    *(OverflowError, RecursionError),  # a year 0, a figure of 400 digits; lists in lists in lists
)


@dataclass(frozen=True)
class Found(Generic[R]):
    """A stage's record, or why there is none; neither: the stage is not complete."""

    record: R | None = None
    problem: str = ""


def found(run: RunPaths, kind: type[R]) -> Found[R]:
    """The record of a stage as far as it can be read."""
    path = run.stage(kind.stage) / RECORD
    try:
        return Found(kind.model_validate_json(path.read_bytes()))
    except FileNotFoundError:
        return Found()
    except DAMAGED as error:
        return Found(problem=f"{path.name} of {kind.stage} cannot be read ({_first(error)})")


def json_of(path: Path) -> dict[str, Any]:
    """A JSON object; an empty one where there is none that can be read."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def run_in(runs: Path, run_id: str) -> RunPaths:
    """The paths of a run, also of one whose notes of where it keeps things are damaged."""
    try:
        return RunPaths.reopen(runs, run_id)
    except DAMAGED:
        return RunPaths(runs, run_id)


def is_there(run: RunPaths) -> bool:
    """Whether the run has a folder; an id that no folder can be named after has none."""
    try:
        return run.root.is_dir()
    except OSError:
        return False


def approval(run: RunPaths) -> dict[str, str]:
    """What a person decided: answer, who, when, why; empty where nobody has answered.

    An answer to what the gate said before it judged anew is none.
    """
    told = json_of(run.stage(APPROVE) / RECORD)
    try:
        judged = sha256_file(run.stage(Decision.stage) / RECORD)
        return _answer(told) if told["inputs"][Decision.stage] == judged else {}
    except DAMAGED:
        return {}


def approval_of_release(folder: Path) -> dict[str, str]:
    """What is kept of it beside a release; empty for a release from before people were asked."""
    kept = sorted(folder.glob("record/approval*.json"), key=written_at)
    return _answer(json_of(kept[-1])) if kept else {}


def _answer(told: dict[str, Any]) -> dict[str, str]:
    return {key: str(told.get(key) or "") for key in ("answer", "who", "when", "why") if told}


def was_refused(decided: dict[str, str]) -> bool:
    """Whether the answer, or its absence in time, keeps a model from shipping."""
    return decided.get("answer", "") in ("rejected", "timed out")


def decided_in_words(decided: dict[str, str]) -> str:
    """`rejected by jane: why`; empty where nobody was asked."""
    answer = decided.get("answer", "")
    if answer in ("", "not needed"):
        return ""
    who = f" by {decided['who']}" if decided["who"] else ""
    return f"{answer}{who}" + (f": {decided['why']}" if decided["why"] else "")


def one_line(run: RunPaths) -> str:
    """What happened in a run, in one line."""
    shipped, gate = found(run, ReleaseRecord).record, found(run, Decision)
    if shipped is not None:
        return shipped.summary()
    if gate.record is None:
        return failure(run) or gate.problem or unchanged(run) or "has not come to the gate"
    said, decided = gate.record.summary(), approval(run)
    words = sentence(decided_in_words(decided))
    if was_refused(decided):
        return f"{words}. The model {said}"
    said = f"{said}. {words}" if words else said
    failed = failure(run)
    if failed:
        return f"{failed}. The model {said}"
    left_out = json_of(run.root / SKIPPED).get("reason")
    return f"{said}. Not shipped: {left_out}" if left_out and gate.record.passed else said


def unchanged(run: RunPaths) -> str:
    """Why a run ended before it trained anything; empty where it went on."""
    record = found(run, ChangesRecord).record
    return "" if record is None or record.changed or record.forced else record.summary()


def failure(run: RunPaths) -> str:
    """Which stage failed and why, if the run noted that."""
    try:
        facts = facts_of(run)
    except DAMAGED:
        return ""
    return f"FAILED in {facts.failed_stage}: {facts.failure}" if facts.failed_stage else ""


def began_at(run: RunPaths) -> str:
    """When the run's first stage began, else when its folder was written; UTC."""
    first = found(run, ValidationRecord).record
    if first is not None:
        return first.started_at
    started = json_of(run.stage("preprocess") / RECORD).get("started_at")
    return started if isinstance(started, str) else written_at(run.root)


def written_at(path: Path) -> str:
    """When a file or folder was last written, UTC, so finely that the later one is told apart."""
    try:
        moment = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except (OSError, ValueError, OverflowError):
        return ""
    return moment.isoformat("T", "microseconds")


def shown_time(moment: str) -> str:
    """`2026-01-02 03:04 UTC` of an ISO time; what is none stays as it is."""
    try:
        found = datetime.fromisoformat(moment)
        found = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return moment
    return f"{found:%Y-%m-%d %H:%M} UTC"


def figure(told: Any, sign: str = "") -> str:
    """`0.950 [0.920, 0.980]` of an estimate in metrics.json; empty where there is none."""
    try:
        value, low, high = (told.get(key) for key in ("value", "low", "high"))
        if value is None:
            return "not computable"
        if low is None or high is None:
            return f"{value:{sign}.3f} (no interval)"
        return f"{value:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"
    except (AttributeError, TypeError, ValueError, OverflowError):
        return ""


def release_line(bundle: Path) -> str:
    """The gate's one line of a sealed release, and the person who let it ship, if one did."""
    try:
        said = Decision.model_validate(json_of(bundle / "decision.json")).summary()
    except DAMAGED:
        said = f"its decision.json in {bundle} is gone or cannot be read"
    decided = sentence(decided_in_words(approval_of_release(bundle.parent)))
    return f"{said}. {decided}" if decided else said


def sentence(text: str) -> str:
    """With a capital at its start; `capitalize` would make all else of a name and reason small."""
    return text[:1].upper() + text[1:]


def _first(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
