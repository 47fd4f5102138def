"""The stage train, on a toy network: what it leaves, and what stops it."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from ml_tasks.config import DataConfig
from ml_tasks.errors import StageOrderError, TrainingError
from ml_tasks.model.checkpoint import Checkpoint, CheckpointStore, differences
from ml_tasks.records import PreprocessRecord, TrainRecord
from ml_tasks.run_paths import RunPaths
from ml_tasks.storage import sha256_file
from ml_tasks.train import train, training_key
from tests.builders import prepared, quick_training, toy_config, use_toy_network


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    use_toy_network(monkeypatch)


def test_it_leaves_the_model_its_classes_its_history_and_live_logs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ml_tasks")
    meaning = {"Positive": "abnormality present", "Other": "unused"}
    config = toy_config(
        tmp_path,
        training=quick_training(),
        data=DataConfig(min_patients_per_class=5, class_meaning=meaning),
    )
    run = prepared(config)
    stale = run.logs / "train" / "events.out.tfevents.old"
    stale.parent.mkdir(parents=True)
    stale.touch()
    record = train(run, config)
    folder = run.stage("train")
    assert run.load(TrainRecord) == record
    assert record.model_sha256 == sha256_file(folder / "model.h5")
    assert record.epochs == 3 and 1 <= record.best_epoch <= 3
    assert (record.weights, record.device[:3]) in {("none", "CPU"), ("none", "GPU")}
    run.check_built_on(record, PreprocessRecord)
    assert json.loads((folder / "classes.json").read_text()) == {
        "classes": ["Negative", "Positive"],
        "positive": "Positive",
        "output": "probability of Positive",
        "meaning": {"Negative": "", "Positive": "abnormality present"},
    }
    history = json.loads((folder / "history.json").read_text())
    assert [row["epoch"] for row in history] == [1, 2, 3]
    best = history[record.best_epoch - 1]
    assert best["val_loss"] == record.val_loss == min(row["val_loss"] for row in history)
    for split in ("train", "validation"):
        assert list((run.logs / split).glob("events.out.tfevents.*"))
    assert not stale.exists(), "curves of an earlier attempt would be drawn over these"
    lines = [line.getMessage() for line in caplog.records]
    assert sum(line.startswith("epoch ") for line in lines) == 3
    assert lines[-1] == record.summary()


def test_a_second_attempt_goes_on_and_tells_the_time_of_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ml_tasks")
    config = toy_config(tmp_path, training=quick_training())
    run = prepared(config)
    original = CheckpointStore.save

    def save(store: CheckpointStore, checkpoint: Checkpoint) -> None:
        original(store, checkpoint)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(CheckpointStore, "save", save)
        with pytest.raises(KeyboardInterrupt):
            train(run, config)
    curves = sorted(run.logs.rglob("events.out.tfevents.*"))
    record = train(run, config)
    assert record.resumed_from == (1,) and record.epochs == 3
    assert caplog.messages.count("resumed from epoch 1") == 1
    assert set(curves) < set(run.logs.rglob("events.out.tfevents.*")), "the curves go on"
    assert not run.checkpoint.exists()


def test_what_a_training_hangs_on_is_told_apart(tmp_path: Path) -> None:
    """A run in another folder on the same data may go on; other data or settings may not."""
    config = toy_config(tmp_path)
    cleaned = prepared(config).load(PreprocessRecord)
    key = training_key(cleaned, config)
    elsewhere = cleaned.model_copy(update={"run_id": "s", "raw": "/x", "started_at": "later"})
    other_gate = config.model_copy(update={"gate": config.gate.model_copy()})
    assert training_key(elsewhere, other_gate) == key
    for changes, name in (
        ({"training": quick_training(seed=9)}, "the section training"),
        ({"model": config.model.model_copy(update={"dropout": 0.1})}, "the section model"),
    ):
        assert differences(key, training_key(cleaned, config.model_copy(update=changes))) == [name]
    for field in ("index_sha256", "training_data_sha256", "positive"):
        other = cleaned.model_copy(update={field: "other"})
        assert differences(key, training_key(other, config)) == ["the cleaned data"]


def test_the_positive_class_is_the_one_of_the_settings(tmp_path: Path) -> None:
    """The second class by name need not be the positive one."""
    data = DataConfig(min_patients_per_class=5, positive="Negative")
    config = toy_config(tmp_path, training=quick_training(epochs=1), data=data)
    run = prepared(config)
    train(run, config)
    classes = json.loads((run.stage("train") / "classes.json").read_text())
    assert classes["classes"] == ["Positive", "Negative"] and classes["positive"] == "Negative"


def test_one_seed_gives_the_same_model_twice(tmp_path: Path) -> None:
    config = toy_config(tmp_path, training=quick_training(epochs=1))
    run = prepared(config)
    first = train(run, config)
    second = train(run, config)
    assert second.val_loss == pytest.approx(first.val_loss, rel=1e-3)
    other = config.model_copy(update={"training": quick_training(epochs=1, seed=2)})
    assert train(run, other).val_loss != pytest.approx(first.val_loss, rel=1e-3)


def test_without_cleaned_data_it_does_not_start(tmp_path: Path) -> None:
    config = toy_config(tmp_path)
    with pytest.raises(StageOrderError, match="preprocess is not complete .* run preprocess first"):
        train(RunPaths(config.paths.runs, "r"), config)


def test_an_attempt_that_fails_leaves_the_model_of_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = toy_config(tmp_path, training=quick_training(epochs=1))
    run = prepared(config)
    first = train(run, config)

    def no_network(_: object) -> None:
        raise TrainingError("no weights to be had")

    monkeypatch.setattr("ml_tasks.train.build_network", no_network)
    with pytest.raises(TrainingError, match="no weights to be had"):
        train(run, config)
    assert run.load(TrainRecord) == first
    assert sha256_file(run.stage("train") / "model.h5") == first.model_sha256


@pytest.mark.parametrize("name", ["train.npy", "val.npy"])
def test_pictures_altered_after_preprocess_are_refused(tmp_path: Path, name: str) -> None:
    """One bit is enough: the model would be of other data than its record says."""
    config = toy_config(tmp_path)
    run = prepared(config)
    path = run.stage("preprocess") / name
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(StageOrderError, match=rf"{name} is missing or was altered after preproc"):
        train(run, config)
    path.unlink()
    with pytest.raises(StageOrderError, match=rf"{name} is missing or was altered after preproc"):
        train(run, config)


def test_an_index_altered_by_hand_is_refused(tmp_path: Path) -> None:
    """Moving a line from test to train would leak the test split without a trace."""
    config = toy_config(tmp_path)
    run = prepared(config)
    index = run.stage("preprocess") / "index.csv"
    index.write_text(index.read_text().replace('"test"', '"train"'))
    with pytest.raises(
        StageOrderError, match=r"index\.csv is missing or was altered after preproc"
    ):
        train(run, config)
