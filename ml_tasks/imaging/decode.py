"""File bytes to grey pixels: formats allow-listed, size checked on the header before decoding."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ml_tasks.errors import ImageRejected
from ml_tasks.imaging.codestream import PROGRESSIVE, SEQUENTIAL, jpeg_codestream, jpeg_scans
from ml_tasks.imaging.grey_levels import Values, reduced, reduced_in_strips, reduction, to_8_bit
from ml_tasks.imaging.header import NO_HEADER, ImageHeader, is_dicom
from ml_tasks.imaging.limits import check_file_size, check_size
from ml_tasks.imaging.pgm import decode_pgm, is_netpbm
from ml_tasks.imaging.png import decode_png, is_grey_png
from ml_tasks.imaging.spec import ImageSpec
from ml_tasks.imaging.tiff import checked_tiff, is_tiff

FORMATS = ("PNG", "TIFF")  # that Pillow is asked for
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".pgm", ".dcm", ".dicom")

_JPEG = b"\xff\xd8\xff"
_MOST_SCANS = 64
_COEFFICIENT_BYTES = 2

_BITS = {"1": 1, "L": 8, "LA": 8, "P": 8, "RGB": 8, "RGBA": 8}
_DEEP = {"I;16": 16, "I;16B": 16, "I;16L": 16, "I": 32}
_PILLOW_BYTES = {"LA": 4, "RGB": 4, "RGBA": 4, "I;16": 2, "I;16B": 2, "I;16L": 2, "I": 4}

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

    An orientation that a camera noted (EXIF, a TIFF's tag, XMP) is passed over in every format:
    films have none, and the pixels are taken as they are stored.

    Raises:
        ImageRejected: its code is `empty`, `not_an_image`, `too_large`, `too_small`,
            `unsupported` or `unreadable`.
    """
    if not data:
        raise ImageRejected("empty", "the file is empty (0 bytes)")
    check_file_size(len(data))
    try:
        if is_dicom(data):
            return _dicom(data, spec)
        if data[:3] == _JPEG:
            return _jpeg(data, spec)
        if is_grey_png(data):
            return _grey_png(data, spec)
        if is_netpbm(data):
            return _pgm(data, spec)
        return _by_pillow(data, spec)
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
    check_size(width, height, spec)
    if colours in ("CMYK", "YCCK"):
        raise ImageRejected("unsupported", f"pixel type {colours} is not read; use grey")
    frame, scans = jpeg_codestream(data), jpeg_scans(data)
    if scans > _MOST_SCANS:  # each one costs a pass over the whole picture
        raise ImageRejected("unsupported", f"the JPEG has more than {_MOST_SCANS} scans")
    if frame.process not in (*SEQUENTIAL, PROGRESSIVE):
        raise ImageRejected("unsupported", "the JPEG is neither baseline nor progressive")
    if scans > 1 or frame.process == PROGRESSIVE:  # all coefficients are held until the last scan
        check_size(width, height, spec, _COEFFICIENT_BYTES * frame.samples)
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
    values = decode_png(data, spec)
    height, width = values.shape
    factor, deep = reduction((width, height), spec), values.dtype == np.uint16
    small = reduced(values, factor)
    pixels = to_8_bit(small) if deep else small
    mode, bits = ("I;16", 16) if deep else ("L", 8)
    return DecodedImage(pixels, factor, width, height, "PNG", mode, bits)


def _dicom(data: bytes, spec: ImageSpec) -> DecodedImage:
    # Only here: pydicom takes longer to import than all the rest of the service together.
    from ml_tasks.imaging.dicom import header_of, read_dicom
    from ml_tasks.imaging.dicom_pixels import shown_values, stored_values

    file = read_dicom(data)
    told = file.told
    check_size(told.columns, told.rows, spec)
    factor = reduction((told.columns, told.rows), spec)
    values = stored_values(file, factor)
    low, high = int(values.min()), int(values.max())
    # Each level is looked up once: there are far fewer than pixels.
    levels, windowed = shown_values(np.arange(low, high + 1).astype(values.dtype), file)
    # Turned before it is stretched: it is the tissue's end that may not suffer.
    upright = 1 - levels if told.inverted else levels
    places = values.astype(np.intp) - low
    if windowed:
        pixels = np.rint(upright * 255).astype(np.uint8)[places]
    else:
        pixels = to_8_bit(np.rint(upright * 65535).astype(np.uint16)[places])
    return DecodedImage(
        pixels=pixels,
        factor=factor,
        width=told.columns,
        height=told.rows,
        format="DICOM",
        mode=told.photometric,
        bit_depth=told.bits_stored,
        header=header_of(file.dataset),
    )


def _pgm(data: bytes, spec: ImageSpec) -> DecodedImage:
    values, factor, (width, height) = decode_pgm(data, spec)
    deep = values.dtype == np.uint16
    mode, bits = ("I;16", 16) if deep else ("L", 8)
    pixels = to_8_bit(values) if deep else values
    return DecodedImage(pixels, factor, width, height, "PGM", mode, bits)


def _by_pillow(data: bytes, spec: ImageSpec) -> DecodedImage:
    """TIFF of any kind, and PNG that is not plain grey."""
    file = checked_tiff(data) if is_tiff(data) else io.BytesIO(data)
    with Image.open(file, formats=FORMATS) as image:
        _check_header(image, spec)
        image.info.pop("xmp", None)  # it may note an orientation too, which would be applied
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


def _check_header(image: Image.Image, spec: ImageSpec) -> None:
    if image.mode not in _BITS and image.mode not in _DEEP:
        raise ImageRejected(
            "unsupported", f"pixel type {image.mode} is not read; use grey 8 or 16 bit"
        )
    check_size(*image.size, spec, _PILLOW_BYTES.get(image.mode, 1))
    if getattr(image, "is_animated", False):
        raise ImageRejected("unsupported", "the file holds several pictures; save one in each file")


def _grey(image: Image.Image, factor: int) -> NDArray[np.uint8]:
    """Grey pixels, reduced, strip by strip: Pillow's picture is not held a second time."""

    def rows(top: int, bottom: int) -> Values:
        strip = image.crop((0, top, image.width, bottom))
        if image.mode not in _DEEP:
            plain = strip if image.mode == "L" else strip.convert("RGB").convert("L")
            return np.asarray(plain, dtype=np.uint8)
        values = np.asarray(strip)
        if values.min() < 0 or values.max() >= 1 << 16:
            raise ImageRejected("unsupported", "pixels of more than 16 bits are not read")
        return values.astype(np.uint16)

    pixels = reduced_in_strips(rows, image.height, factor)
    return to_8_bit(pixels) if image.mode in _DEEP else pixels
