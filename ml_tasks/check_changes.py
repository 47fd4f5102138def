"""Stage check_changes: whether a model trained now would be another one than the last run's.

Held against the last completed run: the data, the settings that decide the model or its verdict,
and the code of this package. What is in production does not count: after a rollback the same data
would make, and ship, the very model that was rolled back.
"""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any, TypeVar

import yaml

from ml_tasks.config import Config
from ml_tasks.config_operation import ApprovalConfig
from ml_tasks.records import (
    ChangesRecord,
    Decision,
    ReleaseRecord,
    StageRecord,
    ValidationRecord,
    Verdict,
)
from ml_tasks.release.approval import Answer, ApprovalRecord, person_needed
from ml_tasks.release.lineage import code_sha256
from ml_tasks.run_paths import RECORD, SKIPPED, RunPaths
from ml_tasks.storage import sha256_file

log = logging.getLogger(__name__)
R = TypeVar("R", bound=StageRecord)

# Settings that decide neither the model nor what becomes of it, and why:
LEFT_OUT: dict[str, tuple[str, ...]] = {
    "paths": (),  # where things lie; the data are compared by content
    "tracking": (),  # where a run is noted
    "scoring": (),  # what is done with a released model, and so on
    "drift": (),
    "housekeeping": (),
    "notifications": (),  # who is told
    "approval": ("timeout_hours",),  # how long an answer is waited for
    "data": ("snapshot", "announced_images"),  # which files: compared by content
    "cleaning": ("shards", "workers"),  # how the work is shared out; the result is the same
    "release": ("registry_url", "push_attempts", "signing_key"),  # how the registry is reached
}


def check_changes(run: RunPaths, config: Config, force: bool = False) -> ChangesRecord:
    """Compares this run's data, settings and code with those of the last completed run.

    `force`: somebody asked for the run, so that it goes on in any case.

    Raises:
        StageOrderError: validate_data has not passed in this run.
        StorageError: no space left.
    """
    validation = run.load(ValidationRecord)
    hashes = {
        "data": validation.data_sha256,
        "settings": settings_sha256(config),
        "code": code_sha256(),
    }
    last = last_completed(run)
    changed = tuple(
        name
        for name, found in hashes.items()
        if last is None or not found or last[0].hash_of(name) != found
    )
    record = ChangesRecord(
        run_id=run.run_id,
        inputs=run.mark(ValidationRecord),
        started_at=validation.started_at,
        data_sha256=hashes["data"],
        settings_sha256=hashes["settings"],
        code_sha256=hashes["code"],
        changed=changed,
        forced=force,
        compared_with=last[0].run_id if last else None,
        compared_at=last[0].started_at if last else None,
        compared_end=last[1] if last else "",
    )
    with run.writing(ChangesRecord.stage) as work:
        run.seal(work, record)
    log.info(record.summary())
    return record


def settings_sha256(config: Config) -> str:
    """Hex SHA-256 of the settings but `LEFT_OUT`; a weights file counts by its content."""
    settings: dict[str, Any] = config.model_dump(mode="json")
    for section, names in LEFT_OUT.items():
        if not names:
            del settings[section]
        for name in names:
            del settings[section][name]
    weights = Path(config.model.weights)
    if weights.is_file():
        settings["model"]["weights"] = sha256_file(weights)
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def last_completed(run: RunPaths) -> tuple[ChangesRecord, str] | None:
    """The changes record of the newest other run that came to its end, and how it ended."""
    found: list[tuple[ChangesRecord, str]] = []
    for folder in run.runs.glob(f"*/{ChangesRecord.stage}/{RECORD}"):
        root = folder.parent.parent
        if root == run.root:
            continue
        try:
            changes = ChangesRecord.model_validate_json(folder.read_bytes())
            end = how_it_ended(root)
        except (OSError, ValueError, yaml.YAMLError) as error:  # pydantic's is a ValueError
            log.warning("%s is passed over: its records cannot be read (%s)", root.name, error)
            continue
        if end is not None:
            found.append((changes, end))
    return max(found, key=lambda each: each[0].started_at, default=None)


def how_it_ended(root: Path) -> str | None:
    """How the run in `root` came to its end, in words; None: it failed, was stopped or goes on.

    Raises:
        OSError, ValueError, yaml.YAMLError: a record or the run's settings cannot be read.
    """
    decision = _load(root, Decision)
    if decision is None:
        return None
    answer = _answer(root)
    if answer in (Answer.REJECTED, Answer.TIMED_OUT):
        return f"was {decision.verdict} at the gate and {answer}"
    if decision.verdict is Verdict.FAIL:
        return "FAILED the gate"
    if decision.verdict is Verdict.INCONCLUSIVE and answer is not Answer.APPROVED:
        # A person was to be asked: the run still waits, or ended before there was an answer.
        return None if _asks(root) else "was INCONCLUSIVE at the gate"
    release = _load(root, ReleaseRecord)
    if release is not None:
        return f"shipped {release.version}"
    skipped = root / SKIPPED
    if skipped.exists():
        return f"passed the gate and was not to ship ({json.loads(skipped.read_text())['reason']})"
    return None


def _load(root: Path, kind: type[R]) -> R | None:
    path = root / kind.stage / RECORD
    return kind.model_validate_json(path.read_bytes()) if path.exists() else None


def _answer(root: Path) -> Answer | None:
    """What was answered to the gate's decision as it now stands; None: nothing."""
    record, decision = _load(root, ApprovalRecord), root / Decision.stage / RECORD
    if record is None or record.inputs.get(Decision.stage) != sha256_file(decision):
        return None
    return record.answer


def _asks(root: Path) -> bool:
    """Whether the run's own settings want a person where the gate cannot tell."""
    settings = yaml.safe_load((root / "config.yaml").read_text(encoding="utf-8")) or {}
    approval = ApprovalConfig.model_validate(settings.get("approval") or {})
    return person_needed(Verdict.INCONCLUSIVE, approval.ask)
