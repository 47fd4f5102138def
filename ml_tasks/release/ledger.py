"""The release ledger: every move of `production`, append-only, so that none can be denied.

One JSON object a line, chained: an edited, lost or moved line is noticed, a torn one never counts.
(A ledger cut short at its end does not show it by itself: the registry then holds a digest that the
ledger does not know, which is an error.)
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from ml_tasks.chained_lines import append_line, complete_lines, intact, sealed
from ml_tasks.errors import ChampionError
from ml_tasks.records import Record
from ml_tasks.storage import locked

log = logging.getLogger(__name__)

NAME = "ledger.jsonl"  # below paths.releases
WRITE_ANEW = (
    "clear push_model of the run that is in production (mammo release --run '<run>'), which "
    "writes its line"
)
_RESTORE = f"restore it from a copy; without one, move it away and {WRITE_ANEW}"


class Move(Record):
    """`production` moved to a version: which, its digest and place, when, and what stood before.

    What has its default is not written, so that a push's line stays as it always was.
    """

    version: str
    digest: str
    reference: str
    moved_at: str
    digest_before: str | None
    kind: Literal["push", "rollback"] = "push"
    reason: str = Field("", max_length=500)  # why somebody moved it by hand

    @property
    def summary(self) -> str:
        """When and, where it was said, why."""
        return f"{self.moved_at}{f': {self.reason}' if self.reason else ''}"


def read_moves(releases: Path) -> list[Move] | None:
    """Every move, the latest last; None where there is no ledger.

    Raises:
        ChampionError: the ledger is damaged or was edited.
    """
    path = releases / NAME
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    whole, torn = complete_lines(data)
    if torn:
        log.warning("%s ends in a line that was never completed; it does not count", path)
    if not whole:
        raise ChampionError(f"{path} holds no complete line, so no release is known; {_RESTORE}")
    return _moves(path, whole)


def note_move(releases: Path, move: Move) -> None:
    """Adds a move as the last line, for good; the same move again adds nothing.

    A rollback from something that was never noted is a line of its own: it took that out.

    Raises:
        ChampionError: the ledger is damaged or was edited.
        StorageError: no space left or not writable; no line was added.
    """
    path = releases / NAME
    with locked(path):
        data = path.read_bytes() if path.exists() else b""
        lines, torn = complete_lines(data)
        moves = _moves(path, lines)
        if moves and _same(moves[-1], move):
            return
        line = sealed(_told(move), lines[-1] if lines else "")
        append_line(path, len(data) - len(torn), line)


def move_to(moves: Sequence[Move], digest: str | None) -> Move | None:
    """The latest move to a digest; None where it never was in production."""
    return next((move for move in reversed(moves) if move.digest == digest), None)


def predecessor(moves: Sequence[Move], digest: str | None) -> Move | None:
    """What stood in production before `digest` was shipped; None where nothing did.

    A rollback does not count: going back twice goes back two releases, not to and fro. Of a digest
    that the ledger does not know, it is what was noted last.
    """
    if digest is not None and move_to(moves, digest) is None:
        return moves[-1] if moves else None
    shipped = [move for move in moves if move.digest == digest and move.kind == "push"]
    return move_to(moves, shipped[-1].digest_before) if shipped else None


def rolled_back(moves: Sequence[Move], version: str, digest: str) -> Move | None:
    """The rollback that took a release out of production, if it has not been put back since.

    That is also one from what replaced it to what stood before it. Shipped twice by different
    engines, a version has several digests; interrupted right after its move, it has no line, and
    the rollback alone names its digest.
    """
    later = None
    for move in reversed(moves):
        if version == move.version or digest == move.digest:
            return later
        if move.kind == "rollback":
            if move.digest_before == digest:
                return move
            later = later or move
    return None


def _same(last: Move, move: Move) -> bool:
    if (last.version, last.digest) != (move.version, move.digest):
        return False
    return move.kind == "push" or move.digest_before in (None, move.digest)


def _told(move: Move) -> dict[str, Any]:
    return move.model_dump(mode="json", exclude_defaults=True)


def _move(entry: dict[str, Any] | None) -> Move | None:
    try:
        return None if entry is None else Move.model_validate(entry)
    except ValidationError:
        return None


def _moves(path: Path, lines: list[str]) -> list[Move]:
    moves, before = [], ""
    for number, line in enumerate(lines, start=1):
        move = _move(intact(line, before))
        if move is None:
            raise ChampionError(
                f"{path} line {number} is damaged or was edited (its checksum does not fit), so "
                f"what is in production cannot be told from it; {_RESTORE}"
            )
        moves.append(move)
        before = line
    return moves
