"""One film as a file of every format, syntax and pixel type that is read, and broken ones."""

from __future__ import annotations

import io

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.builders import encoded, film
from tests.imaging.dicom_files import ENCODERS, JPEG, LOSSLESS, dicom_bytes, encapsulated

_SIDES = (1400, 1100)  # so large that reading reduces it
_TIFF = ("raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "tiff_lzma", "jpeg", "zstd")
_NEAR = "1.2.840.10008.1.2.4."


def film_files() -> dict[str, bytes]:
    """Name -> bytes."""
    grey = np.asarray(Image.fromarray(film(1, lesion=True)).resize(_SIDES[::-1]))
    deep = grey.astype(np.uint16) * np.uint16(16)
    whole = _pictures(grey, deep) | _pgm(grey, deep) | _tiff(grey, deep) | _dicom(grey, deep)
    cut = {f"cut-{name}": data[: len(data) // 2] for name, data in whole.items()}
    return whole | cut | {"empty.png": b"", "text.png": b"no picture at all"}


def _pictures(grey: NDArray[np.uint8], deep: NDArray[np.uint16]) -> dict[str, bytes]:
    colour, palette = np.dstack([grey, grey, grey]), io.BytesIO()
    Image.fromarray(grey).convert("P").save(palette, "PNG")
    return {
        "grey.png": encoded(grey),
        "deep.png": encoded(deep),
        "inverted.png": encoded(np.asarray(255 - grey, np.uint8)),
        "blank.png": encoded(np.full_like(grey, 7)),
        "colour.png": encoded(colour),
        "palette.png": palette.getvalue(),
        "grey.jpg": encoded(grey, "JPEG", quality=92),
        "progressive.jpg": encoded(grey, "JPEG", quality=92, progressive=True),
        "colour.jpg": encoded(colour, "JPEG", quality=92),
        "film.webp": encoded(grey, "WEBP"),  # refused
    }


def _pgm(grey: NDArray[np.uint8], deep: NDArray[np.uint16]) -> dict[str, bytes]:
    height, width = grey.shape
    small = grey[::4, ::4]
    text = f"P2\n{small.shape[1]} {small.shape[0]}\n255\n".encode()
    return {
        "grey.pgm": b"P5\n%d %d\n255\n" % (width, height) + grey.tobytes(),
        "deep.pgm": b"P5\n%d %d\n4095\n" % (width, height) + deep.astype(">u2").tobytes(),
        "text.pgm": text + b" ".join(b"%d" % value for value in small.ravel()),
    }


def _tiff(grey: NDArray[np.uint8], deep: NDArray[np.uint16]) -> dict[str, bytes]:
    files = {f"{kind}.tif": encoded(grey, "TIFF", compression=kind) for kind in _TIFF}
    deeper = {f"deep-{kind}.tif": encoded(deep, "TIFF", compression=kind) for kind in _TIFF[:5]}
    files["group4.tif"] = encoded(grey > 60, "TIFF", compression="group4")
    return files | deeper


def _dicom(grey: NDArray[np.uint8], deep: NDArray[np.uint16]) -> dict[str, bytes]:
    files = {f"deep-{syntax}.dcm": dicom_bytes(deep, syntax) for syntax in LOSSLESS}
    files |= {f"grey-{syntax}.dcm": dicom_bytes(grey, syntax) for syntax in (*LOSSLESS, JPEG)}
    lossy = {
        "51": imagecodecs.jpeg8_encode(deep, level=95, bitspersample=12),
        "81": imagecodecs.jpegls_encode(deep, level=8),
        "91": imagecodecs.jpeg2k_encode(deep, codecformat="j2k", level=60, bitspersample=12),
    }
    for number, stream in lossy.items():
        files[f"lossy-{number}.dcm"] = encapsulated(bytes(stream), _NEAR + number, *deep.shape)
    files["window.dcm"] = dicom_bytes(deep, WindowCenter=1500, WindowWidth=2500)
    files["inverted.dcm"] = dicom_bytes(
        4095 - deep, next(iter(ENCODERS)), PhotometricInterpretation="MONOCHROME1"
    )
    return files
