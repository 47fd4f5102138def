"""The directories of a run: ids keep apart, stages come in order, re-runs are noticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_tasks.errors import StageOrderError, StorageError
from ml_tasks.records import PreprocessRecord, TrainRecord, ValidationRecord
from ml_tasks.run_paths import RunPaths, folder_name
from ml_tasks.storage import sha256_file, write_bytes
from tests.builders import toy_config, validated, write_raw


@pytest.fixture
def run(tmp_path: Path) -> RunPaths:
    return RunPaths(tmp_path / "runs", "manual__2026-01-02T03:04:05+00:00")


def train_record(run: RunPaths, inputs: dict[str, str]) -> TrainRecord:
    return TrainRecord(
        run_id=run.run_id,
        inputs=inputs,
        model_sha256="ab",
        weights="none",
        device="CPU",
        epochs=1,
        best_epoch=1,
        val_loss=0.5,
        val_auc=0.5,
        seconds=1,
    )


def test_run_ids_with_colons_and_plus_signs_stay_apart() -> None:
    """Airflow's ids hold `:` and `+`; two that differ there only must not share a folder."""
    ids = [
        "manual__2026-01-02T03:04:05+00:00",
        "manual__2026-01-02T03:04:05-00:00",
        "manual__2026-01-02T03_04_05_00_00",
        "../up",
        ".hidden",
        "",
        "\u00e4",
        "\u00f6",
    ]
    names = [folder_name(run_id) for run_id in ids]
    assert len(set(names)) == len(ids)
    assert all(name and "/" not in name and not name.startswith(".") for name in names)


def test_a_plain_run_id_is_its_own_folder() -> None:
    assert folder_name("manual-20260102T030405Z") == "manual-20260102T030405Z"


def test_cleaned_and_logs_can_lie_elsewhere(tmp_path: Path) -> None:
    run = RunPaths(tmp_path, "r", cleaned=tmp_path / "cleaned", log_root=tmp_path / "logs")
    assert run.stage("preprocess") == tmp_path / "cleaned"
    assert run.logs == tmp_path / "logs" / "r"
    assert RunPaths(tmp_path, "r").stage("preprocess") == tmp_path / "r" / "cleaned"
    assert RunPaths(tmp_path, "r").logs == tmp_path / "r" / "logs"


def test_a_stage_that_is_not_complete_is_named_with_its_run(run: RunPaths) -> None:
    assert not run.has(PreprocessRecord)
    with pytest.raises(
        StageOrderError, match=r"preprocess is not complete for run 'manual__.*run "
    ):
        run.load(PreprocessRecord)


def test_a_stage_that_fails_in_the_middle_is_not_complete(run: RunPaths) -> None:
    with pytest.raises(RuntimeError, match="in the middle"), run.writing("train") as work:
        (work / "model.h5").write_bytes(b"half")
        raise RuntimeError("in the middle")
    assert not run.has(TrainRecord)
    assert not run.stage("train").exists()


def test_a_record_reads_back_the_same(run: RunPaths) -> None:
    record = train_record(run, {})
    with run.writing("train") as work:
        run.seal(work, record)
    assert run.load(TrainRecord) == record


def test_a_stage_run_anew_makes_what_was_built_on_it_out_of_date(
    run: RunPaths, tmp_path: Path
) -> None:
    """Else a model could be judged on other data than the record says."""
    config = toy_config(tmp_path)
    write_raw(config.paths.raw, patients=4)
    validated(run, config)
    later = train_record(run, run.mark(ValidationRecord))
    run.check_built_on(later, ValidationRecord)
    validated(run, config, started_at="2026-02-02T03:04:05+00:00")
    with pytest.raises(
        StageOrderError, match="train of run .* an earlier attempt of validate_data"
    ):
        run.check_built_on(later, ValidationRecord)


def test_a_stage_never_replaces_a_folder_that_it_did_not_write(tmp_path: Path) -> None:
    """`--output` may name a folder of the user's own: it must survive."""
    theirs = tmp_path / "my pictures"
    theirs.mkdir()
    (theirs / "holiday.jpg").write_bytes(b"precious")
    run = RunPaths(tmp_path / "runs", "r", cleaned=theirs)
    with (
        pytest.raises(StorageError, match="my pictures holds files that were not written by this"),
        run.writing("preprocess"),
    ):
        pass
    assert (theirs / "holiday.jpg").read_bytes() == b"precious"


def test_a_file_that_is_no_longer_the_records_is_refused(run: RunPaths) -> None:
    with run.writing("train") as work:
        (work / "model.h5").write_bytes(b"weights")
        run.seal(work, train_record(run, {}))
    record, path = run.load(TrainRecord), run.stage("train") / "model.h5"
    assert run.unaltered(record, "model.h5", sha256_file(path)) == path
    with pytest.raises(StageOrderError, match=r"model\.h5 is missing or was altered after train"):
        run.unaltered(record, "model.h5", record.model_sha256)


def test_a_run_is_found_again_with_the_folders_that_it_keeps_elsewhere(tmp_path: Path) -> None:
    run = RunPaths(tmp_path, "a run", cleaned=tmp_path / "cleaned", log_root=tmp_path / "logs")
    with pytest.raises(StageOrderError, match="there is no run 'a run'"):
        RunPaths.reopen(tmp_path, "a run")
    write_bytes(run.config, b"{}")
    assert RunPaths.reopen(tmp_path, "a run") == RunPaths(tmp_path, "a run")
    run.note_elsewhere()
    assert RunPaths.reopen(tmp_path, "a run") == run
