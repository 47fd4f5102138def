"""What wraps the network while it learns: grey to three channels and random augmentation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ml_tasks.config_training import AugmentationConfig
from ml_tasks.model.backend import keras


def training_network(
    network: keras.Model, augmentation: AugmentationConfig, seed: int
) -> keras.Model:
    """Stored grey (N,128,128,1) in 0-255 through augmentation and `network` to (N,1).

    The random layers act in training only and are no part of what ships.
    """
    side = network.input_shape[1]
    grey = keras.Input((side, side, 1), dtype="float32", name="grey")
    image = grey
    for layer in _augmentation(augmentation, seed):
        image = layer(image)
    colour = keras.layers.Concatenate(name="grey_to_colour")([image] * 3)
    return keras.Model(grey, network(colour), name="training_network")


def _augmentation(config: AugmentationConfig, seed: int) -> list[keras.layers.Layer]:
    layers: list[keras.layers.Layer] = []
    if config.horizontal_flip or config.vertical_flip:
        both = config.horizontal_flip and config.vertical_flip
        mode = (
            "horizontal_and_vertical"
            if both
            else ("horizontal" if config.horizontal_flip else "vertical")
        )
        layers.append(keras.layers.RandomFlip(mode, seed=seed))
    if config.rotation_degrees:
        layers.append(
            keras.layers.RandomRotation(
                config.rotation_degrees / 360, fill_mode="constant", fill_value=0.0, seed=seed + 1
            )
        )
    return layers


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Grey pictures (N,128,128) uint8 and labels (N,) as shuffled float32 batches."""

    def __init__(
        self,
        pixels: NDArray[np.uint8],
        labels: NDArray[np.float32],
        order: NDArray[np.intp],
        batch_size: int,
        seed: int | None = None,
    ) -> None:
        """`order` lists the pictures of an epoch, repeats included; no seed: never shuffled."""
        super().__init__()
        self._pixels, self._labels = pixels, labels
        self._order, self._batch_size = order.copy(), batch_size
        self._random = None if seed is None else np.random.default_rng(seed)
        self.on_epoch_end()

    def __len__(self) -> int:
        return -(-len(self._order) // self._batch_size)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        chosen = self._order[index * self._batch_size : (index + 1) * self._batch_size]
        images = self._pixels[chosen][..., np.newaxis].astype(np.float32)
        return images, self._labels[chosen][:, np.newaxis]

    def on_epoch_end(self) -> None:
        if self._random is not None:
            self._random.shuffle(self._order)
