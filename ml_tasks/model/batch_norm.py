"""Batch-norm statistics of a network trained from scratch, measured anew before they are used.

The moving averages of DenseNet's batch norms follow so slowly (momentum 0.99) that after the few
hundred steps of a small training they are still wrong, and so is every prediction. Before each
validation they are replaced by the statistics over the training set itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ml_tasks.model.backend import keras
from ml_tasks.model.stopping import StopRequest
from ml_tasks.model.training_network import Batches


class TrainingModeNetwork(keras.Model):  # type: ignore[misc]
    """`network` on grey batches, in training mode even in predict: its batch norms take note."""

    def __init__(self, network: keras.Model) -> None:
        super().__init__()
        self._network = network

    def call(self, grey: Any) -> Any:
        return self._network(keras.ops.repeat(grey, 3, axis=-1), training=True)


class RefreshBatchNorm(keras.callbacks.Callback):  # type: ignore[misc]
    """Measures the trainable batch norms over `batches` whenever a validation begins."""

    def __init__(
        self, network: keras.Model, batches: Batches, stop: StopRequest | None = None
    ) -> None:
        super().__init__()
        self._stop = stop or StopRequest()
        self._layers = [
            layer
            for layer in network.layers
            if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
        ]
        self._batches = batches
        self._measuring = TrainingModeNetwork(network)
        self._measuring.compile(jit_compile=False)

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        if not self._layers:
            return
        # Momentum 0 makes each batch leave its own statistics; it is read when predict is traced,
        # which happens here, and fit has been traced with the original one.
        momenta = [layer.momentum for layer in self._layers]
        try:
            for layer in self._layers:
                layer.momentum = 0.0
            self._assign(*self._measure())
        finally:
            for layer, momentum in zip(self._layers, momenta, strict=True):
                layer.momentum = momentum

    def _measure(self) -> tuple[list[Any], list[Any]]:
        """Mean and variance of each layer's input over all batches, as if they were one."""
        total = 0
        means: list[Any] = [0.0] * len(self._layers)
        squares: list[Any] = [0.0] * len(self._layers)
        for index in range(len(self._batches)):
            self._stop.check()
            images, _ = self._batches[index]
            self._measuring.predict_on_batch(images)
            total += len(images)
            for place, layer in enumerate(self._layers):
                mean = np.asarray(layer.moving_mean, np.float64)
                variance = np.asarray(layer.moving_variance, np.float64)
                means[place] = means[place] + len(images) * mean
                squares[place] = squares[place] + len(images) * (variance + mean**2)
        mean_of = [value / total for value in means]
        spread = [value / total - mean**2 for value, mean in zip(squares, mean_of, strict=True)]
        return mean_of, [np.maximum(value, 0) for value in spread]

    def _assign(self, means: list[Any], variances: list[Any]) -> None:
        for layer, mean, variance in zip(self._layers, means, variances, strict=True):
            layer.moving_mean.assign(mean.astype(np.float32))
            layer.moving_variance.assign(variance.astype(np.float32))
