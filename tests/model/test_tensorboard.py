"""What TensorBoard is given, read back by TensorBoard's own reader."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ml_tasks.config import Config, ModelConfig
from ml_tasks.config_training import TrainingConfig
from ml_tasks.imaging.encode import decoded_png
from ml_tasks.model.fit import Pictures, epoch_order, fit
from ml_tasks.model.tensorboard import begin_curves
from tests.builders import NO_AUGMENTATION, fit_places, toy_network


def pictures(count: int = 16) -> Pictures:
    pixels = np.random.default_rng(7).integers(0, 256, (count, 128, 128), np.uint8)
    return Pictures(pixels, np.arange(count, dtype=np.float32) % 2, epoch_order([1] * count))


def trained(folder: Path, **training: object) -> list[dict[str, float]]:
    """The history of two epochs of the toy, whose curves lie below `folder`."""
    settings = {"batch_size": 8, "epochs": 2, **training}
    config = Config(
        model=ModelConfig(weights="none"), training=TrainingConfig.model_validate(settings)
    )
    network = toy_network(config.model)
    return fit(network, pictures(), pictures(), config, fit_places(folder)).history


def read(folder: Path) -> EventAccumulator:
    found = EventAccumulator(str(folder))
    found.Reload()
    return found


def curve(of: EventAccumulator, tag: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in of.Scalars(tag)]


def test_losses_metrics_and_learning_rate_are_drawn_for_each_epoch(tmp_path: Path) -> None:
    history = trained(tmp_path)
    for folder, prefix in (("train", ""), ("validation", "val_")):
        found = read(tmp_path / "logs" / folder)
        for name in ("loss", "accuracy", "auc"):
            expected = [(row["epoch"], row[f"{prefix}{name}"]) for row in history]
            assert np.allclose(curve(found, f"epoch_{name}"), expected)
    rates = curve(read(tmp_path / "logs" / "train"), "epoch_learning_rate")
    assert np.allclose(rates, [(1, 1e-3), (2, 1e-3)])


def test_a_sample_of_what_augmentation_makes_is_shown_once(tmp_path: Path) -> None:
    trained(tmp_path / "on")
    trained(tmp_path / "off", augmentation=NO_AUGMENTATION)
    shown = {}
    for name in ("on", "off"):
        found = read(tmp_path / name / "logs" / "train")
        (event,) = found.Images("augmented inputs")
        assert (event.width, event.height) == (8 * 128, 4 * 128)
        shown[name] = decoded_png(event.encoded_image_string)
    first = pictures().pixels[0]
    assert np.array_equal(shown["off"][:128, :128], first)
    assert not np.array_equal(shown["on"][:128, :128], first)


def test_the_sample_leaves_the_random_numbers_of_training_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ml_tasks.model.backend import keras

    keras.utils.set_random_seed(1)
    with_sample = trained(tmp_path / "one")
    monkeypatch.setattr("ml_tasks.model.fit.draw_sample", lambda *_: None)
    keras.utils.set_random_seed(1)
    without = trained(tmp_path / "two")
    assert [row["loss"] for row in with_sample] == pytest.approx([row["loss"] for row in without])


def test_histograms_of_the_weights_come_only_when_asked_for(tmp_path: Path) -> None:
    trained(tmp_path / "plain")
    trained(tmp_path / "asked", histograms=True)
    tags = {
        name: set(read(tmp_path / name / "logs" / "train").Tags()["tensors"])
        for name in ("plain", "asked")
    }
    more = tags["asked"] - tags["plain"]
    assert {"conv5_conv/kernel", "probability/bias", "conv5_bn/moving_mean"} <= more
    assert tags["plain"] <= tags["asked"]


def test_a_resumed_training_draws_over_what_an_interrupted_epoch_left(tmp_path: Path) -> None:
    """Else the curves would run back and forth."""
    trained(tmp_path)
    begin_curves(tmp_path / "logs", 1)
    found = curve(read(tmp_path / "logs" / "train"), "epoch_loss")
    assert [step for step, _ in found] == [1]
    begin_curves(tmp_path / "logs", 0)
    assert not (tmp_path / "logs").exists()
