"""A training's whole state as a checkpoint after each epoch, and back into a new process."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_tasks.model.backend import keras
from ml_tasks.model.callbacks import EndStepEarly, EpochLine, KeepBest
from ml_tasks.model.checkpoint import Checkpoint, CheckpointStore
from ml_tasks.model.stopping import StopRequest

log = logging.getLogger(__name__)

# What Keras's own callbacks remember from epoch to epoch; they forget it when a fit begins.
_REMEMBERED = {
    EndStepEarly: ("best", "wait"),
    keras.callbacks.ReduceLROnPlateau: ("best", "wait", "cooldown_counter"),
}


class Resumption:
    """Where a training of several steps stands; takes up the store's checkpoint if there is one.

    Random state lies in variables of the layers (augmentation, dropout), and the order of pictures
    follows from seed and epoch: nothing else is random once training has begun.
    """

    def __init__(
        self, store: CheckpointStore, trainer: keras.Model, best: KeepBest, line: EpochLine
    ) -> None:
        self.epoch = 0  # epochs that are complete
        self.resumed_from: tuple[int, ...] = ()
        self._store, self._trainer, self._best, self._line = store, trainer, best, line
        self._step, self._step_over = 0, False
        self._saved = store.load()
        if self._saved is not None:
            self._take_up(self._saved)

    def is_over(self, step: int) -> bool:
        """Whether the step at this place was completed before."""
        return step < self._step or (step == self._step and self._step_over)

    def saving(
        self,
        step: int,
        last_epoch: int,
        others: list[keras.callbacks.Callback],
        stop: StopRequest,
    ) -> SaveCheckpoint:
        """The last callback of the step at this place; `others` come before it.

        Where the checkpoint was made in this step, the compiled optimiser and the other callbacks
        take over what it holds.
        """
        memory: Mapping[str, Any] = {}
        if self._saved is not None and step == self._step:
            memory = self._saved.values["memory"]
            optimizer = self._trainer.optimizer
            optimizer.build(self._trainer.trainable_variables)
            _assign_optimizer(optimizer, self._saved)
        self._saved = None  # used up
        return SaveCheckpoint(self, step, last_epoch, others, memory, stop)

    def save(self, epoch: int, of_step: Mapping[str, Any]) -> None:
        """Writes the checkpoint of `epoch`, with what the step adds to it."""
        arrays = {
            **_taken(self._trainer.variables, "trainer"),
            **_taken(_lasting(self._trainer.optimizer), "optimizer"),
            **_taken(_accumulated(self._trainer.optimizer), "accumulated"),
            **_taken(self._best.weights, "best"),
        }
        of_training = {
            "best": self._best.best,
            "history": self._line.history,
            "seconds": self._line.seconds,
            "resumed_from": self.resumed_from,
            "parts": _parts(self._trainer.optimizer),
        }
        self._store.save(Checkpoint(epoch, arrays, {**of_step, **of_training}))

    def _take_up(self, saved: Checkpoint) -> None:
        values = saved.values
        _assign(self._trainer.variables, saved.arrays, "trainer")
        self._best.best = dict(values["best"])
        self._best.weights = _named(saved.arrays, "best")
        self._line.go_on(list(values["history"]), float(values["seconds"]))
        self._step, self._step_over = int(values["step"]), bool(values["step_over"])
        if self._step_over:  # what follows a step begins with the best weights
            self._best.restore()
        self.epoch = saved.epoch
        self.resumed_from = (*values["resumed_from"], saved.epoch)
        log.info("resumed from epoch %d", saved.epoch)


class SaveCheckpoint(keras.callbacks.Callback):  # type: ignore[misc]
    """Saves at the end of each epoch of one step, after the `others` have had their say.

    Raises:
        StorageError: no space left; the checkpoint before stands.
    """

    def __init__(
        self,
        resumption: Resumption,
        step: int,
        last_epoch: int,
        others: list[keras.callbacks.Callback],
        memory: Mapping[str, Any],
        stop: StopRequest,
    ) -> None:
        super().__init__()
        self._resumption, self._step, self._last_epoch = resumption, step, last_epoch
        self._others, self._memory, self._stop = others, memory, stop

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        for callback in self._others:
            for name, value in self._memory.get(type(callback).__name__, {}).items():
                setattr(callback, name, value)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        over = bool(self.model.stop_training) or epoch + 1 == self._last_epoch
        memory = {
            type(callback).__name__: {name: getattr(callback, name) for name in names}
            for callback in self._others
            if (names := _REMEMBERED.get(type(callback)))
        }
        with self._stop.held():
            self._resumption.save(
                epoch + 1, {"step": self._step, "step_over": over, "memory": memory}
            )


def _parts(optimizer: keras.optimizers.Optimizer) -> int:
    """How many batches make one update: after a lack of memory they are two."""
    return int(optimizer.gradient_accumulation_steps or 1)


def _accumulated(optimizer: keras.optimizers.Optimizer) -> list[Any]:
    """The gradients of an update's first batches."""
    return [value for value in optimizer.variables if "gradient_accumulator" in value.path]


def _lasting(optimizer: keras.optimizers.Optimizer) -> list[Any]:
    """What the optimiser keeps from update to update."""
    return [value for value in optimizer.variables if "gradient_accumulator" not in value.path]


def _assign_optimizer(optimizer: keras.optimizers.Optimizer, saved: Checkpoint) -> None:
    """Also where batches were whole then and come in parts now: it counts batches, not updates."""
    _assign(_lasting(optimizer), saved.arrays, "optimizer")
    then, now = int(saved.values["parts"]), _parts(optimizer)
    if then == now:
        _assign(_accumulated(optimizer), saved.arrays, "accumulated")
    else:
        optimizer._iterations.assign(int(optimizer._iterations) // then * now)


def _taken(variables: list[Any], name: str) -> dict[str, NDArray[Any]]:
    return {
        f"{name}/{place:05}": np.asarray(keras.ops.convert_to_numpy(value))
        for place, value in enumerate(variables)
    }


def _named(arrays: Mapping[str, NDArray[Any]], name: str) -> list[NDArray[Any]]:
    return [arrays[key] for key in sorted(arrays) if key.startswith(f"{name}/")]


def _assign(variables: list[Any], arrays: Mapping[str, NDArray[Any]], name: str) -> None:
    for variable, value in zip(variables, _named(arrays, name), strict=True):
        variable.assign(value)
