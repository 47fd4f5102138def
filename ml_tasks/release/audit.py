"""The audit log: who decided and did what, when and why; append-only, each line chained.

`releases/audit.jsonl` holds what people and the pipeline did to releases: approvals asked for and
answered, releases sealed, pushes, rollbacks, removals, retrainings that were suggested. The release
ledger alone says what is in production; this log says who moved it there.
"""

from __future__ import annotations

import getpass
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
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
UNKNOWN = "unknown user"
# Names that are no person's; an Airflow whose login is off calls everybody anonymous.
NOBODY = frozenset({"", PIPELINE, UNKNOWN, "anonymous"})
_ACTING: ContextVar[str] = ContextVar("who acts", default=PIPELINE)


class Deed(StrEnum):
    """What was done."""

    ASKED = "asked for approval"
    APPROVED = "approved"
    REJECTED = "rejected"
    TIMED_OUT = "timed out"  # counts as rejected
    UNCOUNTED = "answered, which does not count"  # without a name or a reason
    RELEASED = "released"  # the bundle was sealed
    PUSHED = "pushed"  # production moved to a new release
    ROLLED_BACK = "rolled back"
    DEPLOYED = "deployed"  # the service of a network answers with it
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
    decision: str | None = None  # hash of the gate's record, where one was asked about or answered


class Place(Record):
    """Where a line stands (the first is 1), and its checksum, which covers all before it, too."""

    line: int
    check: str


@contextmanager
def acting(who: str) -> Iterator[None]:
    """Within the block, what is noted without a name was done by `who`."""
    token = _ACTING.set(who or PIPELINE)
    try:
        yield
    finally:
        _ACTING.reset(token)


def note(
    releases: Path,
    deed: Deed,
    subject: str,
    who: str | None = None,
    why: str = "",
    digest: str | None = None,
    decision: str | None = None,
) -> AuditEntry:
    """Adds one line, for good; it is on the disk when this returns.

    Without `who`, it is the one who is `acting`, else the pipeline.

    Raises:
        AuditError: the log is damaged or was edited; nothing was added.
        StorageError: no space left or not writable; nothing was added.
    """
    entry = AuditEntry(
        at=now(),
        who=one_line(who or _ACTING.get(), 200) or PIPELINE,
        deed=deed,
        subject=one_line(subject, 300),
        why=one_line(why, 2000),
        digest=digest,
        decision=decision,
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
    return [entry for entry, _ in read_places(releases)]


def read_places(releases: Path) -> list[tuple[AuditEntry, Place]]:
    """Every entry with its place.

    Raises:
        AuditError: a line is damaged or was edited; it is named.
    """
    path = releases / NAME
    if not path.exists():
        return []
    with storage_errors(path):
        lines, torn = complete_lines(path.read_bytes())
    if torn:
        log.warning("%s ends in a line that was never completed; it does not count", path)
    entries = _entries(path, lines)
    return [
        (entry, Place(line=number, check=json.loads(line)["check"]))
        for number, (entry, line) in enumerate(zip(entries, lines, strict=True), start=1)
    ]


def noted_once(releases: Path, deed: Deed, subject: str, why: str = "") -> Place:
    """The place of the first line of this deed and subject, which is added if there is none.

    Raises:
        AuditError: the log is damaged or was edited.
        StorageError: no space left or not writable.
    """
    for _ in range(2):
        for entry, place in read_places(releases):
            if (entry.deed, entry.subject) == (deed, subject):
                return place
        note(releases, deed, subject, why=why)
    raise AuditError(f"{releases / NAME} does not hold what was just written to it")


def person_here() -> str:
    """The user of this machine, as who does something at a terminal."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return UNKNOWN


def one_line(text: str, most: int) -> str:
    """The text as the log holds it: without line feeds, cut to `most` characters."""
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
