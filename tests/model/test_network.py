"""DenseNet-121 itself: its input and output, weights from a file, which layers learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ml_tasks.config import ModelConfig
from ml_tasks.errors import StorageError, TrainingError
from ml_tasks.imaging.spec import ImageSpec
from ml_tasks.inference.scorer import Scorer
from ml_tasks.model.activation_map import export_explained
from ml_tasks.model.backend import keras
from ml_tasks.model.export import save_network
from ml_tasks.model.network import build_network, load_network, pretrained, set_trainable
from ml_tasks.storage import storage_errors
from tests.builders import small_disk, toy_network, use_toy_network

SCRATCH = ModelConfig(weights="none")


def norms(network: keras.Model) -> list[keras.layers.Layer]:
    kind = keras.layers.BatchNormalization
    return [layer for layer in network.layers if isinstance(layer, kind)]


def same_weights(one: keras.Model, other: keras.Model, besides: str = "-") -> bool:
    return all(
        np.array_equal(mine, theirs)
        for left, right in zip(one.layers, other.layers, strict=True)
        if left.name != besides
        for mine, theirs in zip(left.get_weights(), right.get_weights(), strict=True)
    )


@pytest.fixture(scope="module")
def network() -> keras.Model:
    """The real DenseNet-121 with random weights."""
    return build_network(SCRATCH)


def test_the_real_network_takes_weights_from_a_file_and_learns_in_steps(
    network: keras.Model, tmp_path: Path
) -> None:
    """All that rests on the layers of DenseNet-121 and their names."""
    assert network.input_shape == (None, 128, 128, 3) and network.output_shape == (None, 1)
    assert len(norms(network)) == 121
    total = set_trainable(network, None)
    assert total == 6_954_881
    assert all(layer.trainable for layer in norms(network))

    weights = tmp_path / "densenet_notop.h5"
    keras.Model(network.inputs, network.get_layer("relu").output).save(weights)
    again = build_network(ModelConfig(weights=str(weights)))
    assert same_weights(network, again, besides="probability")
    assert set_trainable(again, ()) == 1025
    some = set_trainable(again, ("conv5",))
    more = set_trainable(again, ("conv4", "conv5"))
    assert 1025 < some < more < total
    assert not any(layer.trainable for layer in norms(again)), "they keep their own statistics"

    save_network(network, tmp_path / "model.h5")
    room = 1.1 * 4 * network.count_params() + (2 << 20)
    assert (tmp_path / "model.h5").stat().st_size < room, "what is made sure of is enough"
    assert same_weights(load_network(ModelConfig(), tmp_path / "model.h5"), network)

    toy_network(SCRATCH).save(tmp_path / "other.h5")
    with pytest.raises(
        TrainingError, match=r"other\.h5 holds the weights of another network.*conv1_"
    ):
        build_network(ModelConfig(weights=str(tmp_path / "other.h5")))


def test_scaling_is_part_of_the_network(network: keras.Model) -> None:
    """Keras' own preprocessing of DenseNet must give what the layer inside gives."""
    from keras.applications.densenet import preprocess_input

    scaling = keras.Model(network.inputs, network.get_layer("imagenet_scaling").output)
    images = np.random.default_rng(1).uniform(0, 255, (2, 128, 128, 3)).astype(np.float32)
    expected = preprocess_input(images.copy())
    assert np.allclose(np.asarray(scaling(images)), expected, atol=1e-4)


def test_only_the_word_none_means_from_scratch() -> None:
    assert not pretrained(SCRATCH)
    assert pretrained(ModelConfig(weights="imagenet"))
    assert pretrained(ModelConfig(weights="/srv/densenet.h5"))


def test_a_model_file_that_does_not_fit_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_toy_network(monkeypatch)
    (tmp_path / "damaged.h5").write_bytes(b"\x89HDF\r\n\x1a\n and nothing")
    inputs = keras.Input((128, 128, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    keras.Model(inputs, keras.layers.Dense(7)(pooled)).save(tmp_path / "other.h5")
    refusals = {
        "damaged.h5": "is refused: it is damaged or cut off",
        "other.h5": "holds the weights of another network",
        "missing.h5": "is refused: there is no such file",
    }
    for name, says in refusals.items():
        with pytest.raises(TrainingError, match=rf"{name} {says}.*; run train again"):
            load_network(SCRATCH, tmp_path / name)


def test_the_onnx_file_answers_as_the_network_for_any_batch_size(tmp_path: Path) -> None:
    network = toy_network(SCRATCH)
    grey = np.random.default_rng(2).integers(0, 256, (5, 128, 128), np.uint8)
    images = np.repeat(grey[..., np.newaxis].astype(np.float32), 3, axis=-1)
    expected = network.predict(images, verbose=0)[:, 0]
    export_explained(network, tmp_path / "model.onnx")
    scorer = Scorer.load(tmp_path / "model.onnx", ImageSpec())
    for count in (1, 3, 5):
        found = scorer.probabilities(grey[:count])
        assert np.abs(found - expected[:count]).max() < 1e-5


def test_a_disk_without_room_for_the_model_is_told_before_hdf5_meets_it(tmp_path: Path) -> None:
    """HDF5 ends the process by a segmentation fault when the disk fills up while it writes."""
    with small_disk(tmp_path / "disk", 24) as disk:
        with (
            pytest.raises(StorageError, match="no space left while writing .*/model.h5"),
            storage_errors(disk / "model.h5"),
        ):
            save_network(toy_network(SCRATCH), disk / "model.h5")
        assert list(disk.iterdir()) == []
