"""Augmentation acts in training only; batches come in the order that the seed says."""

from __future__ import annotations

import numpy as np
import pytest

from ml_tasks.config import ModelConfig
from ml_tasks.config_training import AugmentationConfig
from ml_tasks.model.backend import keras
from ml_tasks.model.training_network import Batches, training_network
from tests.builders import toy_network

OFF = AugmentationConfig(rotation_degrees=0, horizontal_flip=False, vertical_flip=False)


def looking_through() -> keras.Model:
    """A network whose output is its input."""
    inputs = keras.Input((128, 128, 3))
    return keras.Model(inputs, keras.layers.Identity()(inputs))


def grey_pictures(count: int = 8) -> np.ndarray:
    random = np.random.default_rng(3)
    return random.integers(0, 256, (count, 128, 128, 1)).astype(np.float32)


def random_layers(network: keras.Model) -> list[str]:
    names = (type(layer).__name__ for layer in network.layers)
    return [name for name in names if name.startswith("Random")]


def test_augmentation_does_nothing_in_inference() -> None:
    network = toy_network(ModelConfig(weights="none"))
    trainer = training_network(network, AugmentationConfig(), seed=1)
    grey = grey_pictures()
    expected = np.asarray(network(np.repeat(grey, 3, axis=-1), training=False))
    assert np.array_equal(np.asarray(trainer(grey, training=False)), expected)


def test_what_ships_has_no_random_layer() -> None:
    network = toy_network(ModelConfig(weights="none"))
    trainer = training_network(network, AugmentationConfig(), seed=1)
    assert random_layers(trainer) == ["RandomFlip", "RandomRotation"]
    assert random_layers(network) == []
    assert random_layers(training_network(network, OFF, seed=1)) == []


@pytest.mark.parametrize(("horizontal", "vertical", "axis"), [(True, False, 2), (False, True, 1)])
def test_a_flip_turns_some_pictures_about_and_no_other_way(
    horizontal: bool, vertical: bool, axis: int
) -> None:
    config = OFF.model_copy(update={"horizontal_flip": horizontal, "vertical_flip": vertical})
    trainer = training_network(looking_through(), config, seed=4)
    grey = grey_pictures(32)
    seen = np.asarray(trainer(grey, training=True))[..., :1]
    kept = [np.array_equal(one, other) for one, other in zip(seen, grey, strict=True)]
    turned = np.flip(grey, axis)
    flipped = [np.array_equal(one, other) for one, other in zip(seen, turned, strict=True)]
    assert 5 < sum(kept) < 27
    assert all(one != other for one, other in zip(kept, flipped, strict=True))


def test_a_rotation_brings_black_into_the_corners() -> None:
    """Any other fill would paint tissue where there is none."""
    config = OFF.model_copy(update={"rotation_degrees": 45.0})
    trainer = training_network(looking_through(), config, seed=5)
    seen = np.asarray(trainer(np.full((8, 128, 128, 1), 200, np.float32), training=True))
    assert (seen[:, 0, 0] == 0).any()
    assert np.allclose(seen[:, 64, 64], 200)


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
        assert images.shape[1:] == (128, 128, 1) and images.dtype == np.float32
        assert labels.shape == (len(images), 1)
        found = images[:, 0, 0, 0].astype(int).tolist()
        assert labels[:, 0].tolist() == [number % 2 for number in found]
        shown += found
    return shown


def test_batches_without_a_seed_keep_the_order_and_the_repeats() -> None:
    plain = batches()
    assert len(plain) == 3
    assert numbers(plain) == [0, 1, 1, 2, 3, 4, 5, 5, 5]
    plain.on_epoch_end()
    assert numbers(plain) == [0, 1, 1, 2, 3, 4, 5, 5, 5]


def test_batches_with_a_seed_are_shuffled_anew_for_each_epoch() -> None:
    shuffled = batches(seed=1)
    first = numbers(shuffled)
    shuffled.on_epoch_end()
    second = numbers(shuffled)
    assert sorted(first) == sorted(second) == numbers(batches())
    assert first != second
    assert numbers(batches(seed=1)) == first
    assert numbers(batches(seed=2)) != first
