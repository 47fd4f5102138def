"""The curves of a training for TensorBoard, its weights, and a sample of what it learns from.

Written by TensorBoard's own event writer: Keras's callback needs TensorFlow, whatever the backend.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.histogram.summary_v2 import histogram_pb
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from ml_tasks.config_training import TrainingConfig
from ml_tasks.imaging.encode import png_bytes
from ml_tasks.model.augmentation import augmentation_layers
from ml_tasks.model.backend import keras

# Folders, as Keras names them: a figure's two curves stand in one chart.
_FOLDERS = TRAIN, VALIDATION = "train", "validation"
_ROWS, _COLUMNS = 4, 8  # of the sample


def begin_curves(logs: Path, epoch: int) -> None:
    """Makes ready for a training that goes on after `epoch` epochs; 0: older curves are removed.

    What was drawn after that epoch is told to be void: TensorBoard drops it.
    """
    if not epoch:
        shutil.rmtree(logs, ignore_errors=True)
        return
    restarted = SessionLog(status=SessionLog.START)
    for folder in (path for path in logs.glob("*") if path.is_dir()):
        writer = EventFileWriter(str(folder))
        writer.add_event(Event(wall_time=time.time(), step=epoch + 1, session_log=restarted))
        writer.close()


class Curves(keras.callbacks.Callback):  # type: ignore[misc]
    """Draws losses, metrics and learning rate of each epoch, and histograms of the weights."""

    def __init__(self, logs: Path, network: keras.Model, histograms: bool = False) -> None:
        super().__init__()
        self._logs, self._network, self._histograms = logs, network, histograms
        self._writers: dict[str, EventFileWriter] = {}

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._writers = {name: EventFileWriter(str(self._logs / name)) for name in _FOLDERS}

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        figures = {name: float(value) for name, value in (logs or {}).items()}
        figures["learning_rate"] = float(self.model.optimizer.learning_rate)
        held_out = {name: value for name, value in figures.items() if name.startswith("val_")}
        train = [_scalar(name, figures[name]) for name in figures if name not in held_out]
        if self._histograms:
            train += [
                histogram_pb(weight.path, keras.ops.convert_to_numpy(weight))
                for weight in self._network.weights
            ]
        self._add(TRAIN, epoch, train)
        validation = [_scalar(name[4:], value) for name, value in held_out.items()]
        self._add(VALIDATION, epoch, validation)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        for writer in self._writers.values():
            writer.close()

    def _add(self, folder: str, epoch: int, summaries: Iterable[Summary]) -> None:
        for summary in summaries:
            self._writers[folder].add_event(_event(epoch + 1, summary))
        self._writers[folder].flush()  # whoever watches sees the epoch now


def draw_sample(
    logs: Path, pixels: NDArray[np.uint8], training: TrainingConfig, epoch: int
) -> None:
    """One picture of pictures (N,128,128) as augmentation shows them, once for each training.

    The layers are the sample's own: those that train keep their random numbers.
    """
    if epoch:
        return
    chosen = np.linspace(0, len(pixels) - 1, _ROWS * _COLUMNS).astype(int)
    images = pixels[chosen].astype(np.float32)[..., np.newaxis]
    for layer in augmentation_layers(training.augmentation, training.seed):
        images = layer(images, training=True)
    tiles = np.rint(keras.ops.convert_to_numpy(images)[..., 0]).astype(np.uint8)
    writer = EventFileWriter(str(logs / TRAIN))
    writer.add_event(_event(0, _image("augmented inputs", _tiled(tiles))))
    writer.close()


def _event(step: int, summary: Summary) -> Event:
    return Event(wall_time=time.time(), step=step, summary=summary)


def _scalar(name: str, value: float) -> Summary:
    return Summary(value=[Summary.Value(tag=f"epoch_{name}", simple_value=value)])


def _image(tag: str, pixels: NDArray[np.uint8]) -> Summary:
    height, width = pixels.shape
    image = Summary.Image(
        height=height, width=width, colorspace=1, encoded_image_string=png_bytes(pixels)
    )
    return Summary(value=[Summary.Value(tag=tag, image=image)])


def _tiled(tiles: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Tiles (32,H,W) as one picture (4H,8W)."""
    height, width = tiles.shape[1:]
    grid = tiles.reshape(_ROWS, _COLUMNS, height, width).swapaxes(1, 2)
    return grid.reshape(_ROWS * height, _COLUMNS * width)
