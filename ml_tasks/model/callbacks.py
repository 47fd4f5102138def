"""What happens at the end of an epoch: one readable line, and the best weights kept."""

from __future__ import annotations

import logging
import math
import time
from typing import Any

from ml_tasks.errors import TrainingError
from ml_tasks.model.backend import keras

log = logging.getLogger(__name__)


class EpochLine(keras.callbacks.Callback):  # type: ignore[misc]
    """Logs one line for each epoch, with the seconds left at most, and keeps the history.

    Raises:
        TrainingError: the loss is no number any more.
    """

    def __init__(self, total_epochs: int) -> None:
        super().__init__()
        self.history: list[dict[str, float]] = []
        self._total = total_epochs
        self._start = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        figures = {name: float(value) for name, value in (logs or {}).items()}
        figures["learning_rate"] = float(self.model.optimizer.learning_rate)
        if not all(math.isfinite(figures[name]) for name in ("loss", "val_loss")):
            raise TrainingError(
                f"the loss became {figures['loss']} (validation {figures['val_loss']}) in epoch "
                f"{epoch + 1}; lower the learning rate in config.yaml, section training, and "
                "start a new run"
            )
        self.history.append({"epoch": epoch + 1, **figures})
        per_epoch = (time.monotonic() - self._start) / len(self.history)
        log.info(
            "epoch %d/%d: loss %.3f, accuracy %.3f, AUC %.3f; validation loss %.3f, "
            "accuracy %.3f, AUC %.3f; learning rate %.2g; at most %.0f s left",
            epoch + 1,
            self._total,
            figures["loss"],
            figures["accuracy"],
            figures["auc"],
            figures["val_loss"],
            figures["val_accuracy"],
            figures["val_auc"],
            figures["learning_rate"],
            per_epoch * (self._total - epoch - 1),
        )


class KeepBest(keras.callbacks.Callback):  # type: ignore[misc]
    """Remembers the weights of the epoch with the lowest validation loss, over all steps."""

    def __init__(self, network: keras.Model) -> None:
        super().__init__()
        self.best: dict[str, float] = {"val_loss": math.inf}
        self._network = network
        self._weights: list[Any] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        figures = logs or {}
        if float(figures["val_loss"]) < self.best["val_loss"]:
            self.best = {
                "epoch": epoch + 1,
                "val_loss": float(figures["val_loss"]),
                "val_auc": float(figures["val_auc"]),
            }
            self._weights = self._network.get_weights()

    def restore(self) -> None:
        """Puts the best weights back into the network."""
        self._network.set_weights(self._weights)
