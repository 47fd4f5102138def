"""Synthetic films, at full scale of 13.6 megapixels, in every format that is read."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import imagecodecs
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.uid import ExplicitVRLittleEndian

from ml_tasks.dataset.phantoms import phantom

_GRAIN = 3.0  # grey levels of 255; without noise a film would compress, and decode, too well
_BITS = 12  # of a DICOM mammogram
_MAMMOGRAM = "1.2.840.10008.5.1.4.1.1.1.2"
_UNCOMPRESSED = "1.2.840.10008.1.2.1"
_RLE = "1.2.840.10008.1.2.5"
SYNTAXES = {
    "uncompressed": _UNCOMPRESSED,
    "RLE": _RLE,
    "JPEG lossless": "1.2.840.10008.1.2.4.70",
    "JPEG-LS": "1.2.840.10008.1.2.4.80",
    "JPEG 2000": "1.2.840.10008.1.2.4.90",
}


def film(scale: int, number: int = 0) -> NDArray[np.uint8]:
    """A phantom enlarged to (512,416) times `scale`, with grain."""
    small = phantom(np.random.default_rng(number), lesion=bool(number % 2))
    size = (small.shape[1] * scale, small.shape[0] * scale)
    large = cv2.resize(small, size, interpolation=cv2.INTER_CUBIC)
    grain = np.random.default_rng(number + 1).normal(0, _GRAIN, large.shape)
    return np.clip(np.rint(large + grain), 0, 255).astype(np.uint8)


def deep_film(scale: int, bits: int) -> NDArray[np.uint16]:
    """The same with `bits` a pixel, the lowest of them noise."""
    coarse = film(scale).astype(np.uint16) << (bits - 8)
    return coarse | np.random.default_rng(1).integers(0, 1 << (bits - 8), coarse.shape, np.uint16)


def jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """A JPEG file of quality 90."""
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def png(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """A PNG file."""
    return cv2.imencode(".png", pixels)[1].tobytes()


def largest(scale: int) -> Iterator[tuple[str, bytes]]:
    """The film at a large scale in every format, by the name of its file; colour at 11/15 of it."""
    pixels, deep = film(scale), deep_film(scale, bits=16)
    yield "8 bit.jpg", jpeg(pixels)
    yield (
        "progressive.jpg",
        cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes(),
    )
    yield "16 bit.png", png(deep)
    yield "colour.png", png(np.dstack([film(max(1, scale * 11 // 15))] * 3))
    yield "16 bit.tif", cv2.imencode(".tif", deep)[1].tobytes()
    head = f"P5 {deep.shape[1]} {deep.shape[0]} 65535\n".encode()
    yield "16 bit.pgm", head + deep.astype(">u2").tobytes()
    del pixels, deep
    values = deep_film(scale, bits=_BITS)
    for name in SYNTAXES:
        yield f"{name}.dcm", dicom(values, name)
    signed = values.astype(np.int16)
    yield "signed with padding.dcm", dicom(signed, "uncompressed", PixelPaddingValue=-1)


def dicom(values: NDArray[np.uint16] | NDArray[np.int16], syntax: str, **elements: int) -> bytes:
    """A DICOM file of 12 bits a pixel, with a window; `syntax` is a name of SYNTAXES."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = _MAMMOGRAM, "1.2.3.4"
    dataset.Rows, dataset.Columns = values.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, _BITS, _BITS - 1
    dataset.PixelRepresentation = int(values.dtype.kind == "i")
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    dataset.WindowCenter, dataset.WindowWidth = 1 << (_BITS - 1), 1 << _BITS
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(SYNTAXES[syntax])
    _put_pixels(dataset, values, SYNTAXES[syntax])
    file = DicomBytesIO()
    pydicom.dcmwrite(file, dataset, implicit_vr=False, little_endian=True, enforce_file_format=True)
    return file.getvalue()


def _put_pixels(
    dataset: Dataset, values: NDArray[np.uint16] | NDArray[np.int16], syntax: str
) -> None:
    if syntax in (_UNCOMPRESSED, _RLE):
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.PixelData = values.tobytes()
        dataset["PixelData"].VR = "OW"
        if syntax == _RLE:
            dataset.compress(_RLE, generate_instance_uid=False)
        return
    encode = {
        "1.2.840.10008.1.2.4.70": lambda: imagecodecs.ljpeg_encode(values, bitspersample=_BITS),
        "1.2.840.10008.1.2.4.80": lambda: imagecodecs.jpegls_encode(values),
        "1.2.840.10008.1.2.4.90": lambda: imagecodecs.jpeg2k_encode(
            values, codecformat="j2k", reversible=True, level=0
        ),
    }[syntax]
    dataset.PixelData = encapsulate([bytes(encode())])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
