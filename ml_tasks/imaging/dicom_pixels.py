"""The picture of a DICOM file: stored values, and how PS3.3 C.11 has them shown.

Modality LUT or slope come first, then a VOI LUT, else the first window; where there is neither, the
film is stretched like any deep picture. All is applied after the film was reduced: averages of
linear values are the same, and it is a hundred times less work.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from ml_tasks.imaging.dicom import (
    DicomFile,
    PixelDescription,
    quiet_reading,
    typed_rejections,
    word_of,
)
from ml_tasks.imaging.dicom_codecs import decoded
from ml_tasks.imaging.grey_levels import Values, reduced_in_strips

_STRIP = 256  # rows


def stored_values(file: DicomFile, factor: int = 1) -> Values:
    """The stored values of the picture, padding made background, averaged over factor x factor.

    Integers of 8 or 16 bits (H // factor, W // factor).

    Raises:
        ImageRejected: `unreadable`, `too_large`, or `unsupported` for an unknown transfer syntax.
    """
    told = file.told
    with typed_rejections():
        values, halved = decoded(file, factor)
        _check_bits(values, told)
        rest = factor // halved
        width, height = (side // factor * rest for side in (told.columns, told.rows))
        background = _background(values, told) if told.padding is not None else None

        def rows(top: int, bottom: int) -> Values:
            strip = _own_bits(values[top:bottom, :width], told)
            if background is None:
                return strip
            return np.where(strip == told.padding, np.asarray(background, strip.dtype), strip)

        return reduced_in_strips(rows, height, rest)


def shown_values(values: Values, file: DicomFile) -> tuple[NDArray[np.float32], bool]:
    """Stored values (any shape) as they are to be shown, 0 to 1, and whether the file says how.

    Where it has neither window nor VOI LUT, 0 and 1 are the lowest and the highest of them.

    Raises:
        ImageRejected: `unreadable`.
    """
    with quiet_reading(), np.errstate(all="ignore"):
        real = _real(values, file)
        shown = _presented(real, file)
    if shown is not None and np.isfinite(shown).all():
        return np.clip(shown, 0, 1).astype(np.float32), True
    plain = real if np.isfinite(real).all() else values.astype(np.float64)
    low, high = plain.min(), plain.max()
    return ((plain - low) / max(high - low, 1e-9)).astype(np.float32), False


def _check_bits(values: Values, told: PixelDescription) -> None:
    low = told.high_bit + 1 - told.bits_stored
    if low < 0 or not 0 < told.bits_stored <= 8 * values.dtype.itemsize:
        raise ValueError("not the picture that the header describes")


def _own_bits(values: Values, told: PixelDescription) -> Values:
    """Only the bits that belong to the pixel, as signed numbers where they are."""
    native = values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))
    low = told.high_bit + 1 - told.bits_stored
    if low == 0 and not told.signed and int(native.max()) < 1 << told.bits_stored:
        return native
    plain = native.view(f"u{native.dtype.itemsize}") if native.dtype.kind == "i" else native
    up = 8 * native.dtype.itemsize - told.bits_stored - low
    kind = np.dtype(f"{'i' if told.signed else 'u'}{native.dtype.itemsize}")
    return (plain << up).view(kind) >> (up + low)


def _background(values: Values, told: PixelDescription) -> int | None:
    """The darkest value of the picture itself, which padding becomes; None: all is padding."""
    dark = max if told.inverted else min
    ends = []
    for top in range(0, told.rows, _STRIP):
        strip = _own_bits(values[top : top + _STRIP], told)
        inside = strip[strip != told.padding]
        if inside.size:
            ends.append(int(inside.max() if told.inverted else inside.min()))
    return dark(ends) if ends else None


def _real(values: Values, file: DicomFile) -> NDArray[np.float64]:
    """Stored values after the modality LUT or slope."""
    dataset, real = file.dataset, values.astype(np.float64)
    if dataset.get("ModalityLUTSequence"):
        return _looked_up(real, dataset.ModalityLUTSequence[0], file)[0]
    if "RescaleSlope" in dataset and "RescaleIntercept" in dataset:
        return real * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    return real


def _presented(real: NDArray[np.float64], file: DicomFile) -> NDArray[np.float64] | None:
    """Values after the VOI LUT or window, 0 to 1 and beyond; None where there is neither."""
    dataset = file.dataset
    if dataset.get("VOILUTSequence"):
        levels, white = _looked_up(real, dataset.VOILUTSequence[0], file)
        return levels / white
    center, width = _first(dataset.get("WindowCenter")), _first(dataset.get("WindowWidth"))
    if center is None or width is None or width < 1:
        return None
    function = word_of(dataset, "VOILUTFunction") or "LINEAR"
    if function == "SIGMOID":
        return 1 / (1 + np.exp(-4 * (real - center) / width))
    if function == "LINEAR_EXACT" or width == 1:
        return (real - center) / width + 0.5
    return (real - (center - 0.5)) / (width - 1) + 0.5


def _looked_up(
    real: NDArray[np.float64], table: pydicom.Dataset, file: DicomFile
) -> tuple[NDArray[np.float64], int]:
    """Values through a LUT (PS3.3 C.11.1 and C.11.2), and its white; beyond its ends those count.

    Not pydicom's own, which refuses tables of 12-bit entries, and of 8-bit ones packed as bytes.
    """
    count, first, bits = (int(value) for value in table.LUTDescriptor)
    if file.told.signed and first >= 1 << 15:  # written as unsigned
        first -= 1 << 16
    entries = table.LUTData
    count = count or 1 << 16
    if isinstance(entries, bytes):
        packed = len(entries) <= count + 1
        entries = np.frombuffer(entries, np.uint8 if packed else f"{file.byte_order}u2")
    levels = np.asarray(entries, np.float64)[:count]
    places = np.clip(np.rint(real).astype(np.int64) - first, 0, len(levels) - 1)
    return levels[places], (1 << bits) - 1


def _first(value: Any) -> float | None:
    if value is None or value == "":
        return None
    if isinstance(value, str) or not hasattr(value, "__len__"):
        return float(value)
    return float(value[0]) if len(value) else None
