"""What is looked at while the network learns: each batch's loss, each epoch, the best weights."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import Any

from ml_tasks.errors import TrainingError
from ml_tasks.model.backend import keras
from ml_tasks.model.stopping import StopRequest
from ml_tasks.model.training_network import Batches

log = logging.getLogger(__name__)


class BetweenBatches(keras.callbacks.Callback):  # type: ignore[misc]
    """Gives each epoch its order of pictures, and ends training between batches where asked to.

    Not at a batch's end: Keras then waits for the device after each batch.
    """

    def __init__(self, batches: Batches, stop: StopRequest) -> None:
        super().__init__()
        self._batches, self._stop = batches, stop

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._batches.begin_epoch(epoch)

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._stop.check()

    def on_test_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._stop.check()


class FiniteLoss(keras.callbacks.Callback):  # type: ignore[misc]
    """Stops training at the batch whose loss is no number; the logged loss is a running mean.

    `kept` says what of the training is kept.

    Raises:
        TrainingError: naming the first such batch.
    """

    async_safe = True  # Keras reads the loss in a thread of its own: the device is not waited for

    def __init__(self, kept: Callable[[], str]) -> None:
        super().__init__()
        self._kept = kept
        self._epoch = 0
        self._first: int | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        loss = float((logs or {})["loss"])
        if math.isfinite(loss):
            return
        self._first = batch if self._first is None else min(batch, self._first)
        where = f"epoch {self._epoch + 1}, batch {self._first + 1} of {self.params['steps']}"
        raise no_number("loss", loss, where, self._kept())


class EndStepEarly(keras.callbacks.EarlyStopping):  # type: ignore[misc]
    """Ends a step after `patience` epochs without a better validation loss, and says so."""

    def __init__(self, patience: int) -> None:
        super().__init__(monitor="val_loss", patience=patience)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self.stopped_epoch:
            log.info("no better validation loss for %d epochs: this step ends early", self.patience)


class EpochLine(keras.callbacks.Callback):  # type: ignore[misc]
    """Logs one line for each epoch, with the seconds left at most, and keeps the history.

    Raises:
        TrainingError: the validation loss is no number any more.
    """

    def __init__(self, total_epochs: int, kept: Callable[[], str]) -> None:
        super().__init__()
        self.history: list[dict[str, float]] = []
        self._total, self._kept = total_epochs, kept
        self._start, self._before = time.monotonic(), 0.0

    def go_on(self, history: list[dict[str, float]], seconds: float) -> None:
        """Takes over what earlier attempts have done, and in which time."""
        self.history, self._before = history, seconds

    @property
    def seconds(self) -> float:
        """Since training began, in all attempts, without the time between them."""
        return self._before + time.monotonic() - self._start

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        figures = {name: float(value) for name, value in (logs or {}).items()}
        figures["learning_rate"] = float(self.model.optimizer.learning_rate)
        if not math.isfinite(figures["val_loss"]):
            loss = figures["val_loss"]
            raise no_number("validation loss", loss, f"epoch {epoch + 1}", self._kept())
        self.history.append({"epoch": epoch + 1, **figures})
        left = self.seconds / len(self.history) * (self._total - epoch - 1)
        log.info(
            "epoch %d/%d: loss %.3f, accuracy %.3f, AUC %.3f; validation loss %.3f, "
            "accuracy %.3f, AUC %.3f; learning rate %.2g%s",
            epoch + 1,
            self._total,
            figures["loss"],
            figures["accuracy"],
            figures["auc"],
            figures["val_loss"],
            figures["val_accuracy"],
            figures["val_auc"],
            figures["learning_rate"],
            f"; at most {left:.0f} s left" if left else "",
        )


class KeepBest(keras.callbacks.Callback):  # type: ignore[misc]
    """Remembers the weights of the epoch with the lowest validation loss, over all steps."""

    def __init__(self, network: keras.Model) -> None:
        super().__init__()
        self.best: dict[str, float] = {"val_loss": math.inf}
        self.weights: list[Any] = []
        self._network = network

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        figures = logs or {}
        if float(figures["val_loss"]) < self.best["val_loss"]:
            self.best = {
                "epoch": epoch + 1,
                "val_loss": float(figures["val_loss"]),
                "val_auc": float(figures["val_auc"]),
            }
            self.weights = self._network.get_weights()

    def restore(self) -> None:
        """Puts the best weights back into the network."""
        self._network.set_weights(self.weights)


def no_number(what: str, value: float, where: str, kept: str) -> TrainingError:
    """The error of a loss that is not finite."""
    return TrainingError(
        f"the {what} became {value} in {where} ({kept}); lower the learning rate in config.yaml, "
        "section training, and start a new run"
    )
