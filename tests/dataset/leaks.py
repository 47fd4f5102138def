"""Seeded leaks: what happens to a film on its way into a data set a second time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

Film = NDArray[np.uint8]


@dataclass(frozen=True)
class Leak:
    """A film (H,W) uint8 to the bytes of the file that came of it; `random` draws its strength."""

    name: str
    of: Callable[[Film, np.random.Generator], bytes]


def pgm(pixels: NDArray[np.uint8 | np.uint16]) -> bytes:
    """Grey pixels as an uncompressed file, the quickest to write."""
    return cv2.imencode(".pgm", pixels)[1].tobytes()


def jpeg(film: Film, random: np.random.Generator, quality: int | None = None) -> bytes:
    """Compressed once more."""
    value = int(random.integers(30, 96)) if quality is None else quality
    return cv2.imencode(".jpg", film, [cv2.IMWRITE_JPEG_QUALITY, value])[1].tobytes()


def resized(film: Film, random: np.random.Generator, factor: float) -> bytes:
    """Another number of pixels."""
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return pgm(_bytes(cv2.resize(film, None, fx=factor, fy=factor, interpolation=how)))


def cropped(film: Film, random: np.random.Generator, sides: str, most: float = 0.05) -> bytes:
    """Up to `most` of the height or width cut off at each of `sides` (t, b, l, r)."""
    height, width = film.shape
    cut = {side: random.uniform(0.4, 1) * most if side in sides else 0.0 for side in "tblr"}
    rows = slice(round(height * cut["t"]), round(height * (1 - cut["b"])))
    columns = slice(round(width * cut["l"]), round(width * (1 - cut["r"])))
    return pgm(np.ascontiguousarray(film[rows, columns]))


def graded(
    film: Film, random: np.random.Generator, gain: float = 1, offset: float = 0, gamma: float = 1
) -> bytes:
    """Other brightness, contrast or gamma; the black surroundings stay dark."""
    levels = 255 * (np.arange(256) / 255) ** gamma * gain + offset
    return pgm(np.clip(np.rint(levels), 0, 255).astype(np.uint8)[film])


def blurred(film: Film, random: np.random.Generator) -> bytes:
    """Slightly out of focus, as a scan of a print."""
    return pgm(_bytes(cv2.GaussianBlur(film, (0, 0), len(film) / 1024 * random.uniform(1, 3))))


def noisy(film: Film, random: np.random.Generator) -> bytes:
    """Grain of 5 to 10 grey levels."""
    noise = random.normal(0, random.uniform(5, 10), film.shape)
    return pgm(np.clip(film + noise, 0, 255).astype(np.uint8))


def inverted(film: Film, random: np.random.Generator) -> bytes:
    """White surroundings."""
    return pgm(255 - film)


def mirrored(film: Film, random: np.random.Generator) -> bytes:
    """Left for right."""
    return pgm(np.ascontiguousarray(film[:, ::-1]))


def upside_down(film: Film, random: np.random.Generator) -> bytes:
    """Turned by 180 degrees."""
    return pgm(np.ascontiguousarray(film[::-1, ::-1]))


def deep(film: Film, random: np.random.Generator) -> bytes:
    """16 bits of which 12 are used, as from a digital detector."""
    return pgm(film.astype(np.uint16) * 16)


def rotated(film: Film, random: np.random.Generator, degrees: float) -> bytes:
    """Laid askew on the scanner."""
    height, width = film.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    return pgm(_bytes(cv2.warpAffine(film, turn, (width, height), flags=cv2.INTER_LINEAR)))


def everything(film: Film, random: np.random.Generator) -> bytes:
    """Cropped, shrunk, regraded and compressed, one after the other."""
    crop = decoded(cropped(film, random, "tblr", most=0.03))
    small = decoded(resized(crop, random, random.uniform(0.5, 0.9)))
    return jpeg(decoded(graded(small, random, gain=1.05, gamma=0.9)), random, quality=50)


def decoded(data: bytes) -> Film:
    """The pixels of a file that one of the above made."""
    return _bytes(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE))


def _bytes(pixels: object) -> Film:
    return np.asarray(pixels, np.uint8)


_WAYS: dict[str, Callable[[Film, np.random.Generator], bytes]] = {
    "half size": partial(resized, factor=0.5),
    "three quarters of the size": partial(resized, factor=0.75),
    "one and a half times the size": partial(resized, factor=1.5),
    "JPEG 30": partial(jpeg, quality=30),
    "JPEG 60": partial(jpeg, quality=60),
    "JPEG 95": partial(jpeg, quality=95),
    "cropped at the top": partial(cropped, sides="t"),
    "cropped at the bottom": partial(cropped, sides="b"),
    "cropped at the left": partial(cropped, sides="l"),
    "cropped at the right": partial(cropped, sides="r"),
    "cropped all round": partial(cropped, sides="tblr"),
    "brighter": partial(graded, offset=10),
    "more contrast": partial(graded, gain=1.15),
    "less contrast": partial(graded, gain=0.7),
    "gamma 0.8": partial(graded, gamma=0.8),
    "gamma 1.25": partial(graded, gamma=1.25),
    "blurred": blurred,
    "noisy": noisy,
    "inverted": inverted,
    "mirrored": mirrored,
    "upside down": upside_down,
    "16 bits": deep,
    "turned by 1 degree": partial(rotated, degrees=1),
    "turned by 2 degrees": partial(rotated, degrees=-2),
    "everything at once": everything,
}
LEAKS = tuple(Leak(name, of) for name, of in _WAYS.items())
