"""One checkpoint for each epoch of a training: complete and undamaged, or not used at all.

A file is the SHA-256 of what follows, a line end, and an npz archive: arrays, and plain values as
JSON. Nothing is pickled. The newest file and the one before it are kept.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import logging
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_tasks.errors import RunBusy
from ml_tasks.storage import storage_errors, write_bytes

log = logging.getLogger(__name__)

_VALUES, _MADE_FOR = "values.json", "made_for.json"
_HEAD = 64 + 1  # hex digits of a SHA-256 and a line end


@dataclass(frozen=True)
class Checkpoint:
    """All that a training needs to go on after `epoch` epochs."""

    epoch: int
    arrays: Mapping[str, NDArray[Any]]
    values: Mapping[str, Any]  # as JSON can hold them


class CheckpointStore:
    """The checkpoints of one run; `made_for` names what they hang on, each with its hash."""

    def __init__(self, folder: Path, made_for: Mapping[str, str]) -> None:
        self._folder = folder
        self._made_for = dict(made_for)

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Keeps every other process from training the same run.

        Raises:
            RunBusy: another process does so already.
        """
        with storage_errors(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            stream = (self._folder / "lock").open("a")
        with stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunBusy(
                    f"another process still trains {self._folder.parent}; wait until it has ended, "
                    "or end it, and run train again"
                ) from None
            yield

    def save(self, checkpoint: Checkpoint) -> None:
        """Writes a checkpoint in one step; the one before it stays until then, and after.

        Raises:
            StorageError: no space left; the checkpoint before stands.
        """
        for older in self._files()[1:]:
            older.unlink()
        for leftover in self._folder.glob(".*.tmp"):  # of a killed writer
            leftover.unlink()
        packed = _packed(checkpoint, self._made_for)
        write_bytes(self._path(checkpoint.epoch), _head(packed) + packed)

    def load(self) -> Checkpoint | None:
        """The newest undamaged checkpoint if it was made for the same settings, data and code.

        One that was made for something else is removed; why, is logged.
        """
        for path in self._files():
            try:
                checkpoint, made_for = _unpacked(path.read_bytes())
            except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
                log.warning(
                    "the checkpoint %s is damaged (%s): the one before it counts", path, error
                )
                path.unlink()
                continue
            changed = differences(self._made_for, made_for)
            if not changed:
                return checkpoint
            log.info(
                "training starts anew: since the checkpoint of epoch %d there changed %s",
                checkpoint.epoch,
                ", ".join(changed),
            )
            break
        self.clear()
        return None

    def kept(self) -> str:
        """What of the training is kept if it ends now, in words."""
        files = self._files()
        if not files:
            return "no epoch was complete"
        return f"the checkpoint of epoch {_epoch(files[0])} is kept"

    def clear(self) -> None:
        """Removes the checkpoints; the lock of this process stays."""
        for path in self._files():
            path.unlink()

    def remove(self) -> None:
        """Removes the folder: the training is complete."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, epoch: int) -> Path:
        return self._folder / f"epoch-{epoch:05}.ckpt"

    def _files(self) -> list[Path]:
        """The newest first."""
        return sorted(self._folder.glob("epoch-*.ckpt"), key=_epoch, reverse=True)


def _epoch(path: Path) -> int:
    return int(path.stem.removeprefix("epoch-"))


def _head(packed: bytes) -> bytes:
    return hashlib.sha256(packed).hexdigest().encode() + b"\n"


def _packed(checkpoint: Checkpoint, made_for: Mapping[str, str]) -> bytes:
    file = io.BytesIO()
    texts = {
        _VALUES: json.dumps({**checkpoint.values, "epoch": checkpoint.epoch}, allow_nan=False),
        _MADE_FOR: json.dumps(dict(made_for)),
    }
    members: dict[str, Any] = dict(checkpoint.arrays)
    members |= {name: np.frombuffer(text.encode(), np.uint8) for name, text in texts.items()}
    np.savez(file, **members)
    return file.getvalue()


def _unpacked(data: bytes) -> tuple[Checkpoint, dict[str, str]]:
    """The checkpoint and what it was made for.

    Raises:
        ValueError: the bytes are not those that were written.
    """
    packed = data[_HEAD:]
    if data[:_HEAD] != _head(packed):
        raise ValueError("its SHA-256 is another one")
    with np.load(io.BytesIO(packed), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    values = json.loads(arrays.pop(_VALUES).tobytes())
    made_for = json.loads(arrays.pop(_MADE_FOR).tobytes())
    return Checkpoint(values.pop("epoch"), arrays, values), made_for


def differences(now: Mapping[str, str], then: Mapping[str, str]) -> list[str]:
    """The names of what a training hangs on that are not the same now as then."""
    return [name for name in sorted({*now, *then}) if now.get(name) != then.get(name)]
