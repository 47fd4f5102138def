"""What build_image keeps of a release's own pictures: anonymous, as the service will measure."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ml_tasks.build_image import _drift_reference
from ml_tasks.dataset.manifest import IndexRow
from ml_tasks.imaging.clean import preprocess
from ml_tasks.imaging.statistics import picture_statistics
from ml_tasks.monitoring import reference
from ml_tasks.monitoring.reference import (
    keep_reference,
    read_reference,
    reference_of,
    reference_rows,
)
from ml_tasks.records import PreprocessRecord, Split
from tests.toy_run import SPEC, make_toy_bundle, make_toy_run, phantom


def test_every_picture_of_a_run_is_one_row_and_only_unseen_ones_have_scores(tmp_path: Path) -> None:
    toy = make_toy_run(tmp_path)
    rows = _drift_reference(toy.run, toy.run.load(PreprocessRecord))
    by_split = {split: [row for row in rows if row.split is split] for split in Split}
    assert {split: len(found) for split, found in by_split.items()} == {
        Split.TRAIN: 4, Split.VAL: 4, Split.TEST: 12,
    }  # fmt: skip
    assert all(row.probability is None for row in by_split[Split.TRAIN])
    assert all(row.probability is not None for row in by_split[Split.VAL] + by_split[Split.TEST])
    assert sum(row.positive for row in rows) == 10


def test_the_figures_are_those_that_the_service_writes(tmp_path: Path) -> None:
    """Measured or rounded otherwise, every figure would seem to have drifted."""
    toy = make_toy_run(tmp_path)
    rows = _drift_reference(toy.run, toy.run.load(PreprocessRecord))
    told = {
        tuple(round(float(v), 4) for v in picture_statistics(preprocess(data, SPEC)).vector())
        for data in (phantom(60 + 8 * number) for number in range(20))
    }
    assert {row.figures() for row in rows} == told


def test_the_file_names_no_patient_and_no_picture_and_is_the_same_again(tmp_path: Path) -> None:
    toy, bundle = make_toy_run(tmp_path / "run"), make_toy_bundle(tmp_path)
    path = reference_of(bundle.parent.parent, bundle.parent.name)
    texts = []
    for _ in range(2):
        keep_reference(bundle, _drift_reference(toy.run, toy.run.load(PreprocessRecord)))
        texts.append(path.read_text())
    assert texts[0] == texts[1]
    assert path.parent.name == "record", "outside of the image"
    for word in ("P0", "P1", ".png", "Positive", str(tmp_path)):
        assert word not in texts[0]
    kept = read_reference(bundle.parent.parent, bundle.parent.name)
    assert kept is not None and len(kept) == 20


def test_of_many_pictures_a_fair_part_is_kept() -> None:
    count = 60
    index = [
        IndexRow(
            file=f"{at}", raw=f"{at}", label="Positive" if at < 30 else "Negative",
            patient=f"{at}", split=Split.TRAIN if at % 2 else Split.TEST, raw_sha256="",
        )
        for at in range(count)
    ]  # fmt: skip
    pixels = np.zeros((30, 128, 128), np.uint8)
    before, reference.MOST = reference.MOST, 20
    try:
        rows = reference_rows(
            index,
            {Split.TRAIN: pixels, Split.TEST: pixels},
            {row.raw: 0.5 for row in index},
            "Positive",
        )
    finally:
        reference.MOST = before
    for split in (Split.TRAIN, Split.TEST):
        positives = [row.positive for row in rows if row.split is split]
        assert len(positives) == 20
        assert 5 <= sum(positives) <= 15
