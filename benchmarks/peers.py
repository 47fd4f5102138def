"""What ours is held against: decode-and-shrink by other libraries, and the plain way."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("VIPS_CONCURRENCY", "1")  # one thread each, as our own workers have

import cv2
import imagecodecs
import numpy as np
import pydicom
import pyvips
import simplejpeg
from numpy.typing import NDArray
from PIL import Image
from pydicom.encaps import get_frame
from pydicom.pixels.utils import pixel_array

from benchmarks.films import SYNTAXES
from ml_tasks.imaging.clean import clean
from ml_tasks.imaging.decode import DecodedImage
from ml_tasks.imaging.spec import ImageSpec

SIDE = 128
Bare = Callable[[Path], object]


def _shrunk(pixels: Any) -> object:
    return cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def _opencv_reduced(file: Path) -> object:
    return _shrunk(cv2.imread(str(file), cv2.IMREAD_REDUCED_GRAYSCALE_8))


def _simplejpeg_reduced(file: Path) -> object:
    data = file.read_bytes()
    height, width, _, _ = simplejpeg.decode_jpeg_header(data)
    small = simplejpeg.decode_jpeg(
        data, "GRAY", min_height=height // 8, min_width=width // 8, min_factor=1
    )
    return _shrunk(small[:, :, 0])


def _pillow_draft(file: Path) -> object:
    with Image.open(file) as image:
        image.draft("L", (image.width // 8, image.height // 8))
        return _shrunk(np.asarray(image.convert("L")))


def _vips_thumbnail(file: Path) -> object:
    return pyvips.Image.thumbnail(str(file), SIDE, height=SIDE, size="force").numpy()


JPEG: dict[str, Bare] = {
    "OpenCV reduced decode": _opencv_reduced,
    "simplejpeg": _simplejpeg_reduced,
    "Pillow draft": _pillow_draft,
    "pyvips thumbnail": _vips_thumbnail,
}


def _opencv(file: Path) -> object:
    return _shrunk(cv2.imread(str(file), cv2.IMREAD_UNCHANGED))


def _pillow(file: Path) -> object:
    with Image.open(file) as image:
        return _shrunk(np.asarray(image).astype(np.uint16))


PNG_16: dict[str, Bare] = {
    "OpenCV": _opencv,
    "imagecodecs": lambda file: _shrunk(imagecodecs.png_decode(file.read_bytes())),
    "Pillow": _pillow,
    "pyvips thumbnail": _vips_thumbnail,
}


def _pydicom(file: Path) -> object:
    return _shrunk(pixel_array(file))


def _pydicom_view(file: Path) -> object:
    return _shrunk(pixel_array(file, view_only=True))


def _pydicom_with(decoder: Callable[[bytes], NDArray[Any]]) -> Bare:
    def decoded(file: Path) -> object:
        dataset = pydicom.dcmread(file)
        return _shrunk(decoder(get_frame(dataset.PixelData, 0, number_of_frames=1)))

    return decoded


def _rle(file: Path) -> object:
    dataset = pydicom.dcmread(file)
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    plain = imagecodecs.dicomrle_decode(frame, np.dtype(np.uint16))
    return _shrunk(np.frombuffer(plain, np.uint16).reshape(dataset.Rows, dataset.Columns))


DICOM: dict[str, dict[str, Bare]] = {
    "uncompressed": {"pydicom": _pydicom, "pydicom, a view": _pydicom_view},
    "RLE": {"pydicom": _pydicom, "pydicom with imagecodecs": _rle},
    "JPEG lossless": {"pydicom with imagecodecs": _pydicom_with(imagecodecs.ljpeg_decode)},
    "JPEG-LS": {"pydicom with imagecodecs": _pydicom_with(imagecodecs.jpegls_decode)},
    "JPEG 2000": {"pydicom with imagecodecs": _pydicom_with(imagecodecs.jpeg2k_decode)},
}
assert set(DICOM) == set(SYNTAXES)


def by_hand(file: Path) -> object:
    """No decode at all: NumPy told by hand that the bytes which pydicom read are 16-bit pixels."""
    dataset = pydicom.dcmread(file)
    return _shrunk(np.frombuffer(dataset.PixelData, "<u2").reshape(dataset.Rows, dataset.Columns))


def plain_way(file: Path) -> object:
    """What scripts do: Pillow's full RGB picture, a mask at full size, crop, Lanczos."""
    with Image.open(file) as image:
        grey = np.asarray(image.convert("RGB").convert("L"))
    blurred = cv2.GaussianBlur(grey, (5, 5), 0)
    _, bright = cv2.threshold(blurred, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    bright = cv2.morphologyEx(bright, cv2.MORPH_OPEN, np.ones((25, 25), np.uint8))
    _, labels, figures, _ = cv2.connectedComponentsWithStats(bright)
    largest = 1 + int(np.argmax(figures[1:, cv2.CC_STAT_AREA]))
    left, top, width, height, _ = (int(value) for value in figures[largest])
    kept = (grey * (labels == largest))[top : top + height, left : left + width]
    side = max(kept.shape)
    square = np.zeros((side, side), np.uint8)
    square[: kept.shape[0], : kept.shape[1]] = kept
    return np.asarray(Image.fromarray(square).resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def full_resolution(pixels: NDArray[np.uint8], spec: ImageSpec) -> NDArray[np.uint8]:
    """Our own cleaning of a film (H,W) that was not reduced beforehand, (side, side)."""
    height, width = pixels.shape
    whole = DecodedImage(pixels, 1, width, height, "PNG", "L", 8)
    return clean(whole, spec).pixels
