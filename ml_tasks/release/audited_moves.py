"""The audit log beside the release ledger: each move of `production` has its line, and no more.

The ledger's line is the truth of a move, and is written first. Where the audit's line could not be
written after it, that is an error that says so, and the same command again writes it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from ml_tasks.release.audit import AuditEntry, Deed, note, read_audit
from ml_tasks.release.ledger import Move, read_moves
from ml_tasks.release.moving import movers_lock

_DEEDS = {"push": Deed.PUSHED, "rollback": Deed.ROLLED_BACK}
_AFTERWARDS = "nobody noted it when it happened"

Key = tuple[Deed, str, str | None]


def note_moved(releases: Path, move: Move, who: str | None = None, why: str = "") -> None:
    """Adds the line of a move that stands in the ledger, unless it is there.

    Raises:
        AuditError: the audit log is damaged or was edited.
        StorageError: no space left or not writable; the move stands, and lacks its line.
    """
    moves, entries = read_moves(releases) or [], read_audit(releases)
    key = _key(move)
    if sum(_key(each) == key for each in moves) > sum(_line_key(each) == key for each in entries):
        note(releases, key[0], move.version, who, why, move.digest)


def without_line(moves: Sequence[Move], entries: Sequence[AuditEntry]) -> list[Move]:
    """The moves since the log began that it does not hold, in their order."""
    lines = Counter(key for entry in entries if (key := _line_key(entry)))
    lacking = []
    for move in reversed([move for move in moves if not _older(move, entries)]):
        key = _key(move)
        if lines[key]:
            lines[key] -= 1
        else:
            lacking.append(move)
    return lacking[::-1]


def older_than_log(moves: Sequence[Move], entries: Sequence[AuditEntry]) -> int:
    """How many moves are from before the log's first line, so that it need not hold them."""
    return sum(_older(move, entries) for move in moves)


def without_move(moves: Sequence[Move], entries: Sequence[AuditEntry]) -> list[AuditEntry]:
    """The lines that tell of a move which the ledger does not hold."""
    known = Counter(_key(move) for move in moves)
    extra = []
    for entry in entries:
        key = _line_key(entry)
        if key is None:
            continue
        if known[key]:
            known[key] -= 1
        else:
            extra.append(entry)
    return extra


def note_missing(releases: Path) -> Iterator[Move]:
    """Notes each move that the log lacks, as noted afterwards; who did it, it cannot say.

    Raises:
        AuditError, ChampionError: the audit log or the ledger is damaged or was edited.
        StorageError: no space left or not writable.
    """
    with movers_lock(releases):  # whoever moves just now notes it with a name
        for move in without_line(read_moves(releases) or [], read_audit(releases)):
            why = f"moved at {move.moved_at}; {_AFTERWARDS}"
            note(releases, _key(move)[0], move.version, "not known", why, move.digest)
            yield move


def _key(move: Move) -> Key:
    return _DEEDS[move.kind], move.version, move.digest


def _line_key(entry: AuditEntry) -> Key | None:
    if entry.deed not in _DEEDS.values():
        return None
    return entry.deed, entry.subject, entry.digest


def _older(move: Move, entries: Sequence[AuditEntry]) -> bool:
    if not entries:
        return True
    try:
        return datetime.fromisoformat(move.moved_at) < datetime.fromisoformat(entries[0].at)
    except (ValueError, TypeError):  # no time that can be compared: then it needs its line
        return False
