"""Fitting the network: a list of steps, each with its own trainable blocks and learning rate."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ml_tasks.config import Config
from ml_tasks.config_training import TrainingConfig
from ml_tasks.model.backend import keras
from ml_tasks.model.batch_norm import RefreshBatchNorm
from ml_tasks.model.callbacks import (
    BetweenBatches,
    EndStepEarly,
    EpochLine,
    FiniteLoss,
    KeepBest,
)
from ml_tasks.model.checkpoint import CheckpointStore
from ml_tasks.model.network import pretrained, set_trainable
from ml_tasks.model.precision import PLAIN, Arithmetic, computing_in
from ml_tasks.model.resumption import Resumption
from ml_tasks.model.stopping import StopRequest
from ml_tasks.model.tensorboard import Curves, begin_curves, draw_sample
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


@dataclass(frozen=True)
class FitPlaces:
    """Where TensorBoard's files and the checkpoints go, and who may ask training to end."""

    logs: Path
    store: CheckpointStore
    stop: StopRequest


@dataclass(frozen=True)
class Fitted:
    """What a training came to; its network holds the best weights."""

    best: dict[str, float]  # epoch, val_loss, val_auc
    history: list[dict[str, float]]
    seconds: float  # in all attempts together
    resumed_from: tuple[int, ...]  # after which epochs it was taken up again


def fit(
    network: keras.Model,
    train: Pictures,
    validation: Pictures,
    config: Config,
    places: FitPlaces,
    class_weights: dict[int, float] | None = None,
    arithmetic: Arithmetic = PLAIN,
) -> Fitted:
    """Trains `network` in place and leaves it with its best weights; resumes where it can.

    `class_weights` (label 0 or 1 to factor) scales the training loss; validation is unweighted.

    Raises:
        TrainingError: the loss became no number; the checkpoint before it stands.
        StorageError: no space left for a checkpoint; the one before stands.
        The backend's own error: out of memory (see `memory.within_memory`).
    """
    steps = fit_steps(config)
    with computing_in(arithmetic.policy):
        trainer = training_network(network, config.training.augmentation, config.training.seed)
    best, line = KeepBest(network), EpochLine(steps[-1].last_epoch, places.store.kept)
    data = _Data.of(train, validation, config.training, arithmetic.parts)
    resumption = Resumption(places.store, trainer, best, line)
    begin_curves(places.logs, resumption.epoch)
    draw_sample(places.logs, train.pixels, config.training, resumption.epoch)
    begin = 0
    for place, step in enumerate(steps):
        begin, first = step.last_epoch, max(begin, resumption.epoch)
        if resumption.is_over(place):
            continue
        compiled(network, trainer, step, arithmetic)
        callbacks = [
            *_watching(network, data, config.training, places),
            best,
            line,
            Curves(places.logs, network, config.training.histograms),
        ]
        callbacks.append(resumption.saving(place, step.last_epoch, callbacks, places.stop))
        trainer.fit(
            data.shuffled,
            shuffle=False,  # of the batches, by Python's own generator, which nobody saves
            validation_data=data.held_out,
            initial_epoch=first,
            epochs=step.last_epoch,
            verbose=0,
            class_weight=class_weights,
            callbacks=callbacks,
        )
        best.restore()
    return Fitted(best.best, line.history, line.seconds, resumption.resumed_from)


@dataclass(frozen=True)
class _Data:
    """The training split shuffled and as it stands, and the validation split."""

    shuffled: Batches
    plain: Batches
    held_out: Batches

    @classmethod
    def of(
        cls, train: Pictures, validation: Pictures, training: TrainingConfig, parts: int
    ) -> _Data:
        size = training.batch_size // parts

        def batches(of: Pictures, seed: int | None = None) -> Batches:
            return Batches(of.pixels, of.labels, of.order, size, seed=seed)

        return cls(batches(train, training.seed), batches(train), batches(validation))


def _watching(
    network: keras.Model, data: _Data, training: TrainingConfig, places: FitPlaces
) -> list[keras.callbacks.Callback]:
    """What steers one step, in the order in which it acts."""
    return [
        BetweenBatches(data.shuffled, places.stop),
        FiniteLoss(places.store.kept),
        RefreshBatchNorm(network, data.plain, places.stop),
        keras.callbacks.ReduceLROnPlateau(
            monitor="val_loss",
            factor=training.reduce_lr_factor,
            patience=training.reduce_lr_patience,
        ),
        EndStepEarly(training.early_stopping_patience),
    ]


def compiled(
    network: keras.Model,
    trainer: keras.Model,
    step: FitStep,
    arithmetic: Arithmetic = PLAIN,
) -> keras.Model:
    """`trainer` compiled for one step: what learns, how fast, by which loss and metrics."""
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
        optimizer=keras.optimizers.Adam(
            step.learning_rate,
            gradient_accumulation_steps=arithmetic.parts if arithmetic.parts > 1 else None,
        ),
        loss="binary_crossentropy",
        metrics=["accuracy", keras.metrics.AUC(name="auc")],
        jit_compile=arithmetic.compiled,
    )
    return trainer


def epoch_order(copies: Sequence[int]) -> NDArray[np.intp]:
    """The pictures of one epoch: place i as often as copies[i] says."""
    return np.repeat(np.arange(len(copies)), copies)
