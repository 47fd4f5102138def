"""The class activation map is exact: its mean and the bias make the log odds of the answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from ml_tasks.config import ModelConfig
from ml_tasks.errors import TrainingError
from ml_tasks.imaging.spec import ImageSpec
from ml_tasks.inference.calibration import logits
from ml_tasks.inference.scorer import Scorer
from ml_tasks.model.activation_map import OUTPUTS, explained, export_explained
from ml_tasks.model.backend import keras
from ml_tasks.model.network import build_network
from tests.builders import toy_network

SCRATCH = ModelConfig(weights="none")


def trained_toy() -> keras.Model:
    """A toy whose last layer has a bias of its own."""
    network = toy_network(SCRATCH)
    network.get_layer("probability").bias.assign([0.7])
    return network


def images(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., np.newaxis].astype(np.float32), 3, axis=-1)


GREY = np.random.default_rng(2).integers(0, 256, (5, 128, 128), np.uint8)


def test_the_mean_of_the_map_and_the_bias_are_the_log_odds() -> None:
    network = trained_toy()
    probability, activation = explained(network).predict(images(GREY), verbose=0)
    assert np.array_equal(probability, network.predict(images(GREY), verbose=0))
    assert activation.shape == (5, 31, 31) and activation.dtype == np.float32
    odds = logits(probability[:, 0].astype(float))
    assert activation.mean(axis=(1, 2)) + 0.7 == pytest.approx(odds, abs=1e-4)


def test_a_bright_spot_shows_where_it_lies() -> None:
    """The map of a picture with a spot differs from that without one around the spot alone."""
    network = explained(trained_toy())
    spot = GREY[:1].copy()
    spot[0, 96:104, 16:24] = 255
    maps = network.predict(images(np.concatenate([GREY[:1], spot])), verbose=0)[1]
    rows, columns = np.nonzero(np.abs(maps[1] - maps[0]) > 1e-6)
    assert rows.size
    assert 4 * rows.min() >= 96 - 8 and 4 * rows.max() <= 104
    assert 4 * columns.min() >= 16 - 8 and 4 * columns.max() <= 24


def test_the_onnx_file_names_both_outputs_and_answers_as_keras_does(tmp_path: Path) -> None:
    network, path = trained_toy(), tmp_path / "model.onnx"
    expected = explained(network).predict(images(GREY), verbose=0)
    export_explained(network, path)
    assert [output.name for output in onnx.load(str(path)).graph.output] == list(OUTPUTS)
    scorer = Scorer.load(path, ImageSpec())
    assert np.abs(scorer.probabilities(GREY) - expected[0][:, 0]).max() < 1e-5
    assert np.abs(scorer.activations(GREY) - expected[1]).max() < 1e-4


def test_the_network_itself_stays_as_it_is() -> None:
    """model.h5 holds the network without a map."""
    network = trained_toy()
    before = [layer.name for layer in network.layers]
    explained(network)
    assert [layer.name for layer in network.layers] == before
    assert len(network.outputs) == 1


def test_pooling_of_which_no_map_is_exact_is_refused() -> None:
    inputs = keras.Input((128, 128, 3))
    pooled = keras.layers.GlobalMaxPooling2D(name="pool")(keras.layers.Conv2D(2, 8)(inputs))
    outputs = keras.layers.Dense(1, activation="sigmoid", name="probability")(pooled)
    with pytest.raises(TrainingError, match="pools by GlobalMaxPooling2D"):
        explained(keras.Model(inputs, outputs))


@pytest.mark.full
def test_the_real_networks_map_is_four_by_four_and_exact() -> None:
    network = build_network(SCRATCH)
    probability, activation = explained(network).predict(images(GREY), verbose=0)
    assert activation.shape == (5, 4, 4)
    odds = logits(probability[:, 0].astype(float))
    assert activation.mean(axis=(1, 2)) == pytest.approx(odds, abs=1e-4)
