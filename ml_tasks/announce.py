"""Stage announce: new data have come; lists them exactly, so that a run uses these and no others.

A flag `_READY` beside the class folders says that a copy is complete. It is taken away only after
the announcement has been made, and only if it is still the same flag: whatever is killed in
between, the data are announced once more, with the same snapshot.
"""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime
from pathlib import Path

from ml_tasks.config import Config
from ml_tasks.dataset.announcement import take_snapshot
from ml_tasks.dataset.raw_files import READY, TAKEN
from ml_tasks.dataset.seen_files import stamp_of
from ml_tasks.errors import StageSkipped, StorageError
from ml_tasks.records import Record
from ml_tasks.storage import storage_errors

log = logging.getLogger(__name__)


class Flag(Record):
    """A flag as it was seen: another one that is put there later has another stamp."""

    path: str
    stamp: tuple[int, int, int]  # size, time of last writing (ns), inode


class Announcement(Record):
    """New data as they are announced; `flag` is the one that asked for it."""

    data_dir: str
    images: int
    snapshot: str  # its folder
    snapshot_sha256: str  # of its listing
    flag: Flag | None = None

    def extra(self) -> dict[str, str | int]:
        """What the asset event carries."""
        return self.model_dump(mode="json", exclude={"flag"})

    def summary(self) -> str:
        name = Path(self.snapshot).name
        return f"announced {self.images} images in {self.data_dir} as snapshot {name}"


def announce(config: Config, data: Path | None = None) -> Announcement:
    """Takes a snapshot of the folder `data`, which needs no flag, else of paths.raw if it has one.

    The flag stays: `take_flag` is for when the announcement has been made.

    Raises:
        StageSkipped: no flag is there, so nothing is to be announced.
        DataError: the folder cannot be read or is empty.
        DataUnsettled: a copy is still going on.
        StorageError: no space left for the snapshot.
    """
    raw = config.paths.raw if data is None else data.expanduser().absolute()
    flag = flag_in(raw)
    if data is None and flag is None:
        raise StageSkipped(f"no new data: there is no {READY} in {raw}")
    snapshot = take_snapshot(raw, config.paths.snapshots, config.paths.cache)
    made = Announcement(
        data_dir=str(raw),
        images=snapshot.images,
        snapshot=str(snapshot.folder),
        snapshot_sha256=snapshot.sha256,
        flag=flag,
    )
    log.info(made.summary())
    return made


def flag_in(raw: Path) -> Flag | None:
    """The flag that says that new data have come into this folder."""
    return _flag(raw / READY)


def check_takable(flag: Flag) -> None:
    """Before the announcement: a flag that stays would start a retraining at every look.

    Raises:
        StorageError: this user may not rename it.
    """
    folder = Path(flag.path).parent
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StorageError(
            f"{flag.path} could not be renamed once its data are announced, and they would be "
            f"announced again and again; give this user the right to write in {folder}, or take "
            "the flag away and announce the folder by hand"
        )


def take_flag(made: Announcement) -> bool:
    """Renames the flag that asked for this announcement; whether it was still there.

    Raises:
        StorageError: this user may not rename it; the data are then announced again and again.
    """
    if made.flag is None:
        return False
    ready = Path(made.flag.path)
    taken = ready.with_name(f"{TAKEN}{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    if _flag(ready) != made.flag:
        log.info("%s is gone or was put there anew: it is left for the next look", ready)
        return False
    older = [path for path in ready.parent.glob(f"{TAKEN}*") if path != taken]
    with storage_errors(ready):
        try:
            ready.rename(taken)
        except FileNotFoundError:  # taken by hand just now
            return False
        if (found := _flag(taken)) and found.stamp != made.flag.stamp:
            taken.rename(ready)  # put there anew just now: its data are not announced yet
            return False
        for path in older:
            if path.is_file():
                path.unlink(missing_ok=True)
    log.info("%s is now %s", ready, taken.name)
    return True


def _flag(path: Path) -> Flag | None:
    try:
        size, written, _, inode = stamp_of(path)
    except OSError:
        return None
    return Flag(path=str(path), stamp=(size, written, inode))
