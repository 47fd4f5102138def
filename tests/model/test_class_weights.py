"""Class weights: they scale the training loss by class, and nothing else."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from ml_tasks.config import Config, ModelConfig, SplitConfig
from ml_tasks.config_training import TrainingConfig
from ml_tasks.model.backend import keras
from ml_tasks.model.fit import Pictures, epoch_order, fit
from ml_tasks.preprocessing import preprocess
from ml_tasks.records import Split
from ml_tasks.run_paths import RunPaths
from ml_tasks.train import train
from tests.builders import (
    NO_AUGMENTATION,
    encoded,
    film,
    fit_places,
    quick_training,
    toy_config,
    toy_network,
    use_toy_network,
    validated,
    write_csv,
)


def pictures() -> Pictures:
    """Sixteen noisy pictures; every fourth is positive."""
    pixels = np.random.default_rng(7).integers(0, 256, (16, 128, 128), np.uint8)
    labels = (np.arange(16) % 4 == 0).astype(np.float32)
    return Pictures(pixels, labels, epoch_order([1] * 16))


def test_the_loss_of_a_picture_is_scaled_by_its_class(tmp_path: Path) -> None:
    """Only the head learns, next to nothing, so the network's own answers give the loss."""
    still = {"blocks": [], "share": 1, "learning_rate": 1e-12}
    config = Config(
        model=ModelConfig(weights="imagenet", dropout=0),
        training=TrainingConfig.model_validate(
            {
                "batch_size": 4,
                "epochs": 1,
                "unfreezing": [still],
                "augmentation": NO_AUGMENTATION,
            }
        ),
    )
    keras.utils.set_random_seed(1)
    network, data, weights = toy_network(config.model), pictures(), {0: 0.5, 1: 3.0}
    images = np.repeat(data.pixels[..., np.newaxis].astype(np.float32), 3, axis=-1)
    found = np.asarray(network(images, training=False))[:, 0]
    each = -np.where(data.labels == 1, np.log(found), np.log(1 - found))
    scaled = np.where(data.labels == 1, weights[1], weights[0]) * each
    history = fit(network, data, data, config, fit_places(tmp_path), weights).history
    assert history[0]["loss"] == pytest.approx(scaled.mean(), rel=1e-4)
    assert history[0]["val_loss"] == pytest.approx(each.mean(), rel=1e-4)
    assert scaled.mean() != pytest.approx(each.mean(), rel=0.05)


def test_training_reads_the_weights_that_preprocess_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ml_tasks")
    use_toy_network(monkeypatch)
    split = SplitConfig(validation=0.25, test=0.25, balance="class_weights")
    config = toy_config(tmp_path, split=split, training=quick_training(epochs=1))
    _write_three_to_one(config.paths.raw, patients=40)
    run = RunPaths(config.paths.runs, "r")
    validated(run, config)
    record = preprocess(run, config)
    counts = record.counts[Split.TRAIN]
    assert record.trained_on == counts, "nothing is repeated or left out"
    total = sum(counts.values())
    assert record.class_weights == {
        name: pytest.approx(total / (2 * count)) for name, count in counts.items()
    }
    assert f"weighted Negative {record.class_weights['Negative']:.3g}" in record.summary()
    train(run, config)
    (line,) = [text for text in caplog.messages if text.startswith("class weights in training")]
    assert str(record.class_weights) in line


def _write_three_to_one(raw: Path, patients: int) -> None:
    rows = []
    for number in range(patients):
        label = "Negative" if number % 4 else "Positive"
        path = raw / label / f"P{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(film(number, lesion=label == "Positive")))
        rows.append({"file": f"{label}/P{number}.png", "patient_id": f"P{number}"})
    write_csv(raw / "metadata.csv", rows)
