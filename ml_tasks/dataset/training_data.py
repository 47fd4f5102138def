"""What a model was trained on, without the pictures: patients, pixel hashes and fingerprints."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ml_tasks.dataset.fingerprint import FINGERPRINT_METHOD, SIDE, Fingerprint
from ml_tasks.errors import DataError
from ml_tasks.records import Split
from ml_tasks.storage import write_bytes

_HEADER, _ROWS, _PRINTS = "about.json", "images.jsonl", "fingerprints.npy"
_THEN = (1980, 1, 1, 0, 0, 0)  # one date for all, so that the same data give the same bytes


@dataclass(frozen=True)
class ImageRef:
    """One cleaned picture: where it came from, whose it is, its split, and how to know it again."""

    file: str  # below the raw folder
    label: str
    patient: str
    split: Split
    pixel_sha256: str  # of the decoded grey pixels
    fingerprint: Fingerprint = field(compare=False)  # (64,64) int8
    # Where it is in doubt which way round the film is; not written: one side of a pair is enough.
    otherwise: Fingerprint | None = field(default=None, compare=False)

    @property
    def prints(self) -> Fingerprint:
        """All fingerprints (1 or 2,64,64) int8."""
        both = (self.fingerprint, self.otherwise)
        return np.stack([levels for levels in both if levels is not None])

    def __post_init__(self) -> None:
        """Without patient or hash all pictures would seem to belong together.

        Raises:
            DataError: one of the two is empty.
        """
        if not self.patient or not self.pixel_sha256:
            missing = "patient" if not self.patient else "pixel hash"
            raise DataError(f"{self.file} has no {missing}; run validate_data again")


@dataclass(frozen=True)
class TrainingData:
    """The data of one released model by its version; all splits, so that each can be asked for."""

    version: str
    images: tuple[ImageRef, ...]


def write_training_data(path: Path, version: str, images: Sequence[ImageRef]) -> None:
    """Writes about 2 KB for each image; the same data give the same bytes.

    Raises:
        StorageError: no space left or not writable.
    """
    header = {"method": FINGERPRINT_METHOD, "version": version, "images": len(images)}
    rows = [
        [image.file, image.label, image.patient, image.split.value, image.pixel_sha256]
        for image in images
    ]
    prints = np.zeros((len(images), SIDE, SIDE), np.int8)
    for place, image in enumerate(images):
        prints[place] = image.fingerprint
    array, file = io.BytesIO(), io.BytesIO()
    np.save(array, prints, allow_pickle=False)
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in (
            (_HEADER, json.dumps(header).encode()),
            (_ROWS, "".join(f"{json.dumps(row)}\n" for row in rows).encode()),
            (_PRINTS, array.getvalue()),
        ):
            entry = zipfile.ZipInfo(name, _THEN)
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED)
    write_bytes(path, file.getvalue())


def read_training_data(path: Path) -> TrainingData:
    """Reads what `write_training_data` wrote.

    Raises:
        DataError: the file is missing or damaged, or its fingerprints are of another method.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            header = json.loads(archive.read(_HEADER))
            if header["method"] != FINGERPRINT_METHOD:
                raise DataError(
                    f"{path} holds fingerprints of method {header['method']}, this version makes "
                    f"{FINGERPRINT_METHOD}; write it again from the pictures that model "
                    f"{header['version']} was trained on"
                )
            rows = [json.loads(line) for line in archive.read(_ROWS).splitlines()]
            prints = np.load(io.BytesIO(archive.read(_PRINTS)), allow_pickle=False)
        if prints.shape != (header["images"], SIDE, SIDE) or prints.dtype != np.int8:
            raise ValueError(f"{prints.shape} {prints.dtype} for {header['images']} images")
        images = tuple(
            ImageRef(file, label, patient, Split(split), sha256, levels)
            for (file, label, patient, split, sha256), levels in zip(rows, prints, strict=True)
        )
        return TrainingData(str(header["version"]), images)
    # zipfile, zlib, json and NumPy each have errors of their own for damaged bytes.
    except DataError:
        raise
    except Exception as error:
        raise DataError(
            f"{path} cannot be read as training data ({error}); restore it from the release, or "
            "write it again from the pictures that the model was trained on"
        ) from error
