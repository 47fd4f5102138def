"""Fitting in steps: epochs, the best weights, a loss that breaks, early ends."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ml_tasks.config import Config, ModelConfig
from ml_tasks.config_training import TrainingConfig, UnfreezingStep
from ml_tasks.errors import TrainingError
from ml_tasks.model.backend import keras
from ml_tasks.model.callbacks import EpochLine, FiniteLoss, KeepBest
from ml_tasks.model.checkpoint import Checkpoint, CheckpointStore
from ml_tasks.model.determinism import make_deterministic
from ml_tasks.model.fit import (
    FitPlaces,
    FitStep,
    Fitted,
    Pictures,
    epoch_order,
    fit,
    fit_steps,
)
from ml_tasks.model.network import set_trainable
from ml_tasks.model.stopping import StopRequest
from tests.builders import fit_places, toy_network


def settings(weights: str = "none", **training: object) -> Config:
    return Config(
        model=ModelConfig(weights=weights, dropout=0),
        training=TrainingConfig.model_validate({"batch_size": 8, **training}),
    )


def pictures(count: int = 16, broken: bool = False) -> Pictures:
    """Half of the pictures have a bright square; those are positive."""
    random = np.random.default_rng(7)
    pixels = random.integers(60, 100, (count, 128, 128), np.uint8)
    labels = np.arange(count, dtype=np.float32) % 2
    pixels[labels == 1, 40:70, 40:70] = 230
    if broken:
        labels[:] = np.nan
    return Pictures(pixels, labels, epoch_order([1] * count))


def ends(epochs: int, shares: list[float]) -> list[int]:
    steps = [UnfreezingStep(share=share, learning_rate=0.1) for share in shares]
    return [
        step.last_epoch for step in fit_steps(settings("imagenet", epochs=epochs, unfreezing=steps))
    ]


def test_from_scratch_everything_learns_from_the_start() -> None:
    assert fit_steps(settings("none", epochs=9)) == [FitStep(None, 9, 1e-3)]


def test_shares_become_epochs() -> None:
    assert fit_steps(settings("imagenet", epochs=30)) == [
        FitStep((), 12, 1e-3),
        FitStep(("conv5",), 21, 1e-4),
        FitStep(("conv4", "conv5"), 30, 1e-5),
    ]


@pytest.mark.parametrize(
    ("epochs", "shares", "expected"),
    [
        (10, [1, 1], [5, 10]),  # shares need not add up to one
        (3, [0.4, 0.3, 0.3], [1, 2, 3]),
        (30, [0.98, 0.01, 0.01], [28, 29, 30]),  # one epoch at least each
        (30, [0.01, 0.01, 0.98], [1, 2, 30]),
        (2, [0.4, 0.3, 0.3], [1, 2]),  # fewer epochs than steps: the first ones, the head first
        (1, [0.4, 0.3, 0.3], [1]),
    ],
)
def test_each_step_has_an_epoch_as_long_as_there_are_any(
    epochs: int, shares: list[float], expected: list[int]
) -> None:
    assert ends(epochs, shares) == expected


def test_an_epochs_order_repeats_pictures() -> None:
    assert epoch_order([1, 0, 3]).tolist() == [0, 2, 2, 2]


def test_the_toy_learns_and_is_left_with_its_best_weights(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ml_tasks")
    keras.utils.set_random_seed(1)
    config = settings(epochs=5, from_scratch_learning_rate=0.02)
    network = toy_network(config.model)
    train = pictures()
    fitted = fit(network, train, pictures(), config, fit_places(tmp_path))
    best, history = fitted.best, fitted.history
    assert [row["epoch"] for row in history] == [1, 2, 3, 4, 5]
    losses = [row["val_loss"] for row in history]
    assert best["val_loss"] == min(losses) < losses[0]
    assert best["epoch"] == losses.index(min(losses)) + 1
    images = np.repeat(train.pixels[..., np.newaxis].astype(np.float32), 3, axis=-1)
    found = np.clip(np.asarray(network(images, training=False))[:, 0], 1e-7, 1 - 1e-7)
    loss = -np.mean(np.where(train.labels == 1, np.log(found), np.log(1 - found)))
    assert loss == pytest.approx(min(losses), rel=1e-3)
    assert list((tmp_path / "logs").rglob("events.out.tfevents.*"))
    lines = [record.getMessage() for record in caplog.records]
    epochs = [line for line in lines if line.startswith("epoch ")]
    assert len(epochs) == 5
    for word in ("loss", "accuracy", "AUC", "learning rate", " s left"):
        assert word in epochs[0]


def test_steps_freeze_what_they_do_not_name(tmp_path: Path) -> None:
    """A head-only step that moved the base would spoil pretrained weights at once."""
    steps = [{"blocks": [], "share": 1, "learning_rate": 0.1}]
    config = settings("imagenet", epochs=1, unfreezing=steps)
    network = toy_network(config.model)
    before = {layer.name: layer.get_weights() for layer in network.layers}
    fit(network, pictures(), pictures(), config, fit_places(tmp_path))
    for layer in network.layers:
        same = all(map(np.array_equal, before[layer.name], layer.get_weights()))
        assert same is (layer.name != "probability"), layer.name


def test_a_loss_that_becomes_no_number_stops_at_its_batch_and_names_it(tmp_path: Path) -> None:
    config = settings(epochs=5)
    places = fit_places(tmp_path)
    with pytest.raises(
        TrainingError,
        match=r"the loss became nan in epoch 1, batch 1 of 2 \(no epoch was complete\); lower the",
    ):
        fit(toy_network(config.model), pictures(broken=True), pictures(), config, places)
    assert places.store.load() is None


def test_a_step_without_progress_ends_early_and_the_next_one_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ml_tasks")
    steps = [
        {"blocks": [], "share": 0.5, "learning_rate": 1e-12},
        {"blocks": ["conv5"], "share": 0.5, "learning_rate": 1e-12},
    ]
    config = settings("imagenet", epochs=8, unfreezing=steps, early_stopping_patience=1)
    places = fit_places(tmp_path)
    fitted = fit(toy_network(config.model), pictures(), pictures(), config, places)
    epochs = [row["epoch"] for row in fitted.history]
    assert epochs == sorted(epochs) and epochs[0] == 1
    assert 5 in epochs and len(epochs) < 8
    assert "no better validation loss for 1 epochs: this step ends early" in caplog.text


class Broken(CheckpointStore):
    """Ends the process' training, as far as it can tell, after some checkpoints: like a kill."""

    def __init__(self, folder: Path, saves: int) -> None:
        super().__init__(folder, {})
        self._left = saves

    def save(self, checkpoint: Checkpoint) -> None:
        super().save(checkpoint)
        self._left -= 1
        if not self._left:
            raise KeyboardInterrupt


