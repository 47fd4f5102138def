"""File bytes to grey pixels: formats allow-listed, size checked on the header before decoding."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import Any

import cv2
import imagecodecs
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ml_tasks.errors import ImageRejected
from ml_tasks.imaging.dicom import header_of, is_dicom, read_dicom, size_of
from ml_tasks.imaging.dicom_pixels import shown_values, stored_values
from ml_tasks.imaging.header import NO_HEADER, ImageHeader
from ml_tasks.imaging.spec import ImageSpec

FORMATS = ("PNG", "TIFF", "PPM")  # that Pillow is asked for
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".pgm", ".dcm", ".dicom")

_PNG, _JPEG, _SCAN = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"\xff\xda"
_GREY = (b"\x08\x00", b"\x10\x00")  # 8 or 16 bits, no colour
_ANIMATED, _HEAD = b"acTL", 4096  # a PNG of several pictures says so before the first
_MOST_SCANS = 64
_MOST_BYTES = 160_000_000  # decoded, before it is reduced

_BITS = {"1": 1, "L": 8, "LA": 8, "P": 8, "RGB": 8, "RGBA": 8}
_DEEP = {"I;16": 16, "I;16B": 16, "I;16L": 16, "I": 32}
_LEVELS = 1 << 16
_LEVELS_SIDE = 256  # at least, of the copy on which the range of levels is found

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
    """Decodes one PNG, JPEG, TIFF, PGM or DICOM file to grey pixels (H,W) uint8, 0-255, reduced.

    An orientation that a camera noted (EXIF) is passed over: films have none.

    Raises:
        ImageRejected: its code is `empty`, `not_an_image`, `too_large`, `too_small`,
            `unsupported` or `unreadable`.
    """
    if not data:
        raise ImageRejected("empty", "the file is empty (0 bytes)")
    try:
        if is_dicom(data):
            return _dicom(data, spec)
        if data[:3] == _JPEG:
            return _jpeg(data, spec)
        if data[:8] == _PNG and data[24:26] in _GREY and _ANIMATED not in data[:_HEAD]:
            return _grey_png(data, spec)
        return _other(data, spec)
    except ImageRejected:
        raise
    except UnidentifiedImageError:
        raise ImageRejected(
            "not_an_image", "not a readable image; PNG, JPEG, TIFF, PGM and DICOM files are read"
        ) from None
    except MemoryError:
        raise ImageRejected("too_large", "the image needs more memory than there is") from None
    except Exception as error:  # third-party decoders raise nearly anything on broken files
        raise ImageRejected("unreadable", f"the file is damaged or cut off ({error})") from error


def _jpeg(data: bytes, spec: ImageSpec) -> DecodedImage:
    """The decoder gives the reduced picture at once, from the first terms of each block."""
    height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    _check_size(width, height, spec)
    if colours in ("CMYK", "YCCK"):
        raise ImageRejected("unsupported", f"pixel type {colours} is not read; use grey")
    if data.count(_SCAN) > _MOST_SCANS:  # each one costs a pass over the whole picture
        raise ImageRejected("unsupported", f"the JPEG has more than {_MOST_SCANS} scans")
    factor = reduction((width, height), spec)
    pixels = simplejpeg.decode_jpeg(
        data,
        "GRAY",
        min_height=-(-height // factor),
        min_width=-(-width // factor),
        min_factor=1,
        strict=True,
    )[:, :, 0]
    if pixels.shape != (-(-height // factor), -(-width // factor)):
        raise ImageRejected("unreadable", "the file is damaged: its size is not that of its header")
    whole = np.ascontiguousarray(pixels[: height // factor, : width // factor])
    mode = "L" if colours == "Gray" else "RGB"
    return DecodedImage(whole, factor, width, height, "JPEG", mode, 8)


def _grey_png(data: bytes, spec: ImageSpec) -> DecodedImage:
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    _check_size(width, height, spec)
    values = imagecodecs.png_decode(data)
    if values.shape != (height, width):
        raise ImageRejected("unsupported", "a PNG with transparency is not read; use plain grey")
    factor, deep = reduction((width, height), spec), values.dtype == np.uint16
    small = _reduced(values, factor)
    pixels = _to_8_bit(small) if deep else small
    mode, bits = ("I;16", 16) if deep else ("L", 8)
    return DecodedImage(pixels, factor, width, height, "PNG", mode, bits)


def _dicom(data: bytes, spec: ImageSpec) -> DecodedImage:
    file = read_dicom(data)
    dataset = file.dataset
    width, height = size_of(dataset)
    _check_size(width, height, spec)
    factor = reduction((width, height), spec)
    values = _reduced(stored_values(file), factor)
    low, high = int(values.min()), int(values.max())
    # Each level is looked up once: there are far fewer than pixels.
    shown = shown_values(np.arange(low, high + 1).astype(values.dtype), dataset)
    if shown is None:
        pixels = _to_8_bit((values.astype(np.int64) - min(low, 0)).astype(np.uint16))
    else:
        pixels = np.rint(shown * 255).astype(np.uint8)[values.astype(np.intp) - low]
    kind = str(dataset.PhotometricInterpretation)
    return DecodedImage(
        pixels=255 - pixels if kind == "MONOCHROME1" else pixels,
        factor=factor,
        width=width,
        height=height,
        format="DICOM",
        mode=kind,
        bit_depth=int(dataset.BitsStored),
        header=header_of(dataset),
    )


def _other(data: bytes, spec: ImageSpec) -> DecodedImage:
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        _check_header(image, spec)
        image.load()
        factor = reduction(image.size, spec)
        return DecodedImage(
            pixels=_grey(image, factor),
            factor=factor,
            width=image.width,
            height=image.height,
            format=image.format or "",
            mode=image.mode,
            bit_depth=_BITS.get(image.mode) or _DEEP[image.mode],
        )


def reduction(size: tuple[int, int], spec: ImageSpec) -> int:
    """The largest of 8, 4, 2, 1 that leaves the longest of `size` at least `spec.decode_side`."""
    return next(
        factor for factor in (8, 4, 2, 1) if factor == 1 or max(size) >= factor * spec.decode_side
    )


def _reduced(pixels: NDArray[Any], factor: int) -> NDArray[Any]:
    """Pixels (H,W) averaged over factor x factor blocks; what no block fills is left out."""
    if factor == 1:
        return pixels
    height, width = pixels.shape[0] // factor, pixels.shape[1] // factor
    whole = pixels[: height * factor, : width * factor]
    return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA))


def _check_size(width: int, height: int, spec: ImageSpec, bytes_each: int = 1) -> None:
    if width * height > spec.max_megapixels * 1e6:
        raise ImageRejected(
            "too_large",
            f"the header claims {width}x{height} pixels; "
            f"at most {spec.max_megapixels:g} megapixels are read",
        )
    if width * height * bytes_each > _MOST_BYTES:
        raise ImageRejected(
            "too_large",
            f"{width}x{height} pixels of {bytes_each} bytes need too much memory; save it as grey",
        )
    if min(width, height) < spec.min_side:
        raise ImageRejected(
            "too_small", f"{width}x{height} pixels; each side needs at least {spec.min_side}"
        )


def _check_header(image: Image.Image, spec: ImageSpec) -> None:
    if image.mode not in _BITS and image.mode not in _DEEP:
        raise ImageRejected(
            "unsupported", f"pixel type {image.mode} is not read; use grey 8 or 16 bit"
        )
    each = len(image.getbands()) if image.mode in _BITS else _DEEP[image.mode] // 8
    _check_size(*image.size, spec, each)
    if getattr(image, "n_frames", 1) > 1:
        raise ImageRejected("unsupported", "the file holds several pictures; save one in each file")


def _grey(image: Image.Image, factor: int) -> NDArray[np.uint8]:
    if image.mode in _DEEP:
        values = np.asarray(image)
        if values.min() < 0 or values.max() > _LEVELS - 1:
            raise ImageRejected("unsupported", "pixels of more than 16 bits are not read")
        return _to_8_bit(_reduced(values.astype(np.uint16), factor))
    plain = image if image.mode == "L" else image.convert("RGB").convert("L")
    return _reduced(np.asarray(plain, dtype=np.uint8), factor)


def _to_8_bit(values: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Stretches deep pixels to 0-255; the brightest 0.1 % may saturate, so no hot pixel decides.

    The ends are those of a small copy: grain would widen them the more, the finer the film.
    """
    small = _reduced(values, max(1, max(values.shape) // _LEVELS_SIDE))
    low = int(small.min())
    high = int(np.partition(small.ravel(), place := _brightest(small.size))[place])
    if high <= low:
        return np.zeros(values.shape, np.uint8)
    scaled = (np.arange(_LEVELS, dtype=np.float32) - low) * (255.0 / (high - low))
    table = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return table[values]


def _brightest(size: int) -> int:
    """The place, in order of brightness, of the pixel that becomes white."""
    return max(0, math.ceil(0.999 * size) - 1)
