"""Each random change alone: what it does to a picture, what it leaves, and its seed."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from ml_tasks.config_training import AugmentationConfig
from ml_tasks.model.augmentation import augmentation_layers
from ml_tasks.model.backend import keras
from tests.builders import NO_AUGMENTATION

Batch = NDArray[np.float32]
SIDE = 128


def noise(count: int = 32) -> Batch:
    """Pictures (N,128,128,1) float32 in 0-255."""
    random = np.random.default_rng(3)
    return random.integers(0, 256, (count, SIDE, SIDE, 1)).astype(np.float32)


def disc(radius: float = 30, grey: float = 200, count: int = 16) -> Batch:
    """A grey disc in the middle of a black ground, the same in each picture."""
    rows, columns = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    one = np.where(rows**2 + columns**2 <= radius**2, grey, 0).astype(np.float32)
    return np.repeat(one[None, ..., None], count, axis=0)


class Changing(keras.Model):  # type: ignore[misc]
    """The layers as training sees them, in predict."""

    def __init__(self, layers: list[keras.layers.Layer], training: bool) -> None:
        super().__init__()
        self._changes, self._as_in_training = layers, training

    def call(self, images: Any) -> Any:
        for layer in self._changes:
            images = layer(images, training=self._as_in_training)
        return images


def changed(
    images: Batch,
    config: AugmentationConfig,
    seed: int = 4,
    training: bool = True,
    xla: bool = False,
) -> Batch:
    """The pictures through the layers that `config` switches on, traced as in training."""
    model = Changing(augmentation_layers(config, seed), training)
    model.compile(jit_compile=xla)
    return np.asarray(model.predict(images, batch_size=len(images), verbose=0))


def only(**wanted: Any) -> AugmentationConfig:
    return NO_AUGMENTATION.model_copy(update=wanted)


def centres(images: Batch) -> NDArray[np.float64]:
    """Row and column of each picture's centre of mass, from the middle: (N,2)."""
    place = np.arange(SIDE) - (SIDE - 1) / 2
    total = images.sum(axis=(1, 2, 3))
    rows = (images[..., 0].sum(axis=2) * place).sum(axis=1) / total
    columns = (images[..., 0].sum(axis=1) * place).sum(axis=1) / total
    return np.stack([rows, columns], axis=1)


@pytest.mark.parametrize(
    ("name", "axis"), [("horizontal_flip", 2), ("vertical_flip", 1)], ids=["horizontal", "vertical"]
)
def test_a_flip_turns_some_pictures_about_and_no_other_way(name: str, axis: int) -> None:
    images = noise()
    seen = changed(images, only(**{name: True}))
    kept = [np.array_equal(one, other) for one, other in zip(seen, images, strict=True)]
    turned = np.flip(images, axis)
    flipped = [np.array_equal(one, other) for one, other in zip(seen, turned, strict=True)]
    assert 5 < sum(kept) < 27
    assert all(one != other for one, other in zip(kept, flipped, strict=True))


def test_a_rotation_stays_within_its_angle_and_brings_black_into_the_corners() -> None:
    """A dot at the edge of a circle tells by how much each picture was turned."""
    images = np.zeros((64, SIDE, SIDE, 1), np.float32)
    images[:, 61:67, 100:106] = 255
    seen = centres(changed(images, only(rotation_degrees=30.0)))
    angles = np.degrees(np.arctan2(seen[:, 0], seen[:, 1]))
    assert np.abs(angles).max() <= 30.5
    assert angles.min() < -20 and angles.max() > 20
    assert np.allclose(np.hypot(*seen.T), 39, atol=0.5)
    full = changed(np.full((16, SIDE, SIDE, 1), 200, np.float32), only(rotation_degrees=45.0))
    assert (full[:, 0, 0] == 0).any(), "any other fill would paint tissue where there is none"
    assert np.allclose(full[:, 64, 64], 200)