def trained(
    config: Config, store: CheckpointStore, logs: Path
) -> tuple[list[NDArray[np.float32]], Fitted]:
    """The weights of a new network after training, as in a new process."""
    keras.utils.set_random_seed(3)
    network = toy_network(config.model)
    fitted = fit(network, pictures(), pictures(), config, FitPlaces(logs, store, StopRequest()))
    return network.get_weights(), fitted


@pytest.mark.parametrize(
    ("patience", "saves"),
    [(1, 2), *(pytest.param(*each, marks=pytest.mark.full) for each in ((1, 1), (100, 1), (9, 3)))],
)
def test_steps_go_on_where_they_were_interrupted(tmp_path: Path, patience: int, saves: int) -> None:
    """Also at the end of a step, early or not: what follows begins with the best weights."""
    make_deterministic(True)
    steps = [
        {"blocks": [], "share": 0.4, "learning_rate": 0.02},
        {"blocks": ["conv5"], "share": 0.6, "learning_rate": 0.05},
    ]
    changes = {"early_stopping_patience": patience, "reduce_lr_patience": 1, "batch_size": 4}
    config = settings("imagenet", epochs=5, unfreezing=steps, **changes)
    whole, unbroken = trained(config, CheckpointStore(tmp_path / "whole", {}), tmp_path / "a")
    attempts = 0
    while True:
        attempts += 1
        try:
            weights, fitted = trained(config, Broken(tmp_path / "c", saves), tmp_path / "b")
        except KeyboardInterrupt:
            continue
        break
    assert attempts == -(-len(unbroken.history) // saves) + (len(unbroken.history) % saves == 0)
    assert fitted.history == unbroken.history and fitted.best == unbroken.best
    assert all(map(np.array_equal, weights, whole))
    assert fitted.resumed_from and not unbroken.resumed_from


def test_a_loss_that_breaks_later_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    """One label is spoilt after the first epoch; its batch in the second is known by the order."""
    config = settings(epochs=5)
    train = pictures()

    class Spoiling(CheckpointStore):
        def save(self, checkpoint: Checkpoint) -> None:
            super().save(checkpoint)
            train.labels[5] = np.nan

    store = Spoiling(tmp_path / "c", {})
    order = np.random.default_rng((config.training.seed, 1)).permutation(train.order)
    batch = int(np.flatnonzero(order == 5)[0]) // config.training.batch_size + 1
    network = toy_network(config.model)
    with pytest.raises(
        TrainingError,
        match=rf"the loss became nan in epoch 2, batch {batch} of 2 \(the checkpoint of epoch 1 is",
    ):
        places = FitPlaces(tmp_path / "logs", store, StopRequest())
        fit(network, train, pictures(), config, places)
    kept = store.load()
    assert kept is not None and kept.epoch == 1
    assert all(np.isfinite(array).all() for array in kept.arrays.values())


def test_an_infinite_loss_and_a_validation_loss_that_is_no_number_stop_too() -> None:
    finite = FiniteLoss(lambda: "nothing is kept")
    finite.set_params({"steps": 9})
    finite.on_epoch_begin(6)
    finite.on_train_batch_end(3, {"loss": 0.1})
    with pytest.raises(TrainingError, match=r"the loss became inf in epoch 7, batch 5 of 9 \(noth"):
        finite.on_train_batch_end(4, {"loss": np.inf})
    line = EpochLine(9, lambda: "nothing is kept")
    network = toy_network(ModelConfig(weights="none"))
    network.compile("adam")
    line.set_model(network)
    with pytest.raises(TrainingError, match=r"the validation loss became nan in epoch 7 \(nothing"):
        line.on_epoch_end(6, {"loss": 0.1, "val_loss": np.nan})


def test_the_best_weights_come_back_whatever_followed() -> None:
    network = toy_network(ModelConfig(weights="none"))
    best = KeepBest(network)
    good = network.get_weights()
    best.on_epoch_end(0, {"val_loss": 0.4, "val_auc": 0.7})
    network.set_weights([weight + 1 for weight in good])
    best.on_epoch_end(1, {"val_loss": 0.4, "val_auc": 0.9})
    best.on_epoch_end(2, {"val_loss": float("nan"), "val_auc": 0.9})
    best.restore()
    assert best.best == {"epoch": 1, "val_loss": 0.4, "val_auc": 0.7}
    assert all(map(np.array_equal, network.get_weights(), good))


def test_batch_norms_stay_frozen_in_an_unfrozen_block() -> None:
    network = toy_network(ModelConfig(weights="none"))
    set_trainable(network, ("conv5",))
    learning = {layer.name for layer in network.layers if layer.trainable and layer.weights}
    assert learning == {"conv5_conv", "probability"}
