"""What wraps the network while it learns: grey to three channels and random augmentation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ml_tasks.config_training import AugmentationConfig
from ml_tasks.model.augmentation import augmentation_layers
from ml_tasks.model.backend import keras


def training_network(
    network: keras.Model, augmentation: AugmentationConfig, seed: int
) -> keras.Model:
    """Stored grey uint8 (N,128,128,1) through augmentation and `network` to (N,1).

    The random layers act in training only and are no part of what ships. Bytes cross to a GPU at
    a quarter of the floats' size; they become float32 there.
    """
    side = network.input_shape[1]
    grey = keras.Input((side, side, 1), dtype="uint8", name="grey")
    image = keras.ops.cast(grey, "float32")
    for layer in augmentation_layers(augmentation, seed):
        image = layer(image)
    colour = keras.ops.repeat(image, 3, axis=-1)
    return keras.Model(grey, network(colour), name="training_network")


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Grey pictures (N,128,128) uint8 and labels (N,) as shuffled batches, still uint8."""

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
        self._in_order, self._batch_size, self._seed = order.copy(), batch_size, seed
        self.begin_epoch(0)

    def __len__(self) -> int:
        return -(-len(self._order) // self._batch_size)

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        chosen = self._order[index * self._batch_size : (index + 1) * self._batch_size]
        return self._pixels[chosen][..., np.newaxis], self._labels[chosen][:, np.newaxis]

    def begin_epoch(self, epoch: int) -> None:
        """Shuffles for `epoch`, by the seed and its number alone: a resumed training needs no more.

        The order is replaced, not altered: Keras still prefetches from the one before.
        """
        self._order = self._in_order
        if self._seed is not None:
            self._order = np.random.default_rng((self._seed, epoch)).permutation(self._in_order)
