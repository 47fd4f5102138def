"""The audit log: who decided and did what, when and why; append-only, each line chained.

`releases/audit.jsonl` holds what people and the pipeline did to releases: approvals asked for and
answered, releases sealed, pushes, rollbacks, removals, retrainings that were suggested. The release
ledger alone says what is in production; this log says who moved it there.
"""

from __future__ import annotations

import getpass
import logging
from enum import StrEnum
from pathlib import Path

from pydantic import Field, ValidationError

from ml_tasks.chained_lines import append_line, complete_lines, intact, sealed
from ml_tasks.errors import AuditError
from ml_tasks.records import Record
from ml_tasks.release.moving import now
from ml_tasks.storage import locked, storage_errors

log = logging.getLogger(__name__)

NAME = "audit.jsonl"  # below paths.releases
PIPELINE = "pipeline"  # who did it where no person did


class Deed(StrEnum):
    """What was done."""

    ASKED = "asked for approval"
    APPROVED = "approved"
    REJECTED = "rejected"
    TIMED_OUT = "timed out"  # counts as rejected
    RELEASED = "released"  # the bundle was sealed
    PUSHED = "pushed"  # production moved to a new release
    ROLLED_BACK = "rolled back"
    REMOVED = "removed"
    DRIFTED = "drift seen"
    RETRAINING_SUGGESTED = "retraining suggested"
    RETRAINING_STARTED = "retraining started"


class AuditEntry(Record):
    """One line: who did what to which run or version, when (UTC) and why."""

    at: str
    who: str = Field(min_length=1, max_length=200)
    deed: Deed
    subject: str = Field(min_length=1, max_length=300)  # a run's id, a version, a path
    why: str = Field("", max_length=2000)
    digest: str | None = None  # of the image in the registry, where one moved


def note(
    releases: Path,
    deed: Deed,
    subject: str,
    who: str = PIPELINE,
    why: str = "",
    digest: str | None = None,
) -> AuditEntry:
    """Adds one line, for good; it is on the disk when this returns.

    Raises:
        AuditError: the log is damaged or was edited; nothing was added.
        StorageError: no space left or not writable; nothing was added.
    """
    entry = AuditEntry(
        at=now(),
        who=_one_line(who, 200) or PIPELINE,
        deed=deed,
        subject=_one_line(subject, 300),
        why=_one_line(why, 2000),
        digest=digest,
    )
    path = releases / NAME
    with locked(path), storage_errors(path):
        data = path.read_bytes() if path.exists() else b""
        lines, torn = complete_lines(data)
        _entries(path, lines)
        told = entry.model_dump(mode="json", exclude_none=True)
        append_line(path, len(data) - len(torn), sealed(told, lines[-1] if lines else ""))
    log.info("audit: %s %s %s", entry.who, entry.deed.value, entry.subject)
    return entry


def read_audit(releases: Path) -> list[AuditEntry]:
    """Every entry, the latest last; none where nothing was ever noted.

    Raises:
        AuditError: a line is damaged or was edited; it is named.
    """
    path = releases / NAME
    if not path.exists():
        return []
    lines, torn = complete_lines(path.read_bytes())
    if torn:
        log.warning("%s ends in a line that was never completed; it does not count", path)
    return _entries(path, lines)


def person_here() -> str:
    """The user of this machine, as who does something at a terminal."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown user"


def _one_line(text: str, most: int) -> str:
    return " ".join(text.split())[:most]


def _entries(path: Path, lines: list[str]) -> list[AuditEntry]:
    entries, before = [], ""
    for number, line in enumerate(lines, start=1):
        try:
            entries.append(AuditEntry.model_validate(intact(line, before)))
        except ValidationError:
            raise AuditError(
                f"{path} line {number} is damaged or was edited (its checksum does not fit); "
                "restore it from a copy. Without one, keep it as evidence under another name: the "
                "log then begins anew"
            ) from None
        before = line
    return entries
