"""The stage preprocess: exactly the validated files, split by patient, written whole or not."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from ml_tasks.config import Config, SplitConfig
from ml_tasks.dataset.manifest import IndexRow, read_rows
from ml_tasks.dataset.pictures import array_file, open_pictures
from ml_tasks.dataset.shortcuts import read_outline
from ml_tasks.dataset.split import split_of
from ml_tasks.errors import DataError, StageOrderError, StorageError
from ml_tasks.imaging.clean import preprocess as clean_image
from ml_tasks.imaging.encode import decoded_png
from ml_tasks.imaging.spec import ImageSpec
from ml_tasks.preprocessing import preprocess
from ml_tasks.records import PreprocessRecord, Split, ValidationRecord
from ml_tasks.run_paths import RunPaths
from ml_tasks.storage import sha256_file
from tests.builders import (
    encoded,
    fill,
    film,
    small_disk,
    toy_config,
    validated,
    write_csv,
    write_raw,
)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Settings, and a raw folder of twenty patients."""
    made = toy_config(tmp_path)
    write_raw(made.paths.raw)
    return made


@pytest.fixture
def run(config: Config) -> RunPaths:
    """A run whose data have been validated."""
    started = RunPaths(config.paths.runs, "manual__2026-01-02T03:04:05+00:00")
    validated(started, config)
    return started


def index_of(run: RunPaths) -> list[IndexRow]:
    return read_rows(run.stage("preprocess") / "index.csv", IndexRow)


