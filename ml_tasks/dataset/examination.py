"""All that is ever computed from one raw file, in one pass over its bytes."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass

import cv2
import numpy as np

from ml_tasks.dataset.fingerprint import SIDE, Fingerprint, fingerprint
from ml_tasks.errors import ImageRejected
from ml_tasks.imaging.breast import Pixels
from ml_tasks.imaging.clean import CleanedImage, clean, padded_to_square
from ml_tasks.imaging.decode import DecodedImage, decode
from ml_tasks.imaging.dicom import patient_pseudonym
from ml_tasks.imaging.encode import png_bytes
from ml_tasks.imaging.geometry import Geometry
from ml_tasks.imaging.header import NO_HEADER, ImageHeader
from ml_tasks.imaging.measure import ImageMetrics, measure
from ml_tasks.imaging.spec import ImageSpec
from ml_tasks.records import Record

# Up to here from 0 a film's polarity is in doubt (5 of mini-MIAS's 322): of the films of which
# another contrast made inverted ones that were kept otherwise, the farthest is at 0.32.
_DOUBT = 0.5
FILM_SIDE = 192  # of the small picture of the whole film: enough to look at, small enough to keep


class ImageFacts(Record):
    """What one file is, or why it cannot be used; never a value of its header beyond the list."""

    rejection: str = ""
    code: str = ""  # of the rejection
    format: str = ""
    mode: str = ""
    bit_depth: int | None = None
    width: int | None = None
    height: int | None = None
    header: ImageHeader = NO_HEADER
    patient: str = ""  # the pseudonym of a DICOM header's patient id; "" where there is none
    pixel_sha256: str = ""
    metrics: ImageMetrics | None = None
    geometry: Geometry | None = None


@dataclass(frozen=True)
class Pictures:
    """PNG files of one cleaned film, and its fingerprints."""

    finished: bytes  # (128,128), exactly 0 outside the breast
    mask: bytes  # (128,128), 255 inside the breast
    film: bytes  # (192,192), the whole film, padded
    kept: bytes  # (192,192), 255 where the film was kept
    fingerprints: bytes

    @property
    def prints(self) -> Fingerprint:
        """The fingerprints (1 or 2,64,64) int8, see `film_prints`."""
        return np.frombuffer(self.fingerprints, np.int8).reshape(-1, SIDE, SIDE)


@dataclass(frozen=True)
class Examination:
    """Facts of one file, and its pictures where it is usable."""

    facts: ImageFacts
    pictures: Pictures | None = None


def examine(data: bytes, spec: ImageSpec, key: bytes | None = None) -> Examination:
    """Decodes, measures and cleans one file; a refusal becomes the facts' `rejection`.

    `key` makes the pseudonym of a DICOM file's patient id; without it there is none.
    """
    facts = ImageFacts()
    try:
        image = decode(data, spec)
        facts = _facts_of(image, patient_pseudonym(data, key) if key else None)
        cleaned = clean(image, spec)
    except ImageRejected as rejected:
        return Examination(
            facts.model_copy(update={"rejection": str(rejected), "code": rejected.code})
        )
    facts = facts.model_copy(
        update={"metrics": measure(image, cleaned, spec), "geometry": cleaned.geometry}
    )
    return Examination(facts, _pictures_of(image, cleaned, spec))


def film_prints(image: DecodedImage, cleaned: CleanedImage, spec: ImageSpec) -> Fingerprint:
    """The fingerprint of a cleaned film (1,64,64) int8; a second one where polarity is in doubt.

    That one is of the film cleaned the other way round: a copy of it with a little more contrast
    may be taken for an inverted film, and another part of it be kept.
    """
    made = [fingerprint(cleaned.pixels)]
    if abs(cleaned.whiteness) < _DOUBT:
        with suppress(ImageRejected):  # no breast that way round: then there is no doubt
            made.append(fingerprint(clean(image, spec, -cleaned.whiteness).pixels))
    return np.stack(made)


def _facts_of(image: DecodedImage, patient: str | None) -> ImageFacts:
    return ImageFacts(
        format=image.format,
        mode=image.mode,
        bit_depth=image.bit_depth,
        width=image.width,
        height=image.height,
        header=image.header,
        patient=patient or "",
        pixel_sha256=_pixel_hash(image),
    )


def _pixel_hash(image: DecodedImage) -> str:
    """Hash of the pixels that all further work is done on: the film reduced to working size."""
    shape = (image.width, image.height, image.factor)
    return hashlib.sha256(repr(shape).encode() + image.pixels.tobytes()).hexdigest()


def _pictures_of(image: DecodedImage, cleaned: CleanedImage, spec: ImageSpec) -> Pictures:
    return Pictures(
        finished=png_bytes(cleaned.pixels),
        mask=png_bytes(cleaned.mask * np.uint8(255)),
        film=png_bytes(_small(image.pixels)),
        kept=png_bytes(((_small(cleaned.kept * np.uint8(255)) > 0) * 255).astype(np.uint8)),
        fingerprints=film_prints(image, cleaned, spec).tobytes(),
    )


def _small(pixels: Pixels) -> Pixels:
    square = padded_to_square(pixels)
    return np.asarray(
        cv2.resize(square, (FILM_SIDE, FILM_SIDE), interpolation=cv2.INTER_AREA), np.uint8
    )
