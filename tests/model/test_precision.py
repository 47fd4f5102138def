"""Precision and compiling are chosen by the device; what is saved and exported is float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ml_tasks.config import ModelConfig
from ml_tasks.config_training import TrainingConfig
from ml_tasks.imaging.spec import ImageSpec
from ml_tasks.inference.scorer import Scorer
from ml_tasks.model.activation_map import export_explained
from ml_tasks.model.backend import keras
from ml_tasks.model.device import Devices
from ml_tasks.model.export import save_network
from ml_tasks.model.precision import (
    MIXED,
    compiled,
    computing_in,
    in_float32,
    precision_policy,
)
from ml_tasks.model.training_network import training_network
from ml_tasks.model.weights_file import load_weights
from tests.builders import NO_AUGMENTATION, toy_network
from tests.model.test_device import devices, gpu

SCRATCH = ModelConfig(weights="none")
H100 = devices(gpu())
T4 = devices(gpu().model_copy(update={"compute_capability": (7, 5)}))
CPU = devices(unknown="no driver")


@pytest.mark.parametrize(
    ("setting", "machine", "policy"),
    [
        ("auto", H100, MIXED),
        ("auto", T4, "float32"),  # bfloat16 is emulated there
        ("auto", CPU, "float32"),
        ("auto", devices(usable=1), "float32"),  # nobody knows what it can do
        ("float32", H100, "float32"),
        ("mixed", CPU, MIXED),
    ],
)
def test_the_device_decides_on_the_precision_unless_the_settings_do(
    setting: str, machine: Devices, policy: str
) -> None:
    training = TrainingConfig.model_validate({"precision": setting})
    assert precision_policy(training, machine) == policy


@pytest.mark.parametrize(
    ("setting", "machine", "backend", "deterministic", "expected"),
    [
        ("auto", H100, "tensorflow", False, True),
        ("auto", CPU, "tensorflow", False, False),
        ("auto", H100, "tensorflow", True, False),
        ("on", CPU, "tensorflow", False, True),
        ("on", CPU, "tensorflow", True, False),
        ("off", H100, "tensorflow", False, False),
        ("off", CPU, "jax", True, True),  # else it would run operation by operation
        ("on", H100, "torch", False, False),
    ],
)
def test_what_is_compiled(
    setting: str, machine: Devices, backend: str, deterministic: bool, expected: bool
) -> None:
    training = TrainingConfig.model_validate({"xla": setting})
    on = machine.model_copy(update={"backend": backend})
    assert compiled(training, on, deterministic) is expected


def test_compiling_that_was_asked_for_and_cannot_be_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    compiled(TrainingConfig(xla="on"), CPU, deterministic=True)
    assert "training.xla: off, since training is deterministic" in caplog.text


def trained_in_mixed() -> tuple[keras.Model, np.ndarray]:
    """The toy after some steps in bfloat16, and the pictures it learned from."""
    keras.utils.set_random_seed(1)
    with computing_in(MIXED):
        network = toy_network(SCRATCH)
        trainer = training_network(network, NO_AUGMENTATION, seed=1)
    grey = np.random.default_rng(2).integers(0, 256, (8, 128, 128, 1), np.uint8)
    labels = (np.arange(8) % 2).astype(np.float32)[:, None]
    trainer.compile(optimizer="adam", loss="binary_crossentropy", jit_compile=False)
    for _ in range(3):
        loss = trainer.train_on_batch(grey, labels)
    assert np.isfinite(loss)
    return network, grey


def test_mixed_training_computes_in_bfloat16_and_leaves_a_float32_file(tmp_path: Path) -> None:
    network, grey = trained_in_mixed()
    assert network.get_layer("conv5_conv").compute_dtype == "bfloat16"
    assert keras.config.dtype_policy().name == "float32", "the policy ends with its block"
    path = tmp_path / "model.h5"
    save_network(network, path)
    with h5py.File(path) as file:
        assert "bfloat16" not in file.attrs["model_config"]
        kinds: set[Any] = set()
        file.visititems(
            lambda _, item: kinds.add(item.dtype.name) if hasattr(item, "dtype") else None
        )
    assert kinds == {"float32"}
    again = toy_network(SCRATCH)
    load_weights(again, path, "")
    for mine, theirs in zip(network.get_weights(), again.get_weights(), strict=True):
        assert np.array_equal(mine, theirs), "the weights were float32 all along"
    images = np.repeat(grey.astype(np.float32), 3, axis=-1)
    exact, mixed = again.predict(images, verbose=0), network.predict(images, verbose=0)
    assert again.output.dtype == "float32"
    assert 0 < np.abs(exact - mixed).max() < 0.05, "bfloat16 is near, but not the same"
    export_explained(again, tmp_path / "model.onnx")
    found = Scorer.load(tmp_path / "model.onnx", ImageSpec()).probabilities(grey[..., 0])
    assert np.abs(found - exact[:, 0]).max() < 1e-5


def test_a_float32_network_is_saved_as_it_is() -> None:
    network = toy_network(SCRATCH)
    assert in_float32(network) is network
