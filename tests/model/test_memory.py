"""Out of memory: half the batch with the same effect, from the last checkpoint; then advice."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml_tasks.config import Config, ModelConfig
from ml_tasks.errors import StorageError, TrainingError
from ml_tasks.model.backend import keras
from ml_tasks.model.fit import FitStep, Fitted, Pictures, compiled, epoch_order, fit
from ml_tasks.model.memory import out_of_memory, within_memory
from ml_tasks.model.precision import Arithmetic
from ml_tasks.model.training_network import training_network
from ml_tasks.records import TrainRecord
from ml_tasks.train import train
from tests.builders import (
    NO_AUGMENTATION,
    fit_places,
    prepared,
    quick_training,
    toy_config,
    toy_network,
)

FREE = "process 4321 holds 61 GB"


class Greedy(keras.layers.Layer):  # type: ignore[misc]
    """Asks for a petabyte where a batch has more than `most` pictures: a real lack of memory."""

    def __init__(self, most: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.most = most

    def call(self, images: Any) -> Any:
        ops, corner = keras.ops, images[0, 0, 0, 0]
        side = ops.where(ops.shape(images)[0] > self.most, 1 << 24, 1)
        return images + ops.max(ops.broadcast_to(corner, (side, side))) - corner


def greedy_toy(config: ModelConfig, most: int) -> keras.Model:
    """The toy behind a layer that does not bear more than `most` pictures at a time."""
    inner = toy_network(config)
    inputs = keras.Input(config.input_shape, name="image")
    outputs = Greedy(most)(inputs)
    for layer in inner.layers[1:]:
        outputs = layer(outputs)
    return keras.Model(inputs, outputs)


def pictures(count: int = 16) -> Pictures:
    pixels = np.random.default_rng(7).integers(0, 256, (count, 128, 128), np.uint8)
    return Pictures(pixels, np.arange(count, dtype=np.float32) % 2, epoch_order([1] * count))


def attempts(folder: Path, most: int, batch_size: int = 8) -> Fitted:
    config = Config(
        model=ModelConfig(weights="none"),
        training=quick_training(batch_size=batch_size, epochs=1),
    )

    def attempt(parts: int) -> Fitted:
        network = greedy_toy(config.model, most)
        how = Arithmetic(parts=parts)
        return fit(network, pictures(), pictures(), config, fit_places(folder), arithmetic=how)

    return within_memory(attempt, batch_size, lambda: FREE)


def test_what_fits_is_done_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert len(attempts(tmp_path, most=8).history) == 1
    assert "out of memory" not in caplog.text


def test_a_lack_of_memory_halves_the_batch_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ml_tasks")
    assert len(attempts(tmp_path, most=4).history) == 1
    assert "out of memory with batches of 8 (" in caplog.text
    assert "OOM when allocating tensor with shape[16777216,16777216]" in caplog.text
    assert "trying again with two batches of 4 for each update; it counts as one of 8" in (
        caplog.text
    )


def test_the_second_attempt_makes_no_noise_either(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Keras forgets with its networks that progress bars were switched off."""
    attempts(tmp_path, most=4)
    toy_network(ModelConfig(weights="none")).predict(np.zeros((1, 128, 128, 3), np.float32))
    assert capsys.readouterr().out == ""


def test_a_second_lack_of_memory_ends_with_advice(tmp_path: Path) -> None:
    says = (
        r"out of memory again, with batches of 4 \(.*\); set training\.batch_size \(now 8\) to 2 "
        r"or less, or free the device's memory: process 4321 holds 61 GB"
    )
    with pytest.raises(TrainingError, match=says):
        attempts(tmp_path, most=2)


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    def fails(_: int) -> None:
        raise StorageError("no space left while writing the checkpoint")

    with pytest.raises(StorageError, match="no space left"):
        within_memory(fails, 8, lambda: FREE)


class OutOfMemoryError(RuntimeError):
    """As PyTorch names its own."""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9 bytes"), True),
        (OutOfMemoryError("CUDA: tried to allocate 2 GiB"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (ValueError("shapes (3,) and (4,) do not match"), False),
        (OSError("No space left on device"), False),
    ],
)
def test_each_backends_words_for_it_are_known(error: Exception, expected: bool) -> None:
    assert out_of_memory(error) is expected


def test_two_halves_move_the_weights_as_the_whole_batch_does() -> None:
    """That is what keeps the effective batch: same gradient, same learning rate."""
    data, weights = pictures(8), {}
    labels = data.labels[:, None]
    for parts in (1, 2):
        keras.utils.set_random_seed(3)
        network = toy_network(ModelConfig(weights="none", dropout=0))
        network.get_layer("conv5_bn").trainable = False
        trainer = training_network(network, NO_AUGMENTATION, seed=1)
        step = FitStep((), 1, 0.01)  # the head: batch norms see halves in any case
        compiled(network, trainer, step, Arithmetic(parts=parts))
        for _ in range(3):
            for half in np.array_split(np.arange(8), parts):
                trainer.train_on_batch(data.pixels[half][..., None], labels[half])
        assert int(trainer.optimizer.iterations) == 3
        weights[parts] = network.get_layer("probability").get_weights()
    for whole, halves in zip(weights[1], weights[2], strict=True):
        assert np.allclose(whole, halves, rtol=1e-4, atol=1e-6)


def test_the_stage_goes_on_from_its_last_checkpoint_with_half_the_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Memory often runs out late, when somebody else takes it: the epochs before must not go."""
    caplog.set_level(logging.INFO, "ml_tasks")
    config = toy_config(tmp_path, training=quick_training(epochs=4))
    run = prepared(config)
    bounds = iter([8, 4])
    made: list[keras.Model] = []

    def build(settings: ModelConfig) -> keras.Model:
        made.append(greedy_toy(settings, next(bounds)))
        return made[-1]

    def taken_by_another(callback: Any, epoch: int, logs: Any = None) -> None:
        """After two epochs there is less memory than before."""
        if epoch == 2 and len(made) == 1:
            keras.ops.zeros((1 << 45,))

    monkeypatch.setattr("ml_tasks.train.build_network", build)
    monkeypatch.setattr("ml_tasks.model.callbacks.EpochLine.on_epoch_begin", taken_by_another)
    record = train(run, config)
    assert run.load(TrainRecord) == record
    assert record.resumed_from == (2,) and record.epochs == 4
    assert "trying again with two batches of 4" in caplog.text
    assert "resumed from epoch 2" in caplog.text
