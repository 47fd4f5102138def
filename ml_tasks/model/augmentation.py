"""Random changes of training pictures: flip, rotation, shift, zoom, contrast, all in float32.

Rotation, shift and zoom are one mapping, so a picture is interpolated once and not three times, and
are made of gathers, which XLA can compile on every backend; Keras's own layers of that kind
(supports_jit is false in Keras 3.15) can not on TensorFlow.
"""

from __future__ import annotations

import math
from typing import Any

from ml_tasks.config_training import AugmentationConfig
from ml_tasks.model.backend import keras

_FLOAT32 = "float32"  # whatever the policy: bfloat16 knows 128 grey levels between 128 and 255


def augmentation_layers(config: AugmentationConfig, seed: int) -> list[keras.layers.Layer]:
    """The layers that `config` asks for, each with random numbers of its own made from `seed`.

    They take float32 (N,H,W,1) in 0-255 to the same, and do nothing outside of training.
    """
    layers: list[keras.layers.Layer] = []
    flips = [
        axis
        for axis, wanted in (
            ("horizontal", config.horizontal_flip),
            ("vertical", config.vertical_flip),
        )
        if wanted
    ]
    if flips:
        layers.append(keras.layers.RandomFlip("_and_".join(flips), seed=seed, dtype=_FLOAT32))
    if config.rotation_degrees or config.shift or config.zoom:
        layers.append(RandomAffine(config.rotation_degrees, config.shift, config.zoom, seed + 1))
    if config.contrast:
        layers.append(RandomContrast(config.contrast, seed + 2))
    return layers


class RandomAffine(keras.layers.Layer):  # type: ignore[misc]
    """Turns, shifts and zooms each picture (N,H,W,1) about its centre; black comes in outside."""

    def __init__(self, degrees: float, shift: float, zoom: float, seed: int) -> None:
        """At most `degrees` either way, `shift` of the side, 1-zoom to 1+zoom in size."""
        super().__init__(dtype=_FLOAT32)
        self._radians, self._shift, self._zoom = math.radians(degrees), shift, zoom
        self._seeds = keras.random.SeedGenerator(seed)

    def call(self, images: Any, training: bool = False) -> Any:
        if not training:
            return images
        ops, (_, height, width, _) = keras.ops, images.shape
        count = ops.shape(images)[0]
        angle = self._uniform(count, self._radians)
        size = 1 + self._uniform(count, self._zoom)
        down, right = self._uniform(count, self._shift), self._uniform(count, self._shift)
        # Each output pixel asks where it comes from: the inverse of shift, then turn and zoom.
        rows = _centred(height)[:, None] - down * height
        columns = _centred(width)[None, :] - right * width
        cosine, sine = ops.cos(angle) / size, ops.sin(angle) / size
        return _sampled(
            images[..., 0],
            cosine * rows - sine * columns + (height - 1) / 2,
            sine * rows + cosine * columns + (width - 1) / 2,
        )[..., None]

    def _uniform(self, count: Any, most: float) -> Any:
        """(count,1,1) between -most and most."""
        return keras.random.uniform((count, 1, 1), -most, most, _FLOAT32, self._seeds)


class RandomContrast(keras.layers.Layer):  # type: ignore[misc]
    """Stretches the grey levels of each picture (N,H,W,1) about the mean of what is not black.

    Keras's own layer takes the mean of the whole picture, and lifts the black ground to grey.
    """

    def __init__(self, share: float, seed: int) -> None:
        """1-share to 1+share times the contrast, cut off at 0 and 255."""
        super().__init__(dtype=_FLOAT32)
        self._share = share
        self._seeds = keras.random.SeedGenerator(seed)

    def call(self, images: Any, training: bool = False) -> Any:
        if not training:
            return images
        ops, axes = keras.ops, (1, 2, 3)
        shape = (ops.shape(images)[0], 1, 1, 1)
        factor = 1 + keras.random.uniform(shape, -self._share, self._share, _FLOAT32, self._seeds)
        lit = ops.cast(images > 0, _FLOAT32)
        area = ops.maximum(ops.sum(lit, axes, keepdims=True), 1)
        mean = ops.sum(images, axes, keepdims=True) / area
        return lit * ops.clip((images - mean) * factor + mean, 0, 255)


def _centred(side: int) -> Any:
    """Pixel positions (side,) counted from the middle."""
    return keras.ops.arange(side, dtype=_FLOAT32) - (side - 1) / 2


def _sampled(pixels: Any, rows: Any, columns: Any) -> Any:
    """`pixels` (N,H,W) at the positions (N,H,W), bilinear, black outside."""
    ops, (_, height, width) = keras.ops, pixels.shape
    # One black line above and to the left, two below and to the right: whatever lies outside is
    # moved onto them, so that no position needs a test of its own.
    flat = ops.reshape(ops.pad(pixels, ((0, 0), (1, 2), (1, 2))), (-1,))
    stride, area = width + 3, (width + 3) * (height + 3)
    rows, columns = ops.clip(rows, -1, height), ops.clip(columns, -1, width)
    above, left = ops.floor(rows), ops.floor(columns)
    lower, further = rows - above, columns - left
    picture = ops.arange(ops.shape(pixels)[0], dtype="int32")[:, None, None] * area
    corner = ops.cast((above + 1) * stride + left + 1, "int32") + picture
    upper_row = ops.take(flat, corner) * (1 - further) + ops.take(flat, corner + 1) * further
    lower_row = (
        ops.take(flat, corner + stride) * (1 - further)
        + ops.take(flat, corner + stride + 1) * further
    )
    return upper_row * (1 - lower) + lower_row * lower
