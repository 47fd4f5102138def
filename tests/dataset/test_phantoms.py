"""The sample data: the same from one seed, readable, with what cleaning has to remove."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ml_tasks.config import SplitConfig
from ml_tasks.config_gate import GatePolicy
from ml_tasks.dataset.phantoms import HEIGHT, PATIENTS, WIDTH, phantom, write_sample
from ml_tasks.dataset.split import split_of
from ml_tasks.errors import StorageError
from ml_tasks.evaluation.exact_intervals import auc_interval, binomial_interval
from ml_tasks.records import Split
from ml_tasks.storage import sha256_file
from tests.builders import cleaned_film, scanned


def hashes(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}


def test_one_seed_gives_the_same_files(tmp_path: Path) -> None:
    assert write_sample(tmp_path / "one", patients=3) == 6
    write_sample(tmp_path / "two", patients=3)
    write_sample(tmp_path / "other", patients=3, seed=8)
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two")
    assert hashes(tmp_path / "one") != hashes(tmp_path / "other")


def test_more_patients_leave_the_first_ones_as_they_were(tmp_path: Path) -> None:
    write_sample(tmp_path / "few", patients=2)
    write_sample(tmp_path / "more", patients=3)
    few, more = hashes(tmp_path / "few"), hashes(tmp_path / "more")
    assert all(more[name] == value for name, value in few.items() if name.endswith(".png"))


def test_the_sample_is_a_good_raw_folder(tmp_path: Path) -> None:
    write_sample(tmp_path / "raw", patients=4)
    rows, warnings = scanned(tmp_path / "raw")
    assert all(row.usable for row in rows) and warnings == ()
    assert len({row.patient for row in rows}) == 4
    assert len({row.pixel_sha256 for row in rows}) == 8


def test_a_folder_that_holds_data_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "film.png").write_bytes(b"real")
    with pytest.raises(StorageError, match="holds files that were not written by this stage"):
        write_sample(tmp_path, patients=1)
    assert (tmp_path / "film.png").read_bytes() == b"real"


def test_phantoms_are_cleaned_to_one_breast() -> None:
    """Label, tape and frame of the phantoms lie outside; cleaning must leave none of them."""
    for number in range(12):
        film = phantom(np.random.default_rng(number), lesion=bool(number % 2))
        assert film.shape == (HEIGHT, WIDTH) and film.dtype == np.uint8
        cleaned = cleaned_film(film)
        assert 0.3 < np.count_nonzero(cleaned) / cleaned.size < 0.9
        assert not cleaned[:20, 110:].any() and not cleaned[-20:, 110:].any()


def test_the_sample_has_test_patients_enough_for_the_default_gate() -> None:
    """A model without a mistake must pass, also beside one before it without a mistake."""
    policy, split = GatePolicy(), SplitConfig()
    assert policy.non_inferiority is not None
    names = [(patient, f"phantom_{patient:03d}") for patient in range(PATIENTS)]
    tests = [patient for patient, name in names if split_of(name, split) is Split.TEST]
    positives = sum(patient % 2 for patient in tests)
    least_auc, _ = auc_interval(1, positives, len(tests) - positives)
    least_sensitivity, _ = binomial_interval(positives, positives)
    assert least_sensitivity >= policy.min_sensitivity and least_auc >= policy.min_auc
    assert 1 - least_auc <= policy.non_inferiority.margin
