"""Which release is in production, as the last push noted it, and the data that trained it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from ml_tasks.errors import ReleaseError
from ml_tasks.storage import storage_errors, write_json

# Derived: the registry's tag `production` is what counts.
_NOTE = "production.json"
_TRAINING_DATA = "training_data.npz"


def note_production(releases: Path, version: str) -> None:
    """Writes down that `production` has moved to this version."""
    write_json(releases / _NOTE, {"version": version})


def production_version(releases: Path) -> str | None:
    """The version in production; None while nothing has been shipped from here.

    Raises:
        ReleaseError: the note is damaged.
    """
    path = releases / _NOTE
    try:
        return str(json.loads(path.read_text())["version"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ReleaseError(f"{path} is damaged ({error}); run push_model again") from None


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
