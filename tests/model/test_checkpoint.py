"""Checkpoint files: whole or not used, for the same training only, one process at a time."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from ml_tasks.errors import RunBusy, StorageError
from ml_tasks.model.checkpoint import Checkpoint, CheckpointStore
from tests.builders import fill, small_disk
from tests.counts import cases

MADE_FOR = {"the section training": "a", "the cleaned data": "b"}


def store(folder: Path, **made_for: str) -> CheckpointStore:
    return CheckpointStore(folder, MADE_FOR | {k.replace("_", " "): v for k, v in made_for.items()})


def checkpoint(epoch: int, kib: int = 1) -> Checkpoint:
    arrays = {
        "weights/00000": np.full((kib, 256), epoch, np.float32),
        "seed": np.array(epoch, np.uint32),
    }
    return Checkpoint(epoch, arrays, {"best": {"val_loss": 0.1 + epoch}, "wait": None})


def saved(folder: Path, epochs: int, kib: int = 1) -> CheckpointStore:
    made = store(folder)
    for epoch in range(1, epochs + 1):
        made.save(checkpoint(epoch, kib))
    return made


def check(found: Checkpoint | None, epoch: int) -> None:
    """Every value as it was, to the bit."""
    assert found is not None and found.epoch == epoch
    expected = checkpoint(epoch)
    assert found.values == expected.values
    assert set(found.arrays) == set(expected.arrays)
    for name, array in expected.arrays.items():
        assert found.arrays[name].dtype == array.dtype
        assert np.array_equal(found.arrays[name], array)


def test_what_was_saved_comes_back_and_two_files_are_kept(tmp_path: Path) -> None:
    saved(tmp_path / "checkpoint", 4)
    check(store(tmp_path / "checkpoint").load(), 4)
    names = sorted(path.name for path in (tmp_path / "checkpoint").iterdir())
    assert names == ["epoch-00003.ckpt", "epoch-00004.ckpt"]


def test_without_a_checkpoint_there_is_nothing_to_load(tmp_path: Path) -> None:
    empty = store(tmp_path)
    assert empty.load() is None
    assert empty.kept() == "no epoch was complete"


def test_a_damaged_file_is_told_and_the_one_before_it_counts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Cut off anywhere, or with one byte altered anywhere: never read as if it were whole."""
    saved(tmp_path, 2)
    newest = tmp_path / "epoch-00002.ckpt"
    whole = newest.read_bytes()
    random = np.random.default_rng(1)
    places = [0, 63, 64, 65, len(whole) - 1, *random.integers(len(whole), size=cases(20, 400))]
    for case, place in enumerate(2 * places):
        cut = case < len(places)
        broken = bytearray(whole[:place] if cut else whole)
        if not cut:
            broken[place] ^= 1 << int(random.integers(8))
        newest.write_bytes(broken)
        caplog.clear()
        check(store(tmp_path).load(), 1)
        assert "epoch-00002.ckpt is damaged" in caplog.text
        assert not newest.exists(), "the next save would take it for the newest"


def test_where_all_are_damaged_training_starts_anew(tmp_path: Path) -> None:
    saved(tmp_path, 2)
    for path in tmp_path.glob("*.ckpt"):
        path.write_bytes(b"")
    assert store(tmp_path).load() is None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"the_cleaned_data": "other"}, "the cleaned data"),
        (
            {"the_cleaned_data": "other", "the_section_training": "other"},
            "the cleaned data, the section training",
        ),
        ({"the_code": "new"}, "the code"),
    ],
)
def test_a_checkpoint_of_other_settings_or_data_is_not_used_and_it_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, change: dict[str, str], named: str
) -> None:
    caplog.set_level(logging.INFO, "ml_tasks")
    saved(tmp_path, 2)
    assert store(tmp_path, **change).load() is None
    expected = f"training starts anew: since the checkpoint of epoch 2 there changed {named}"
    assert caplog.messages == [expected]
    assert store(tmp_path).load() is None, "it must not come back later, beside newer ones"


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    """An object array would run code of whoever can write the file."""
    made = store(tmp_path)
    made.save(Checkpoint(1, {"evil": np.array([print], object)}, {}))
    assert made.load() is None


def test_a_killed_writers_leftovers_are_removed(tmp_path: Path) -> None:
    made = saved(tmp_path, 1)
    leftover = tmp_path / ".epoch-00002.ckpt.0123abcd.tmp"
    leftover.write_bytes(b"half")
    check(store(tmp_path).load(), 1)
    made.save(checkpoint(2))
    assert not leftover.exists()


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 600) as disk:
        made = saved(disk / "checkpoint", 1)
        fill(disk)
        with pytest.raises(StorageError, match=r"no space left while writing .*epoch-00002\.ckpt"):
            made.save(checkpoint(2, kib=300))
        check(store(disk / "checkpoint").load(), 1)
        assert made.kept() == "the checkpoint of epoch 1 is kept"


def test_one_process_trains_a_run_at_a_time(tmp_path: Path) -> None:
    """An attempt that Airflow has given up may still be at work when the next one begins."""
    folder = tmp_path / "runs" / "r" / "checkpoint"
    with (
        store(folder).owned(),
        pytest.raises(RunBusy, match="another process still trains .*r; wait until it has ended"),
        store(folder).owned(),
    ):
        pass
    with store(folder).owned():
        pass
