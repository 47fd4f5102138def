"""The release ledger: every edit is noticed, a torn line is not a move, a move is noted once."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ml_tasks.chained_lines import sealed
from ml_tasks.errors import ChampionError, StorageError
from ml_tasks.release.ledger import Move, note_move, predecessor, read_moves, rolled_back
from tests.builders import fill, small_disk
from tests.counts import cases


def move(number: int) -> Move:
    return Move(
        version=f"V{number}",
        digest=f"sha256:{number}",
        reference=f"localhost:5000/m:V{number}",
        moved_at="2026-01-02T03:04:05+00:00",
        digest_before=f"sha256:{number - 1}" if number else None,
    )


@pytest.fixture
def releases(tmp_path: Path) -> Path:
    """A ledger of three moves."""
    for number in range(3):
        note_move(tmp_path, move(number))
    return tmp_path


def test_moves_come_back_in_their_order(releases: Path) -> None:
    assert read_moves(releases) == [move(0), move(1), move(2)]
    assert read_moves(releases / "elsewhere") is None


def test_the_same_move_again_adds_nothing_but_going_back_does(releases: Path) -> None:
    note_move(releases, move(2))
    assert read_moves(releases) == [move(0), move(1), move(2)]
    note_move(releases, move(0))
    assert read_moves(releases) == [move(0), move(1), move(2), move(0)]


@pytest.mark.parametrize("name", ["version", "digest", "reference", "moved_at", "digest_before"])
@pytest.mark.parametrize("line", [0, 1, 2])
def test_an_edited_line_is_named(releases: Path, name: str, line: int) -> None:
    path = releases / "ledger.jsonl"
    lines = path.read_text().splitlines()
    lines[line] = json.dumps({**json.loads(lines[line]), name: "other"})
    path.write_text("".join(f"{each}\n" for each in lines))
    with pytest.raises(ChampionError, match=rf"jsonl line {line + 1} is damaged or was edited"):
        read_moves(releases)
    with pytest.raises(ChampionError, match="restore it from a copy; without one, move it away"):
        note_move(releases, move(3))


@pytest.mark.parametrize("order", [[1, 2], [0, 2], [1, 0, 2], [0, 1, 1, 2]])
def test_a_lost_moved_or_doubled_line_is_noticed(releases: Path, order: list[int]) -> None:
    path = releases / "ledger.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[place] for place in order))
    with pytest.raises(ChampionError, match="its checksum does not fit"):
        read_moves(releases)


def test_a_line_torn_off_anywhere_is_no_move_and_is_mended_by_the_next(
    releases: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = releases / "ledger.jsonl"
    whole = path.read_bytes()
    start = len(b"".join(whole.splitlines(keepends=True)[:2]))
    for end in range(start + 1, len(whole)):
        path.write_bytes(whole[:end])
        caplog.clear()
        with caplog.at_level(logging.WARNING, "ml_tasks"):
            assert read_moves(releases) == [move(0), move(1)]
        assert "ends in a line that was never completed" in caplog.text
        note_move(releases, move(2))
        assert path.read_bytes() == whole


def test_a_ledger_without_a_whole_line_is_no_new_installation(tmp_path: Path) -> None:
    note_move(tmp_path, move(0))
    path = tmp_path / "ledger.jsonl"
    for data in (b"", path.read_bytes()[:-1], b"\0" * 50):
        path.write_bytes(data)
        with pytest.raises(ChampionError, match="holds no complete line, so no release is known"):
            read_moves(tmp_path)


def test_no_space_left_adds_no_line(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64) as disk:
        note_move(disk, move(0))
        before = (disk / "ledger.jsonl").read_bytes()
        fill(disk)
        number = 1
        with pytest.raises(StorageError, match="no space left while writing"):
            while True:  # until the file's last block is full
                note_move(disk, move(number))
                number += 1
        moves = read_moves(disk)
        assert moves == [move(each) for each in range(number)]
        assert (disk / "ledger.jsonl").read_bytes().startswith(before)


def test_writers_killed_at_any_moment_leave_whole_moves(tmp_path: Path) -> None:
    """SIGKILL leaves no time to tidy up."""
    code = (
        "import sys; from pathlib import Path\n"
        "from ml_tasks.release.ledger import Move, note_move\n"
        "kept = dict(reference='r', moved_at='t', digest_before=None)\n"
        "print('ready', flush=True)\n"
        "for n in range(100000):\n"
        "    note_move(Path(sys.argv[1]), Move(version=f'V{n % 7}', digest='d', **kept))"
    )
    for _ in range(cases(2, 20)):
        writers = [
            subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
            for _ in range(2)
        ]
        for writer in writers:
            assert writer.stdout is not None and writer.stdout.readline() == b"ready\n"
        while not (tmp_path / "ledger.jsonl").exists():
            pass
        for writer in writers:
            os.kill(writer.pid, signal.SIGKILL)
            writer.wait()
        note_move(tmp_path, move(8))
        moves = read_moves(tmp_path)
        assert moves is not None and moves[-1] == move(8)


def test_a_ledger_of_before_rollbacks_reads_and_goes_on(tmp_path: Path) -> None:
    """Lines without kind and reason are pushes; a push's line has neither to this day."""
    old = {
        "version": "1",
        "digest": "sha256:1",
        "reference": "r:1",
        "moved_at": "2026-01-02T03:04:05+00:00",
        "digest_before": None,
    }
    (tmp_path / "ledger.jsonl").write_text(f"{sealed(old, '')}\n")
    (first,) = read_moves(tmp_path) or []
    assert (first.kind, first.reason) == ("push", "")
    note_move(tmp_path, first.model_copy(update={"version": "2", "digest": "sha256:2"}))
    back = first.model_copy(update={"kind": "rollback", "reason": "ärgerlich"})
    note_move(tmp_path, back.model_copy(update={"digest_before": "sha256:2"}))
    lines = (tmp_path / "ledger.jsonl").read_text().splitlines()
    assert "kind" not in lines[1] and '"kind": "rollback"' in lines[2]
    assert [move.kind for move in read_moves(tmp_path) or []] == ["push", "push", "rollback"]


