"""Fine-tuning the real DenseNet-121 from a weights file made here, through the stage itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ml_tasks.config import ModelConfig
from ml_tasks.errors import TrainingError
from ml_tasks.model.backend import keras
from ml_tasks.model.callbacks import KeepBest
from ml_tasks.model.network import load_network
from ml_tasks.records import TrainRecord
from ml_tasks.storage import sha256_file
from ml_tasks.train import train
from tests.builders import prepared, toy_config
from tests.counts import cases

STEPS: list[dict[str, Any]] = [
    {"blocks": [], "share": 1, "learning_rate": 1e-3},
    {"blocks": ["conv5"], "share": 1, "learning_rate": 1e-3},
    {"blocks": ["conv4", "conv5"], "share": 1, "learning_rate": 1e-3},
]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """DenseNet-121 without its top, as Keras saves it; random, but not as a new one would be."""
    base = keras.applications.DenseNet121(include_top=False, weights=None, input_shape=(64, 64, 3))
    random = np.random.default_rng(5)
    for layer in base.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = layer.get_weights()
            spread = random.uniform(0.8, 1.2, variance.shape)
            layer.set_weights([gamma, beta + 0.01, mean + 0.02, spread])
    path = tmp_path_factory.mktemp("weights") / "densenet121_notop.weights.h5"
    base.save_weights(path)
    return path


def by_layer(network: keras.Model) -> dict[str, list[NDArray[np.float32]]]:
    return {layer.name: layer.get_weights() for layer in network.layers if layer.weights}


def changed(
    before: Mapping[str, list[NDArray[np.float32]]], after: Mapping[str, list[NDArray[np.float32]]]
) -> set[str]:
    return {
        name for name, values in before.items() if not all(map(np.array_equal, values, after[name]))
    }


def test_each_step_changes_what_it_names_and_nothing_else(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights file, freezing, batch norms, stage and model.h5 in one go."""
    seen = _weights_after_each_epoch(monkeypatch)
    model = ModelConfig(weights=str(weights), weights_sha256=sha256_file(weights))
    steps = STEPS[: cases(2, 3)]
    config = toy_config(
        tmp_path,
        model=model,
        training={"batch_size": 6, "epochs": len(steps), "unfreezing": steps},
    )
    run = prepared(config)
    base = keras.applications.DenseNet121(include_top=False, weights=None, input_shape=(64, 64, 3))
    base.load_weights(weights)
    before = by_layer(base)
    record = train(run, config)
    assert run.load(TrainRecord) == record and record.epochs == len(steps)
    history = json.loads((run.stage("train") / "history.json").read_text())
    assert [row["epoch"] for row in history] == [*range(1, len(steps) + 1)]
    kernels = {block: _kernels(before, block) for block in ("conv4", "conv5")}
    expected: set[str] = set()
    for step, after in zip(steps, seen, strict=True):
        expected |= {name for block in step["blocks"] for name in kernels[block]}
        moved = changed(before, after)
        assert moved <= expected, "frozen layers, and all pretrained batch norms, stay as they came"
        assert all(kernels[block] <= moved for block in step["blocks"])
    saved = by_layer(load_network(config.model, run.stage("train") / "model.h5"))
    assert not changed(seen[record.best_epoch - 1], saved), "the best epoch's weights were kept"


def _kernels(layers: Mapping[str, list[NDArray[np.float32]]], block: str) -> set[str]:
    """The convolutions of a dense block; its batch norms are frozen in a pretrained base."""
    found = {name for name, values in layers.items() if name.startswith(block) and len(values) == 1}
    assert len(found) >= 32
    return found


def _weights_after_each_epoch(
    monkeypatch: pytest.MonkeyPatch,
) -> list[dict[str, list[NDArray[np.float32]]]]:
    seen: list[dict[str, list[NDArray[np.float32]]]] = []
    keep = KeepBest.on_epoch_end

    def watched(callback: KeepBest, epoch: int, logs: dict[str, Any] | None = None) -> None:
        seen.append(by_layer(callback._network))
        keep(callback, epoch, logs)

    monkeypatch.setattr(KeepBest, "on_epoch_end", watched)
    return seen


def test_a_weights_file_with_another_hash_never_trains(tmp_path: Path, weights: Path) -> None:
    config = toy_config(tmp_path, model=ModelConfig(weights=str(weights), weights_sha256="ab" * 32))
    run = prepared(config)
    with pytest.raises(TrainingError, match=rf"SHA-256 is {sha256_file(weights)}, and model\.wei"):
        train(run, config)
    assert not run.stage("train").exists()
