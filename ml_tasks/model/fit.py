"""Fitting the network: a list of steps, each with its own trainable blocks and learning rate."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ml_tasks.config import Config
from ml_tasks.model.backend import keras
from ml_tasks.model.batch_norm import RefreshBatchNorm
from ml_tasks.model.callbacks import EpochLine, KeepBest
from ml_tasks.model.network import pretrained, set_trainable
from ml_tasks.model.training_network import Batches, training_network

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pictures:
    """Grey pictures (N,128,128) uint8, labels (N,) float32 (1: positive), and an epoch's order."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.float32]
    order: NDArray[np.intp]


@dataclass(frozen=True)
class FitStep:
    """Which blocks learn (None: everything), until which epoch, how fast."""

    blocks: tuple[str, ...] | None
    last_epoch: int
    learning_rate: float


def fit_steps(config: Config) -> list[FitStep]:
    """The steps of config.yaml with their shares turned into epochs, one at least each."""
    training = config.training
    if not pretrained(config.model):
        # Random weights teach a head nothing: the whole network learns from the start.
        return [FitStep(None, training.epochs, training.from_scratch_learning_rate)]
    steps = training.unfreezing[: training.epochs]  # fewer epochs than steps: the first ones
    shares = np.cumsum([step.share for step in steps])
    planned: list[FitStep] = []
    end = 0
    for place, (step, share) in enumerate(zip(steps, shares, strict=True)):
        wanted = round(share / shares[-1] * training.epochs)
        end = min(max(wanted, end + 1), training.epochs - (len(steps) - place - 1))
        planned.append(FitStep(tuple(step.blocks), end, step.learning_rate))
    return planned


def fit(
    network: keras.Model,
    train: Pictures,
    validation: Pictures,
    config: Config,
    logs: Path,
    class_weights: dict[int, float] | None = None,
) -> tuple[KeepBest, list[dict[str, float]]]:
    """Trains `network` in place, leaves it with its best weights; gives those and the history.

    `class_weights` (label 0 or 1 to factor) scales the training loss; validation is unweighted.
    """
    training = config.training
    steps = fit_steps(config)
    trainer = training_network(network, training.augmentation, training.seed)
    best, line = KeepBest(network), EpochLine(steps[-1].last_epoch)
    tensorboard = keras.callbacks.TensorBoard(log_dir=str(logs), write_graph=False)
    batches = Batches(
        train.pixels, train.labels, train.order, training.batch_size, seed=training.seed
    )
    plain = Batches(train.pixels, train.labels, train.order, training.batch_size)
    held_out = Batches(validation.pixels, validation.labels, validation.order, training.batch_size)
    start = 0
    for step in steps:
        _compile(network, trainer, step)
        stopping = keras.callbacks.EarlyStopping(
            monitor="val_loss", patience=training.early_stopping_patience
        )
        trainer.fit(
            batches,
            validation_data=held_out,
            initial_epoch=start,
            epochs=step.last_epoch,
            verbose=0,
            class_weight=class_weights,
            callbacks=[
                RefreshBatchNorm(network, plain),
                keras.callbacks.ReduceLROnPlateau(
                    monitor="val_loss",
                    factor=training.reduce_lr_factor,
                    patience=training.reduce_lr_patience,
                ),
                stopping,
                best,
                line,
                tensorboard,
            ],
        )
        best.restore()
        if stopping.stopped_epoch:
            log.info(
                "no better validation loss for %d epochs: this step ends early",
                training.early_stopping_patience,
            )
        start = step.last_epoch
    return best, line.history


def _compile(network: keras.Model, trainer: keras.Model, step: FitStep) -> None:
    count = set_trainable(network, step.blocks)
    what = "the whole network" if step.blocks is None else ", ".join(("the head", *step.blocks))
    log.info(
        "training %s: %s weights, up to epoch %d, learning rate %g",
        what,
        f"{count:,}",
        step.last_epoch,
        step.learning_rate,
    )
    trainer.compile(
        optimizer=keras.optimizers.Adam(step.learning_rate),
        loss="binary_crossentropy",
        metrics=["accuracy", keras.metrics.AUC(name="auc")],
        jit_compile=False,
    )


def epoch_order(copies: Sequence[int]) -> NDArray[np.intp]:
    """The pictures of one epoch: place i as often as copies[i] says."""
    return np.repeat(np.arange(len(copies)), copies)