def moves_of(*steps: tuple[str, str | None, str]) -> list[Move]:
    return [
        Move.model_validate(
            {
                "version": digest,
                "digest": digest,
                "reference": "r",
                "moved_at": "t",
                "digest_before": before,
                "kind": kind,
            }
        )
        for digest, before, kind in steps
    ]


def test_what_stood_before_is_what_the_push_replaced_not_what_a_rollback_left() -> None:
    moves = moves_of(("A", None, "push"), ("B", "A", "push"), ("A", "B", "rollback"))
    assert predecessor(moves, "A") is None
    before = predecessor(moves, "B")
    assert before is not None and before.version == "A"
    moves += moves_of(("C", "A", "push"))
    before = predecessor(moves, "C")
    assert before is not None and before.version == "A"
    unknown = predecessor(moves, "X")
    assert unknown is not None and unknown.version == "C"
    assert predecessor([], "X") is None and predecessor(moves, None) is None


def test_a_rollback_counts_until_the_release_is_put_back() -> None:
    moves = moves_of(("A", None, "push"), ("B", "A", "push"), ("A", "B", "rollback"))
    assert rolled_back(moves, "B", "B") is moves[2] and rolled_back(moves, "A", "A") is None
    moves += moves_of(("B", "A", "rollback"))
    assert rolled_back(moves, "B", "B") is None and rolled_back(moves, "A", "A") is moves[3]


def test_a_release_that_a_rollback_went_past_was_taken_out_too() -> None:
    """From C straight to A: B, compared with A, would else come back by clearing its push."""
    moves = moves_of(("A", None, "push"), ("B", "A", "push"), ("C", "B", "push"))
    assert rolled_back(moves, "B", "B") is None
    moves += moves_of(("A", "C", "rollback"))
    assert rolled_back(moves, "B", "B") is moves[3] and rolled_back(moves, "C", "C") is moves[3]
    # Pushed again by another engine, it has another digest and is the same release.
    assert rolled_back(moves, "B", "B2") is moves[3]
    assert rolled_back(moves, "D", "D") is None


def test_a_rollback_from_what_was_never_noted_is_noted(tmp_path: Path) -> None:
    """A push was cut off after its move, and somebody went back: its retry must see that."""
    (shipped,) = moves_of(("A", None, "push"))
    (back,) = moves_of(("A", "B", "rollback"))
    (nothing,) = moves_of(("A", "A", "rollback"))
    note_move(tmp_path, shipped)
    note_move(tmp_path, nothing)
    assert read_moves(tmp_path) == [shipped]
    note_move(tmp_path, back)
    assert read_moves(tmp_path) == [shipped, back]
    assert rolled_back([shipped, back], "B", "B") == back