@pytest.mark.parametrize("xla", [False, True], ids=["as it is", "compiled"])
def test_a_shift_moves_the_whole_picture_and_nothing_else(xla: bool) -> None:
    seen = changed(disc(count=64), only(shift=0.1), xla=xla)
    moved = centres(seen)
    assert np.abs(moved).max() <= 12.8 + 0.1
    for axis in (0, 1):
        assert moved[:, axis].min() < -8 and moved[:, axis].max() > 8
    apart = np.corrcoef(moved[:, 0], moved[:, 1])[0][1]
    assert abs(apart) < 0.5, "up and down is drawn apart from left and right"
    assert np.allclose(seen.sum(axis=(1, 2, 3)), disc().sum() / 16, rtol=1e-3)
    full = changed(np.full((16, SIDE, SIDE, 1), 200, np.float32), only(shift=0.1))
    edges = np.concatenate([full[:, 0], full[:, -1], full[:, :, 0], full[:, :, -1]], axis=1)
    assert (edges.min(axis=1) == 0).all()


def test_a_zoom_changes_the_size_and_nothing_else() -> None:
    seen = changed(disc(count=64), only(zoom=0.2))
    sizes = np.sqrt(seen.sum(axis=(1, 2, 3)) / disc()[0].sum())
    assert 0.79 <= sizes.min() < 0.85 and 1.15 < sizes.max() <= 1.21
    assert np.abs(centres(seen)).max() < 0.1


def test_contrast_stretches_about_the_mean_of_the_breast_and_leaves_black_black() -> None:
    """Keras's own layer would lift the ground: the network could learn the fill."""
    images = disc(grey=100)
    images[:, 50:78, 50:78] = 120
    seen = changed(images, only(contrast=0.3))
    assert (seen[images == 0] == 0).all()
    mean = images[images > 0].mean()
    factors = (seen[:, 64, 64, 0] - mean) / (120 - mean)
    assert 0.7 <= factors.min() < 0.9 and 1.1 < factors.max() <= 1.3
    dark = (seen[:, 64, 40, 0] - mean) / (100 - mean)
    assert np.allclose(dark, factors, rtol=1e-3), "one factor for the whole picture"


def test_turn_shift_and_zoom_together_are_what_opencv_makes_of_the_same_matrix() -> None:
    images = cv2.GaussianBlur(noise(1)[0], (0, 0), 3)[None, ..., None]
    (layer,) = augmentation_layers(only(rotation_degrees=40, shift=0.2, zoom=0.3), 7)
    drawn: list[float] = []
    uniform = layer._uniform

    def noted(count: int, most: float) -> object:
        value = uniform(count, most)
        drawn.append(float(np.asarray(value).reshape(())))
        return value

    layer._uniform = noted
    seen = np.asarray(layer(images, training=True))[0, ..., 0]
    angle, zoom, down, right = drawn
    middle = (SIDE - 1) / 2
    forward = cv2.getRotationMatrix2D((middle, middle), -np.degrees(angle), 1 + zoom)
    forward[0, 2] += right * SIDE
    forward[1, 2] += down * SIDE
    expected = cv2.warpAffine(images[0, ..., 0], forward, (SIDE, SIDE), flags=cv2.INTER_LINEAR)
    assert np.abs(seen - expected).max() < 2, "OpenCV rounds positions to 1/32 pixel"


def test_grey_levels_stay_between_black_and_white() -> None:
    seen = changed(noise(), AugmentationConfig(contrast=0.9))
    assert seen.min() >= 0 and seen.max() <= 255
    assert seen.dtype == np.float32


def test_outside_of_training_and_with_everything_off_nothing_changes() -> None:
    images = noise(4)
    assert np.array_equal(changed(images, AugmentationConfig(), training=False), images)
    assert augmentation_layers(NO_AUGMENTATION, seed=1) == []


@pytest.mark.parametrize(
    "wanted",
    [{"horizontal_flip": True}, {"rotation_degrees": 9.0}, {"shift": 0.1}, {"zoom": 0.1},
     {"contrast": 0.1}],
    ids=lambda wanted: next(iter(wanted)),
)  # fmt: skip
def test_a_seed_gives_the_same_pictures_again_and_another_seed_others(
    wanted: dict[str, Any],
) -> None:
    config = only(**wanted)
    first = changed(noise(), config, seed=1)
    assert np.array_equal(changed(noise(), config, seed=1), first)
    assert not np.array_equal(changed(noise(), config, seed=2), first)
