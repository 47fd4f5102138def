"""The split ledger: no patient ever moves, whatever runs, workers, accidents or people do."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_tasks.config import SplitConfig
from ml_tasks.dataset.ledger import Film, Ledger
from ml_tasks.dataset.split import split_of
from ml_tasks.errors import DataError, StorageError
from ml_tasks.records import Split
from tests.builders import fill, small_disk
from tests.counts import cases

CONFIG = SplitConfig()
WHEN = "2026-01-02T03:04:05+00:00"
PATIENTS = st.sets(st.text(min_size=1, max_size=8), max_size=12)


def recorded(path: Path, patients: Sequence[str], run: str = "r") -> Ledger:
    ledger = Ledger.open(path, CONFIG)
    return ledger.commit(ledger.place(patients), run, WHEN)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@settings(max_examples=cases(60, 1000), deadline=None)
@given(st.lists(PATIENTS, max_size=8))
def test_no_sequence_of_runs_moves_a_patient(runs: list[set[str]]) -> None:
    """Patients come, go, and come back; each keeps the split of its first run."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.jsonl"
        first: dict[str, Split] = {}
        for number, patients in enumerate(runs):
            ledger = Ledger.open(path, CONFIG)
            placed = ledger.place(patients)
            for patient, split in placed.items():
                assert first.setdefault(patient, split) is split
            assert ledger.commit(placed, f"run {number}", WHEN).recorded == first
        assert Ledger.open(path, CONFIG).recorded == first


@settings(max_examples=cases(60, 1000), deadline=None)
@given(PATIENTS, PATIENTS, st.randoms(use_true_random=False))
def test_what_came_before_does_not_matter(
    patients: set[str], others: set[str], shuffle: random.Random
) -> None:
    with TemporaryDirectory() as folder:
        mixed = sorted(patients | others)
        shuffle.shuffle(mixed)
        one = recorded(Path(folder) / "one", sorted(patients))
        other = recorded(Path(folder) / "other", sorted(others))
        other = other.commit(other.place(mixed), "later", WHEN)
        assert all(other.recorded[patient] is split for patient, split in one.recorded.items())


def test_the_recorded_split_holds_even_against_the_hash(tmp_path: Path) -> None:
    """A later version with another hash must not move those who are recorded."""
    path = tmp_path / "ledger"
    other = next(split for split in Split if split is not split_of("P1", CONFIG))
    Ledger.open(path, CONFIG).commit({"P1": other}, "r", WHEN)
    assert Ledger.open(path, CONFIG).place(["P1", "P2"]) == {
        "P1": other,
        "P2": split_of("P2", CONFIG),
    }


def test_placing_writes_nothing_and_lines_are_only_added(tmp_path: Path) -> None:
    path = tmp_path / "splits" / "ledger"
    Ledger.open(path, CONFIG).place(["P1"])
    assert not path.parent.exists()
    recorded(path, ["P2", "P1"], "first run")
    before = path.read_bytes()
    recorded(path, ["P3", "P1"], "second run")
    assert path.read_bytes().startswith(before)
    lines = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    assert [(line["patient"], line["run"]) for line in lines] == [
        ("P1", "first run"),
        ("P2", "first run"),
        ("P3", "second run"),
    ]
    stamp = path.stat()
    recorded(path, ["P3", "P1"], "third run")
    assert path.stat() == stamp


def test_the_ledger_holds_the_fractions_but_not_the_key(tmp_path: Path) -> None:
    config = SplitConfig(key="a secret of the study")
    path = tmp_path / "ledger"
    Ledger.open(path, config).commit({"P1": Split.TEST}, "r", WHEN)
    first = json.loads(path.read_text().splitlines()[0])
    assert (first["validation"], first["test"]) == (0.15, 0.15)
    assert "secret" not in path.read_text()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"test": 0.2}, r"split.test 0.15, the settings say 0.2"),
        ({"validation": 0.1}, r"split.validation 0.15, the settings say 0.1"),
        ({"key": "other"}, r"split.key \(by its fingerprint\) \w{16}, the settings say \w{16}"),
    ],
)
def test_other_settings_are_refused_with_both_values_and_the_remedy(
    change: dict[str, object], named: str, tmp_path: Path
) -> None:
    path = tmp_path / "ledger"
    ledger = recorded(path, ["P1"])
    other = SplitConfig.model_validate(change)
    remedy = "restore the setting, or start a new ledger .* cannot be compared"
    with pytest.raises(DataError, match=f"{named}; {remedy}"):
        Ledger.open(path, other)
    with pytest.raises(DataError, match=named):
        Ledger(path, other, {}).commit(ledger.place(["P2"]), "r", WHEN)


def test_balancing_may_change(tmp_path: Path) -> None:
    recorded(tmp_path / "ledger", ["P1"])
    Ledger.open(tmp_path / "ledger", SplitConfig(balance="none"))


