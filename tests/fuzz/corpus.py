"""Valid files of every kind that is read, for the fuzzing to damage."""

from __future__ import annotations

import io
from typing import Any

import cv2
import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.builders import film
from tests.imaging.dicom_files import JPEG, LOSSLESS, RLE, dicom_bytes


def corpus() -> list[tuple[str, bytes]]:
    """Pairs of a format's name and a file of it; always the same ones, in the same order."""
    pixels = film()
    deep = pixels.astype(np.uint16) * 16
    return [
        *(("PNG", data) for data in _png(pixels, deep)),
        *(("JPEG", data) for data in _jpeg(pixels)),
        *(("TIFF", data) for data in _tiff(pixels, deep)),
        *(("PGM", data) for data in _pgm(pixels, deep)),
        *(("DICOM", data) for data in _dicom(pixels, deep)),
        *_large(),
    ]


def _large() -> list[tuple[str, bytes]]:
    """Films of two megapixels: reduced while they are read, up to 4 MB of file."""
    pixels = cv2.resize(film(2, lesion=True), (1280, 1600), interpolation=cv2.INTER_CUBIC)
    grain = np.random.default_rng(2).integers(0, 16, pixels.shape, np.uint16)
    deep = pixels.astype(np.uint16) * 16 + grain
    return [
        ("PNG", bytes(imagecodecs.png_encode(deep, level=1))),
        ("JPEG", _saved(Image.fromarray(pixels), "JPEG", progressive=True)),
        ("TIFF", _saved(Image.fromarray(deep), "TIFF", compression="tiff_lzw")),
        ("PGM", b"P5 1280 1600 4095\n" + deep.astype(">u2").tobytes()),
        *(("DICOM", dicom_bytes(deep, syntax)) for syntax in (LOSSLESS[0], RLE, *LOSSLESS[-2:])),
        ("DICOM", dicom_bytes(deep.astype(np.int16), PixelPaddingValue=-1)),
    ]


def _png(pixels: NDArray[np.uint8], deep: NDArray[np.uint16]) -> list[bytes]:
    grey = Image.fromarray(pixels)
    kinds = [grey, Image.fromarray(deep * 16), grey.convert("P"), grey.convert("RGB")]
    kinds += [grey.convert("LA"), grey.convert("1")]
    return [_saved(kind, "PNG") for kind in kinds] + [bytes(imagecodecs.png_encode(deep, level=1))]


def _jpeg(pixels: NDArray[np.uint8]) -> list[bytes]:
    grey = Image.fromarray(pixels)
    colour = grey.convert("RGB")
    return [
        _saved(grey, "JPEG", quality=85),
        _saved(colour, "JPEG", quality=85, subsampling=2),
        _saved(grey, "JPEG", progressive=True),
        _saved(colour, "JPEG", progressive=True),
        _saved(grey, "JPEG", restart_marker_rows=1),
        _saved(colour.convert("CMYK"), "JPEG"),
    ]


def _tiff(pixels: NDArray[np.uint8], deep: NDArray[np.uint16]) -> list[bytes]:
    grey, sixteen = Image.fromarray(pixels), Image.fromarray(deep)
    ways = (None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "tiff_jpeg")
    return [
        *(_saved(grey, "TIFF", compression=way) for way in ways),
        _saved(sixteen, "TIFF"),
        _saved(sixteen, "TIFF", compression="tiff_lzw"),
        _saved(grey.convert("1"), "TIFF", compression="group4"),
        _saved(grey.convert("RGB"), "TIFF", compression="tiff_lzw"),
    ]


def _pgm(pixels: NDArray[np.uint8], deep: NDArray[np.uint16]) -> list[bytes]:
    height, width = pixels.shape
    text = " ".join(str(value) for value in pixels.ravel())
    return [
        _saved(Image.fromarray(pixels), "PPM"),
        f"P5\n# a film\n{width} {height}\n4095\n".encode() + deep.astype(">u2").tobytes(),
        f"P2\n{width} {height}\n255\n{text}\n".encode(),
        _saved(Image.fromarray(pixels).convert("RGB"), "PPM"),
    ]


def _dicom(pixels: NDArray[np.uint8], deep: NDArray[np.uint16]) -> list[bytes]:
    shown: dict[str, Any] = {"WindowCenter": 2048, "WindowWidth": 4096}
    rescaled: dict[str, Any] = {"RescaleSlope": 2, "RescaleIntercept": -100}
    return [
        *(dicom_bytes(deep, syntax, **shown) for syntax in LOSSLESS),
        dicom_bytes(deep, **rescaled, PhotometricInterpretation="MONOCHROME1"),
        dicom_bytes(deep.astype(np.int16), PixelPaddingValue=0),
        dicom_bytes(pixels, JPEG),
        dicom_bytes(pixels, LOSSLESS[0]),
    ]


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