def pictures(run: RunPaths) -> set[str]:
    folder = run.stage("preprocess")
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*/*.png")}


def test_each_file_becomes_a_picture_in_its_split_and_class(run: RunPaths, config: Config) -> None:
    record = preprocess(run, config)
    index = index_of(run)
    assert pictures(run) == {row.file for row in index}
    assert len(index) == 20
    for row in index:
        assert row.file == f"{row.split}/{row.label}/{row.patient}.png"
        assert row.split is split_of(row.patient, config.split)
        assert row.raw_sha256 == sha256_file(config.paths.raw / row.raw)
        pixels = cv2.imread(str(run.stage("preprocess") / row.file), cv2.IMREAD_UNCHANGED)
        assert pixels is not None and pixels.dtype == np.uint8
        data = (config.paths.raw / row.raw).read_bytes()
        assert np.array_equal(pixels, clean_image(data, ImageSpec()))
    assert record.index_sha256 == sha256_file(run.stage("preprocess") / "index.csv")
    spec = (run.stage("preprocess") / "image_spec.json").read_text()
    assert ImageSpec.model_validate_json(spec).sha256() == record.spec_sha256
    outline = read_outline(run.unaltered(record, "controls.json", record.controls_sha256))
    assert outline is not None and outline.images == 20
    run.check_built_on(record, ValidationRecord)


def test_each_splits_array_holds_its_pictures_in_the_order_of_the_index(
    run: RunPaths, config: Config
) -> None:
    record = preprocess(run, config)
    folder, index = run.stage("preprocess"), index_of(run)
    assert set(record.arrays_sha256) == set(Split)
    for split in Split:
        rows = [row for row in index if row.split is split]
        path = run.unaltered(record, array_file(split), record.arrays_sha256[split])
        array = open_pictures(path, len(rows))
        assert array.shape == (len(rows), 128, 128)
        for row, pixels in zip(rows, array, strict=True):
            assert np.array_equal(pixels, decoded_png((folder / row.file).read_bytes()))


def test_the_record_counts_what_there_is(run: RunPaths, config: Config) -> None:
    record = preprocess(run, config)
    index = index_of(run)
    assert record.classes == ("Negative", "Positive") and record.positive == "Positive"
    for split in Split:
        for label, count in record.counts[split].items():
            assert count == sum(row.split is split and row.label == label for row in index)
    assert sum(record.patients.values()) == 20
    assert len(set(record.trained_on.values())) == 1, "training is balanced"


def test_no_patient_is_in_two_splits(tmp_path: Path) -> None:
    """Two pictures of one woman in training and test make the test figures worthless."""
    config = toy_config(tmp_path)
    rows = []
    for number in range(40):
        label = "Positive" if number % 2 else "Negative"
        path = config.paths.raw / label / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(film(number)))
        rows.append({"file": f"{label}/{path.name}", "patient_id": f"P{number // 3}"})
    write_csv(config.paths.raw / "metadata.csv", rows)
    run = RunPaths(config.paths.runs, "r")
    validated(run, config)
    preprocess(run, config)
    splits: dict[str, set[Split]] = {}
    for row in index_of(run):
        splits.setdefault(row.patient, set()).add(row.split)
    assert len(splits) == 14
    assert all(len(found) == 1 for found in splits.values())


def test_a_set_aside_file_is_left_out_and_counted(tmp_path: Path) -> None:
    config = toy_config(tmp_path)
    write_raw(config.paths.raw, patients=24)
    (config.paths.raw / "Positive" / "zero.png").touch()
    run = RunPaths(config.paths.runs, "r")
    validated(run, config)
    record = preprocess(run, config)
    assert record.quarantined == 1
    assert len(index_of(run)) == 24


def test_a_file_changed_after_validation_is_refused_by_name(run: RunPaths, config: Config) -> None:
    """The validated bytes are the ones that are judged: nothing slips in between."""
    (config.paths.raw / "Positive" / "P007.png").write_bytes(encoded(film(99)))
    with pytest.raises(DataError, match=r"P007\.png changed after validate_data; put it back"):
        preprocess(run, config)
    assert not run.stage("preprocess").exists()


def test_a_file_that_vanished_after_validation_is_named(run: RunPaths, config: Config) -> None:
    (config.paths.raw / "Positive" / "P007.png").unlink()
    with pytest.raises(DataError, match=r"P007\.png vanished after validate_data"):
        preprocess(run, config)


def test_files_that_came_after_validation_are_not_used(run: RunPaths, config: Config) -> None:
    write_raw(config.paths.raw, patients=4, number_from=50)
    preprocess(run, config)
    assert len(index_of(run)) == 20


def test_a_manifest_altered_by_hand_is_refused(run: RunPaths, config: Config) -> None:
    path = run.stage("validate_data") / "manifest.csv"
    path.write_text(path.read_text().replace("P001", "P002"))
    with pytest.raises(StageOrderError, match=r"manifest\.csv is missing or was altered after val"):
        preprocess(run, config)


def test_without_validation_it_does_not_start(config: Config) -> None:
    with pytest.raises(StageOrderError, match="validate_data is not complete .* run validate_data"):
        preprocess(RunPaths(config.paths.runs, "other"), config)


def test_a_rerun_gives_the_same_and_replaces_only_its_own_output(
    run: RunPaths, config: Config
) -> None:
    preprocess(run, config)
    first = (run.stage("preprocess") / "record.json").read_bytes()
    other = run.root / "train"
    other.mkdir()
    (other / "model.h5").write_bytes(b"weights")
    (run.stage("preprocess") / "stray.txt").write_text("from nowhere")
    preprocess(run, config)
    assert (run.stage("preprocess") / "record.json").read_bytes() == first
    assert not (run.stage("preprocess") / "stray.txt").exists()
    assert (other / "model.h5").read_bytes() == b"weights"


def test_a_class_with_too_few_patients_is_named_and_the_old_output_stands(
    run: RunPaths, config: Config
) -> None:
    preprocess(run, config)
    before = pictures(run)
    elsewhere = config.paths.model_copy(update={"splits": config.paths.splits / "new"})
    shares = SplitConfig(validation=0.001, test=0.25)
    greedy = config.model_copy(update={"split": shares, "paths": elsewhere})
    with pytest.raises(
        DataError, match=r"class Negative has too few patients to split: its 10 pat"
    ):
        preprocess(run, greedy)
    assert pictures(run) == before


def test_two_files_of_one_stem_get_names_of_their_own(tmp_path: Path) -> None:
    """a.png and a.tif of one class would else overwrite one another."""
    config = toy_config(tmp_path)
    write_raw(config.paths.raw, metadata=False)
    other = config.paths.raw / "Positive" / "P001.tif"
    other.write_bytes(encoded(film(70), "TIFF"))
    config = config.model_copy(
        update={"data": config.data.model_copy(update={"patient_pattern": r"^(P\d+)"})}
    )
    run = RunPaths(config.paths.runs, "r")
    validated(run, config)
    preprocess(run, config)
    both = {row.raw: row.file for row in index_of(run) if row.patient == "P001"}
    assert len(set(both.values())) == 2
    assert both["Positive/P001.png"].endswith("/Positive/P001.png")
    assert re.fullmatch(r"\w+/Positive/P001~[0-9a-f]{8}\.png", both["Positive/P001.tif"])
    assert pictures(run) == {row.file for row in index_of(run)}


def test_a_full_disk_leaves_the_old_output(tmp_path: Path) -> None:
    config = toy_config(tmp_path)
    write_raw(config.paths.raw)
    with small_disk(config.paths.runs, 4096) as disk:
        run = RunPaths(disk, "r")
        validated(run, config)
        preprocess(run, config)
        before, record = pictures(run), run.load(PreprocessRecord)
        fill(disk)
        with pytest.raises(
            StorageError, match="no space left while writing .*; nothing was replaced"
        ):
            preprocess(run, config)
        assert pictures(run) == before
        assert run.load(PreprocessRecord) == record
        assert [path for path in run.root.iterdir() if path.name.endswith(".tmp")] == []
        (disk / "filler").unlink()
        assert preprocess(run, config) == record


def test_a_raw_folder_moved_away_is_told(run: RunPaths, config: Config) -> None:
    shutil.move(config.paths.raw, config.paths.raw.with_name("moved"))
    with pytest.raises(DataError, match="vanished after validate_data"):
        preprocess(run, config)