@settings(max_examples=cases(150, 3000), deadline=None)
@given(data=st.data())
def test_an_edit_of_any_byte_is_noticed(data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ledger"
        recorded(path, ["P1", "P2", "Ünï \n"])
        whole = path.read_bytes()
        place = data.draw(st.integers(0, len(whole) - 1))
        byte = data.draw(st.integers(0, 255).filter(lambda value: value != whole[place]))
        path.write_bytes(whole[:place] + bytes([byte]) + whole[place + 1 :])
        with pytest.raises(DataError, match="restore"):
            Ledger.open(path, CONFIG)


@pytest.mark.parametrize(
    "edit",
    [
        lambda lines: [*lines[:1], *lines[2:]],
        lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
        lambda lines: [*lines, lines[-1]],
        lambda lines: lines[1:],
        lambda lines: [*lines, b""],
        lambda lines: [*lines, b"[]"],
        lambda lines: [line + b"\r" for line in lines],
    ],
    ids=["lost", "swapped", "repeated", "no first line", "empty line", "no object", "other ends"],
)
def test_a_lost_or_moved_line_is_noticed(edit: object, tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    recorded(path, ["P1", "P2", "P3"])
    lines = path.read_bytes().split(b"\n")[:-1]
    assert callable(edit)
    path.write_bytes(b"".join(line + b"\n" for line in edit(lines)))
    with pytest.raises(DataError, match=r"line \d .*restore the file from a copy, or start a new"):
        Ledger.open(path, CONFIG)


@pytest.mark.parametrize("kept", [0, 10, -1])
def test_half_a_file_is_noticed(kept: int, tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    recorded(path, ["P1"])
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match="the line is not complete"):
        Ledger.open(path, CONFIG)


def test_a_run_that_was_overtaken_with_another_split_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    slow = Ledger.open(path, CONFIG)
    Ledger.open(path, CONFIG).commit({"P1": Split.TEST, "P2": Split.VAL}, "fast", WHEN)
    before = path.read_bytes()
    with pytest.raises(
        DataError, match=r"P1 in the test split, not in train \(1 patient.* run preprocess again"
    ):
        slow.commit({"P1": Split.TRAIN, "P2": Split.VAL, "P3": Split.VAL}, "slow", WHEN)
    assert path.read_bytes() == before


def _commit_many(path: Path, worker: int, runs: int) -> None:
    for run in range(runs):
        recorded(path, [f"W{worker} {run} {n}" for n in range(3)] + ["shared"], f"{worker} {run}")


def test_workers_that_record_at_once_lose_nothing(tmp_path: Path) -> None:
    path, workers, runs = tmp_path / "ledger", 4, cases(6, 40)
    context = multiprocessing.get_context("fork")
    started = [context.Process(target=_commit_many, args=(path, n, runs)) for n in range(workers)]
    for process in started:
        process.start()
    while any(process.is_alive() for process in started):
        Ledger.open(path, CONFIG)  # a reader never sees half a line
    assert [process.exitcode for process in started] == [0] * workers
    assert len(Ledger.open(path, CONFIG).recorded) == workers * runs * 3 + 1


WRITER = """
import sys
from pathlib import Path
from tests.dataset.test_ledger import recorded

for run in range(10_000):
    print(run, flush=True)
    recorded(Path(sys.argv[1]), [f"P{run} {n}" for n in range(50)], f"run {run}")
"""


def test_a_writer_killed_at_any_moment_leaves_a_ledger_that_holds_all_finished_runs(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ledger"
    project = Path(__file__).resolve().parents[2]
    seen: dict[str, Split] = {}
    for kill in range(cases(5, 50)):
        words = [sys.executable, "-c", WRITER, str(path)]
        with subprocess.Popen(words, cwd=project, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            skipped = len(seen) // 50  # runs that an earlier writer recorded are quick
            for _ in range(skipped + 2):
                finished = int(writer.stdout.readline())
            time.sleep(random.Random(kill).uniform(0, 0.02))
            os.kill(writer.pid, signal.SIGKILL)
        now = Ledger.open(path, CONFIG).recorded
        assert len(now) % 50 == 0 and len(now) >= 50 * finished
        assert all(now[patient] is split for patient, split in seen.items())
        seen = dict(now)
    recorded(path, ["one more"])
    assert names(tmp_path) == [".ledger.lock", "ledger"]


def test_a_full_disk_leaves_the_ledger_as_it_was(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 128) as disk:
        path = disk / "ledger"
        recorded(path, ["P1"])
        before = path.read_bytes()
        fill(disk)
        with pytest.raises(StorageError, match="no space left"):
            recorded(path, [f"P{n}" for n in range(1000)])
        assert path.read_bytes() == before


A, B = Film("a file", "a pixels", "P1"), Film("b file", "b pixels", "P2")


def test_a_film_is_recorded_once_with_the_split_it_came_to(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    placed = {"P1": Split.TEST, "P2": Split.TRAIN}
    Ledger.open(path, CONFIG).commit(placed, "r", WHEN, [B, A])
    before = path.read_bytes()
    known = Ledger.open(path, CONFIG)
    assert known.recorded == placed
    assert known.films["a file"] == known.films["a pixels"] == ("P1", Split.TEST)
    assert known.films["b pixels"] == ("P2", Split.TRAIN)
    assert known.commit(placed, "again", WHEN, [A, B]) == known
    assert path.read_bytes() == before
    renamed = known.commit(
        {"new name": Split.TEST}, "later", WHEN, [A._replace(patient="new name")]
    )
    assert renamed.films == known.films and renamed.recorded == {**placed, "new name": Split.TEST}
    saved_again = known.commit(placed, "later", WHEN, [A._replace(file_sha256="other file")])
    assert saved_again.films["other file"] == ("P1", Split.TEST)
    assert path.read_bytes().startswith(before)


def test_a_ledger_without_films_is_read_and_grows_them(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    old = recorded(path, ["P1", "P2"])
    before = path.read_bytes()
    assert old.films == {}
    now = old.commit(old.recorded, "later", WHEN, [A])
    assert path.read_bytes().startswith(before)
    assert now.films["a pixels"] == ("P1", old.recorded["P1"]) and now.recorded == old.recorded


def test_a_film_that_was_recorded_meanwhile_in_another_split_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    slow = Ledger.open(path, CONFIG)
    Ledger.open(path, CONFIG).commit({"P1": Split.TEST}, "fast", WHEN, [A])
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"film .* of patient X in the test split, not in train.*"):
        slow.commit({"X": Split.TRAIN}, "slow", WHEN, [A._replace(patient="X")])
    assert path.read_bytes() == before
