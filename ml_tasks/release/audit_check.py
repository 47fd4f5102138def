"""`mammo audit`: whether the audit log is whole, and agrees with the ledger and each release."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from ml_tasks.config import Config
from ml_tasks.errors import AuditError, ChampionError, MammoError
from ml_tasks.records import Decision, Record, Verdict
from ml_tasks.release import statement as told
from ml_tasks.release.approval import NAME as APPROVAL
from ml_tasks.release.approval import Answer, ApprovalRecord, is_line_of
from ml_tasks.release.audit import NAME, AuditEntry, Place, read_places
from ml_tasks.release.audited_moves import older_than_log, without_line, without_move
from ml_tasks.release.bundle import bundle_of, read_json
from ml_tasks.release.ledger import Move, read_moves
from ml_tasks.release.signed_statement import Resource, read_statement
from ml_tasks.release.signing import key_file, public_keys


class Audited(Record):
    """Every entry, the latest last; `problems` do not agree, `notes` were not to be checked."""

    entries: tuple[AuditEntry, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def table(self) -> str:
        """For people."""
        lines = [f"{'at (UTC)':<21}{'who':<17}{'what':<24}{'of':<32}why"]
        lines += [
            f"{each.at[:19]:<21}{each.who[:16]:<17}{each.deed.value[:23]:<24}"
            f"{each.subject[:31]:<32}{each.why}".rstrip()
            for each in self.entries
        ]
        if not self.entries:
            lines = ["nothing was ever noted"]
        lines += [f"NOTE: {each}" for each in self.notes]
        return "\n".join([*lines, *(f"PROBLEM: {each}" for each in self.problems)]) + "\n"


def check_audit(config: Config) -> Audited:
    """Reads the log and holds it against everything that can tell whether it is whole."""
    releases = config.paths.releases
    try:
        places = read_places(releases)
        moves = read_moves(releases) or []
    except (AuditError, ChampionError) as error:
        return Audited(entries=_readable(releases), problems=(str(error),))
    entries = [entry for entry, _ in places]
    notes = []
    older = older_than_log(moves, entries)
    if older:
        notes.append(f"{older} move(s) of production are from before the log's first line")
    problems = [
        *_moves(moves, entries),
        *_approvals(releases, moves, entries),
        *_heads(config, [place for _, place in places], notes),
    ]
    return Audited(entries=tuple(entries), problems=tuple(problems), notes=tuple(notes))


def _readable(releases: Path) -> tuple[AuditEntry, ...]:
    try:
        return tuple(entry for entry, _ in read_places(releases))
    except AuditError:
        return ()


def _moves(moves: Sequence[Move], entries: Sequence[AuditEntry]) -> Iterator[str]:
    for move in without_line(moves, entries):
        yield (
            f"the ledger says that production moved to {move.version} at {move.moved_at} "
            f"({move.kind}), which {NAME} does not hold: it was cut short, or could not be written "
            "then. Restore it from a copy; if there is none, `mammo audit --complete` notes it"
        )
    for entry in without_move(moves, entries):
        yield (
            f"{NAME} says that {entry.who} {entry.deed.value} {entry.subject} at {entry.at}, which "
            "the ledger does not hold: restore the ledger from a copy"
        )


def _approvals(
    releases: Path, moves: Sequence[Move], entries: Sequence[AuditEntry]
) -> Iterator[str]:
    for file in sorted(releases.glob(f"*/record/{APPROVAL}*.json")):
        try:
            record = ApprovalRecord.model_validate_json(file.read_bytes())
        except (OSError, ValidationError) as error:
            yield f"{file} cannot be read as an approval ({type(error).__name__})"
            continue
        if record.asked and not any(is_line_of(record, entry) for entry in entries):
            yield (
                f"{file} says {record.summary()!r}, which {NAME} does not hold: one of them was "
                "altered; `mammo verify` tells whether the approval is as it was signed"
            )
    for version in sorted({move.version for move in moves}):
        if _lacks_approval(releases, version):
            yield (
                f"{version} is {Verdict.INCONCLUSIVE} by its gate, and no approval of that "
                "decision is beside it"
            )


def _lacks_approval(releases: Path, version: str) -> bool:
    """Whether a release was for a person to decide, and none has; of another run's is no approval.

    What cannot be read of either is told elsewhere: of a bundle by `mammo verify`.
    """
    bundle = bundle_of(releases, version)
    if not bundle.is_dir():
        return False
    try:
        if read_json(bundle, "decision.json").get("verdict") != Verdict.INCONCLUSIVE:
            return False
        lineage = read_json(bundle, "lineage.json")
    except MammoError:
        return False
    judged = (lineage.get("parents") or {}).get("records_sha256", {}).get(Decision.stage)
    for file in bundle.parent.glob(f"record/{APPROVAL}*.json"):
        try:
            found = ApprovalRecord.model_validate_json(file.read_bytes())
        except (OSError, ValidationError):
            return False
        if found.answer is Answer.APPROVED and found.inputs.get(Decision.stage) == judged:
            return False
    return True


def _heads(config: Config, places: Sequence[Place], notes: list[str]) -> Iterator[str]:
    """Each statement signs how the log stood when its release was sealed."""
    files = sorted(config.paths.releases.glob(f"*/record/{told.NAME}*.json"))
    if not files:
        return
    try:
        keys = public_keys(key_file(config).with_suffix(".pub"))
    except MammoError as error:
        notes.append(f"the log is not held against the signed statements: {error}")
        return
    for file in files:
        try:
            found = read_statement(file, keys).found_out
        except MammoError as error:
            yield f"{file} does not say how the log stood: {error}"
            continue
        if told.AUDIT in found:
            yield from _head(file, found[told.AUDIT], places)


def _head(file: Path, signed: Resource, places: Sequence[Place]) -> Iterator[str]:
    try:
        line, check = int(signed["annotations"]["lines"]), str(signed["digest"]["sha256"])
    except (KeyError, TypeError, ValueError):
        yield f"{file} says of the audit log what cannot be read"
        return
    if len(places) < line:
        yield (
            f"{NAME} has {len(places)} lines, and had {line} when {file.parent.parent.name} was "
            "signed: restore it from a copy"
        )
    elif places[line - 1].check != check:
        yield (
            f"{NAME} is another one up to line {line} than when {file.parent.parent.name} was "
            "signed: restore it from a copy"
        )
