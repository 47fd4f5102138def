"""Batch-norm statistics: those of the training set, whatever the moving averages say."""

from __future__ import annotations

import numpy as np

from ml_tasks.config import ModelConfig
from ml_tasks.model.backend import keras
from ml_tasks.model.batch_norm import RefreshBatchNorm
from ml_tasks.model.network import set_trainable
from ml_tasks.model.training_network import Batches
from tests.builders import toy_network

ORDER = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9], np.intp)  # repeats count


def pictures() -> np.ndarray:
    """Pictures (10,128,128) uint8 whose last one is much brighter."""
    random = np.random.default_rng(6)
    pixels = random.integers(0, 120, (10, 128, 128), np.uint8)
    pixels[9] += 120
    return pixels


def network_and_batches(batch_size: int) -> tuple[keras.Model, Batches]:
    keras.utils.set_random_seed(1)
    network = toy_network(ModelConfig(weights="none", dropout=0))
    labels = np.zeros(10, np.float32)
    return network, Batches(pictures(), labels, ORDER, batch_size)


def shown_images() -> np.ndarray:
    grey = pictures()[ORDER][..., np.newaxis].astype(np.float32)
    return np.repeat(grey, 3, axis=-1)


def test_the_statistics_are_those_of_the_training_set_over_all_batches() -> None:
    """Batches of 5, 5 and 3: each must weigh by its size."""
    network, batches = network_and_batches(5)
    norm = network.get_layer("conv5_bn")
    features = keras.Model(network.inputs, network.get_layer("conv5_conv").output)
    seen = np.asarray(features(shown_images()), np.float64).reshape(-1, 6)
    kept = [np.asarray(weight) for weight in network.trainable_weights]
    RefreshBatchNorm(network, batches).on_test_begin()
    assert np.allclose(np.asarray(norm.moving_mean), seen.mean(axis=0), rtol=1e-3, atol=1e-4)
    assert np.allclose(np.asarray(norm.moving_variance), seen.var(axis=0), rtol=1e-3, atol=1e-5)
    assert norm.momentum == 0.99
    assert all(
        np.array_equal(old, new) for old, new in zip(kept, network.trainable_weights, strict=True)
    )


def test_measuring_again_forgets_the_first_measure() -> None:
    network, batches = network_and_batches(5)
    refresh = RefreshBatchNorm(network, batches)
    refresh.on_test_begin()
    before = np.asarray(network.get_layer("conv5_bn").moving_mean).copy()
    network.get_layer("conv5_conv").kernel.assign(network.get_layer("conv5_conv").kernel * 2)
    refresh.on_test_begin()
    assert np.allclose(network.get_layer("conv5_bn").moving_mean, 2 * before, rtol=1e-4, atol=1e-5)


def test_without_it_validation_judges_another_network_than_was_trained() -> None:
    """After a few steps the moving averages are near their start: inference is garbage."""
    network, batches = network_and_batches(13)
    optimizer = keras.optimizers.SGD(0.3)
    network.compile(optimizer=optimizer, loss="binary_crossentropy", jit_compile=False)
    images = shown_images()
    for _ in range(3):
        network.train_on_batch(images, np.zeros((13, 1), np.float32))
    trained = np.asarray(network(images, training=True))
    assert np.abs(np.asarray(network(images, training=False)) - trained).max() > 0.05
    RefreshBatchNorm(network, batches).on_test_begin()
    assert np.abs(np.asarray(network(images, training=False)) - trained).max() < 1e-3


def test_frozen_batch_norms_keep_the_statistics_that_they_came_with() -> None:
    network, batches = network_and_batches(5)
    set_trainable(network, ("conv5",))
    norm = network.get_layer("conv5_bn")
    before = [np.asarray(norm.moving_mean).copy(), np.asarray(norm.moving_variance).copy()]
    RefreshBatchNorm(network, batches).on_test_begin()
    assert np.array_equal(norm.moving_mean, before[0])
    assert np.array_equal(norm.moving_variance, before[1])
