"""What a release was trained on, kept beside it, so that no test patient of later runs is in it."""

from __future__ import annotations

import shutil
from pathlib import Path

from ml_tasks.storage import storage_errors

_TRAINING_DATA = "training_data.npz"


def keep_training_data(bundle: Path, training_data: Path) -> None:
    """Keeps the fingerprints of a release's data in its record, outside of the image.

    Raises:
        StorageError: no space left.
    """
    target = training_data_of(bundle.parent.parent, bundle.parent.name)
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(training_data, target)


def training_data_of(releases: Path, version: str) -> Path:
    """Where a release keeps the fingerprints of its data."""
    return releases / version / "record" / _TRAINING_DATA
