"""File bytes to grey pixels: formats allow-listed, size checked on the header before decoding."""

from __future__ import annotations

import io
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ml_tasks.errors import ImageRejected
from ml_tasks.imaging.header import NO_HEADER, ImageHeader
from ml_tasks.imaging.spec import ImageSpec

FORMATS = ("PNG", "JPEG", "TIFF", "PPM")
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".pgm")

_BITS = {"1": 1, "L": 8, "LA": 8, "P": 8, "RGB": 8, "RGBA": 8}
_DEEP = {"I;16": 16, "I;16B": 16, "I;16L": 16, "I": 32}
_LEVELS = 1 << 16
_ROWS = 256  # at a time, when counting levels

# Our own limit stands on the header, before any pixel is read; Pillow's would only warn.
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True)
class DecodedImage:
    """Grey pixels (H,W) uint8, reduced by `factor`, and what the header said of the file."""

    pixels: NDArray[np.uint8]
    factor: int
    width: int  # of the file
    height: int
    format: str
    mode: str
    bit_depth: int
    header: ImageHeader = NO_HEADER


def decode(data: bytes, spec: ImageSpec) -> DecodedImage:
    """Decodes one PNG, JPEG, TIFF or PGM file to grey pixels (H,W) uint8, 0-255.

    Raises:
        ImageRejected: its code is `empty`, `not_an_image`, `too_large`, `too_small`,
            `unsupported` or `unreadable`.
    """
    if not data:
        raise ImageRejected("empty", "the file is empty (0 bytes)")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_header(image, spec)
            image.load()
            factor = reduction(image.size, spec)
            return DecodedImage(
                pixels=_reduced(_grey(image), factor),
                factor=factor,
                width=image.width,
                height=image.height,
                format=image.format or "",
                mode=image.mode,
                bit_depth=_BITS.get(image.mode) or _DEEP[image.mode],
            )
    except ImageRejected:
        raise
    except UnidentifiedImageError:
        raise ImageRejected(
            "not_an_image", "not a readable image; PNG, JPEG, TIFF and PGM files are read"
        ) from None
    except MemoryError:
        raise ImageRejected("too_large", "the image needs more memory than there is") from None
    except Exception as error:  # third-party decoders raise nearly anything on broken files
        raise ImageRejected("unreadable", f"the file is damaged or cut off ({error})") from error


def reduction(size: tuple[int, int], spec: ImageSpec) -> int:
    """The largest of 8, 4, 2, 1 that leaves the longest of `size` at least `spec.decode_side`."""
    return next(
        factor for factor in (8, 4, 2, 1) if factor == 1 or max(size) >= factor * spec.decode_side
    )


def _reduced(pixels: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Pixels (H,W) averaged over factor x factor blocks; what no block fills is left out."""
    height, width = pixels.shape[0] // factor, pixels.shape[1] // factor
    whole = pixels[: height * factor, : width * factor]
    return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _check_header(image: Image.Image, spec: ImageSpec) -> None:
    width, height = image.size
    if width * height > spec.max_megapixels * 1e6:
        raise ImageRejected(
            "too_large",
            f"the header claims {width}x{height} pixels; "
            f"at most {spec.max_megapixels:g} megapixels are read",
        )
    if min(width, height) < spec.min_side:
        raise ImageRejected(
            "too_small", f"{width}x{height} pixels; each side needs at least {spec.min_side}"
        )
    if image.mode not in _BITS and image.mode not in _DEEP:
        raise ImageRejected(
            "unsupported", f"pixel type {image.mode} is not read; use grey 8 or 16 bit"
        )
    if getattr(image, "n_frames", 1) > 1:
        raise ImageRejected("unsupported", "the file holds several pictures; save one in each file")


def _grey(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode in _DEEP:
        return _to_8_bit(np.asarray(image))
    if image.mode == "L":
        return np.asarray(image, dtype=np.uint8)
    return np.asarray(image.convert("RGB").convert("L"), dtype=np.uint8)


def _to_8_bit(values: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Stretches deep pixels to 0-255; the brightest 0.1 % may saturate, so no hot pixel decides.

    Works through a table of all 65,536 levels, so that a large film needs little memory.
    """
    if values.min() < 0 or values.max() > _LEVELS - 1:
        raise ImageRejected("unsupported", "pixels of more than 16 bits are not read")
    counts = np.zeros(_LEVELS, np.int64)
    for row in range(0, len(values), _ROWS):
        counts += np.bincount(values[row : row + _ROWS].ravel(), minlength=_LEVELS)
    low = int(np.flatnonzero(counts)[0])
    high = int(np.searchsorted(np.cumsum(counts), 0.999 * values.size))
    if high <= low:
        return np.zeros(values.shape, np.uint8)
    scaled = (np.arange(_LEVELS, dtype=np.float32) - low) * (255.0 / (high - low))
    table = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return table[values]
