"""Augmentation acts in training only; batches come in the order that the seed says."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np

from ml_tasks.config import ModelConfig
from ml_tasks.config_training import AugmentationConfig
from ml_tasks.model.backend import keras
from ml_tasks.model.export import save_network
from ml_tasks.model.training_network import Batches, training_network
from tests.builders import toy_network


def grey_pictures(count: int = 8) -> np.ndarray:
    random = np.random.default_rng(3)
    return random.integers(0, 256, (count, 128, 128, 1), np.uint8)


def random_layers(network: keras.Model) -> list[str]:
    names = (type(layer).__name__ for layer in network.layers)
    return [name for name in names if name.startswith("Random")]


def test_augmentation_does_nothing_in_inference() -> None:
    network = toy_network(ModelConfig(weights="none"))
    trainer = training_network(network, AugmentationConfig(), seed=1)
    grey = grey_pictures()
    colour = np.repeat(grey.astype(np.float32), 3, axis=-1)
    expected = np.asarray(network(colour, training=False))
    assert np.array_equal(np.asarray(trainer(grey, training=False)), expected)


def test_what_ships_has_no_random_layer(tmp_path: Path) -> None:
    network = toy_network(ModelConfig(weights="none"))
    trainer = training_network(network, AugmentationConfig(), seed=1)
    assert random_layers(trainer) == ["RandomFlip", "RandomAffine", "RandomContrast"]
    assert random_layers(network) == []
    save_network(network, tmp_path / "model.h5")
    with h5py.File(tmp_path / "model.h5") as file:
        layers = json.loads(file.attrs["model_config"])["config"]["layers"]
    assert not [layer for layer in layers if "random" in layer["class_name"].lower()]


def batches(size: int = 4, seed: int | None = None) -> Batches:
    pixels = np.arange(6, dtype=np.uint8)[:, None, None] * np.ones((6, 128, 128), np.uint8)
    labels = np.array([0, 1, 0, 1, 0, 1], np.float32)
    order = np.array([0, 1, 1, 2, 3, 4, 5, 5, 5], np.intp)
    return Batches(pixels, labels, order, size, seed=seed)


def numbers(of: Batches) -> list[int]:
    """Which pictures an epoch shows, in order; checks shapes and labels on the way."""
    shown: list[int] = []
    for index in range(len(of)):
        images, labels = of[index]
        assert images.shape[1:] == (128, 128, 1) and images.dtype == np.uint8
        assert labels.shape == (len(images), 1)
        found = images[:, 0, 0, 0].astype(int).tolist()
        assert labels[:, 0].tolist() == [number % 2 for number in found]
        shown += found
    return shown


def test_validation_sees_the_pictures_as_they_are_stored() -> None:
    """Else the best epoch would be chosen by chance; predict and evaluate are held to that."""
    network = toy_network(ModelConfig(weights="none"))
    trainer = training_network(network, AugmentationConfig(), seed=1)
    trainer.compile(loss="binary_crossentropy", jit_compile=False)
    plain = batches()
    shown = np.concatenate([plain[index][0] for index in range(len(plain))])
    colour = np.repeat(shown.astype(np.float32), 3, axis=-1)
    expected = np.asarray(network(colour, training=False))
    assert np.allclose(trainer.predict(plain, verbose=0), expected, atol=1e-6)
    truth = np.concatenate([plain[index][1] for index in range(len(plain))])
    loss = float(-np.mean(np.log(np.where(truth == 1, expected, 1 - expected))))
    assert np.isclose(trainer.evaluate(plain, verbose=0), loss, rtol=1e-5)


def test_batches_without_a_seed_keep_the_order_and_the_repeats() -> None:
    plain = batches()
    assert len(plain) == 3
    assert numbers(plain) == [0, 1, 1, 2, 3, 4, 5, 5, 5]
    plain.begin_epoch(1)
    assert numbers(plain) == [0, 1, 1, 2, 3, 4, 5, 5, 5]


def test_batches_with_a_seed_are_shuffled_anew_for_each_epoch() -> None:
    shuffled = batches(seed=1)
    first = numbers(shuffled)
    shuffled.begin_epoch(1)
    second = numbers(shuffled)
    assert sorted(first) == sorted(second) == numbers(batches())
    assert first != second
    assert numbers(batches(seed=1)) == first
    assert numbers(batches(seed=2)) != first
    again = batches(seed=1)
    again.begin_epoch(1)
    assert numbers(again) == second, "a resumed training must see what an unbroken one sees"
