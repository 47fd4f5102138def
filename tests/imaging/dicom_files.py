"""Makers of DICOM files: every transfer syntax that is read, and headers full of strings."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.datadict import dictionary_VR, keyword_dict
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

MAMMOGRAM = "1.2.840.10008.5.1.4.1.1.1.2"
EXPLICIT, IMPLICIT, BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
RLE, JPEG = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.50"
ENCODERS: dict[str, Callable[..., Any]] = {
    "1.2.840.10008.1.2.4.57": imagecodecs.ljpeg_encode,
    "1.2.840.10008.1.2.4.70": imagecodecs.ljpeg_encode,
    "1.2.840.10008.1.2.4.80": imagecodecs.jpegls_encode,
    "1.2.840.10008.1.2.4.90": lambda values: imagecodecs.jpeg2k_encode(
        values, codecformat="j2k", reversible=True, level=0
    ),
}
LOSSLESS = (EXPLICIT, IMPLICIT, BIG, RLE, *ENCODERS)


def dicom_bytes(values: NDArray[Any], syntax: str = EXPLICIT, **elements: Any) -> bytes:
    """Integers (H,W) as a DICOM file; `elements` are set by keyword, None takes one away."""
    dataset = described(values)
    for keyword, value in elements.items():
        if value is None:
            del dataset[keyword]
        else:
            setattr(dataset, keyword, value)
    return saved(dataset, values, syntax)


def described(values: NDArray[Any]) -> Dataset:
    """A dataset that describes the values (H,W), without them."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = MAMMOGRAM, "1.2.3.4"
    dataset.Rows, dataset.Columns = values.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = 8 * values.dtype.itemsize
    dataset.BitsStored = dataset.BitsAllocated if values.dtype.itemsize == 1 else 12
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(values.dtype.kind == "i")
    return dataset


def saved(dataset: Dataset, values: NDArray[Any], syntax: str) -> bytes:
    """The dataset with its picture as the bytes of a file."""
    _put_meta(dataset, syntax)
    plain = np.ascontiguousarray(values)
    if syntax == BIG:
        plain = plain.astype(plain.dtype.newbyteorder(">"))
    if syntax in (EXPLICIT, IMPLICIT, BIG):
        dataset.PixelData = plain.tobytes()
    elif syntax == RLE:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.PixelData = plain.tobytes()
        dataset.compress(RLE, generate_instance_uid=False)
    else:
        encode = ENCODERS.get(syntax, imagecodecs.jpeg8_encode)
        _put_frame(dataset, bytes(encode(plain)))
    if "PixelData" in dataset and syntax in (EXPLICIT, IMPLICIT, BIG):
        dataset["PixelData"].VR = "OB" if values.dtype.itemsize == 1 else "OW"
    file = io.BytesIO()
    pydicom.dcmwrite(
        file,
        dataset,
        implicit_vr=syntax == IMPLICIT,
        little_endian=syntax != BIG,
        enforce_file_format=True,
    )
    return file.getvalue()


def encapsulated(stream: bytes, syntax: str, rows: int, columns: int, bits: int = 16) -> bytes:
    """A file of any compressed picture, whatever the file's header says of it."""
    dataset = described(np.zeros((1, 1), np.uint8 if bits == 8 else np.uint16))
    dataset.Rows, dataset.Columns = rows, columns
    _put_meta(dataset, syntax)
    _put_frame(dataset, stream)
    file = io.BytesIO()
    pydicom.dcmwrite(file, dataset, implicit_vr=False, little_endian=True, enforce_file_format=True)
    return file.getvalue()


def _put_meta(dataset: Dataset, syntax: str) -> None:
    dataset.file_meta = dataset.__dict__.get("file_meta") or FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = MAMMOGRAM
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)


def _put_frame(dataset: Dataset, stream: bytes) -> None:
    dataset.PixelData = encapsulate([stream])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True


_TEXT = ("LO", "SH", "PN", "ST", "LT", "UT", "AE", "CS", "UC", "UR")
_BYTES = ("OB", "OW", "UN")
_DAY = "18710203"  # so long ago that no clock writes it
_LARGE, _HUGE, _SHARE = 1871020389, 1871020389793238, "0.18710203898"
_AGE, _TIME = "987Y", "030405.926535"
# What cannot hold a string of its own: one value for all of a kind. Numbers of 16 bits (US, SS, and
# AT, a tag) are left out: nobody could tell theirs from other small numbers.
_ONE_FOR_ALL: dict[str, Any] = {
    "DA": _DAY,
    "DT": f"{_DAY}040506",
    "UI": f"1.9.{_DAY}.4",
    "TM": _TIME,
    "AS": _AGE,
    "IS": str(_LARGE),
    "DS": _SHARE,
    "UL": _LARGE,
    "SL": _LARGE,
    "UV": _HUGE,
    "SV": _HUGE,
    "FL": float(_SHARE),
    "FD": float(_SHARE),
    "OF": np.full(2, float(_SHARE), np.float32).tobytes(),
    "OD": np.full(2, float(_SHARE)).tobytes(),
}
# An age is so short that packed bytes may hold it by chance; written as a value it stands so.
_AGES = [f"{before}{_AGE}" for before in ("'", '"', ",", ">", " ", "=", ":", "\n")]
_SHORTENED = repr(float(np.float32(_SHARE)))[2:12]  # what 32 bits keep of it
_FOUND_BY = [_DAY, _TIME, str(_LARGE), str(_HUGE), _SHARE[2:], _SHORTENED, *_AGES]
# What describes the pixels, without which there is no picture.
_NEEDED = (
    "PhotometricInterpretation",
    "NumberOfFrames",
    "RescaleSlope",
    "RescaleIntercept",
    "WindowCenter",
    "WindowWidth",
    "PixelData",
    "FloatPixelData",
    "DoubleFloatPixelData",
)


def planted_dicom(values: NDArray[Any], patient: str = "") -> tuple[bytes, list[str]]:
    """A file with a value to be known again in every element that can hold one, and those values.

    Texts hold a string of their own each; dates, times, ages, unique identifiers and numbers share
    one value a kind.
    """
    dataset = described(values)
    planted: list[str] = []
    for keyword in sorted(keyword_dict):
        kind = dictionary_VR(keyword)
        if keyword in _NEEDED or keyword in dataset or keyword_dict[keyword] >> 16 <= 2:
            continue
        if kind in _ONE_FOR_ALL:
            setattr(dataset, keyword, _ONE_FOR_ALL[kind])
        text = f"PLANT{len(planted):05}"
        if kind in _TEXT:
            setattr(dataset, keyword, text)
            planted.append(text)
        elif kind in _BYTES:
            setattr(dataset, keyword, text.encode())
            planted.append(text)
    if patient:
        dataset.PatientID = patient
        planted.append(patient)
    inner = Dataset()
    inner.PatientName, inner.PatientComments = "PLANTINSEQ1", "PLANTINSEQ2"
    dataset.OtherPatientIDsSequence = Sequence([inner])
    block = dataset.private_block(0x0011, "PLANTPRIVATE", create=True)
    block.add_new(0x01, "LO", "PLANTINPRIVATE")
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.SourceApplicationEntityTitle = "PLANTMETA"
    extra = ["PLANTINSEQ1", "PLANTINSEQ2", "PLANTPRIVATE", "PLANTINPRIVATE", "PLANTMETA"]
    return saved(dataset, values, EXPLICIT), [*planted, *extra, *_FOUND_BY]
