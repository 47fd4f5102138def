"""Which files announced data consist of: a listing with hashes, and the tables as they were then.

A snapshot is a folder `<UTC time>-<12 hex digits of the listing's SHA-256>` with listing.csv (path,
bytes, sha256 of every file) and copies of metadata.csv and lesions.csv; the images stay where they
are. The same content gives the same snapshot again.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from ml_tasks.dataset.lesions import LESIONS
from ml_tasks.dataset.manifest import as_csv, read_rows
from ml_tasks.dataset.patients import METADATA
from ml_tasks.dataset.raw_files import (
    class_files,
    class_names,
    count_images,
    is_plain_file_below,
    written_name,
)
from ml_tasks.dataset.seen_files import SeenFiles, Stamp, stamp_of
from ml_tasks.errors import DataError, DataUnsettled
from ml_tasks.records import Record
from ml_tasks.storage import replaced_directory, sha256_file, write_bytes

log = logging.getLogger(__name__)

LISTING = "listing.csv"
TABLES = (METADATA, LESIONS)
_DIGITS = 12  # of the hash in a snapshot's name
_SHOWN = 10  # files that a message names
# What was written or came (`cp -p` keeps the time of writing) less than this ago may go on coming.
SETTLE_SECONDS = 3.0


class ListedFile(Record):
    """One file of a snapshot; what is no plain file below the raw folder has no hash."""

    path: str  # below the raw folder, with forward slashes
    bytes: int = 0
    sha256: str = ""


@dataclass(frozen=True)
class Snapshot:
    """A snapshot as it was written; `folder` holds the tables."""

    folder: Path
    sha256: str  # of listing.csv
    files: Mapping[str, ListedFile]  # by path

    @property
    def data_files(self) -> list[str]:
        """The files but the tables."""
        return [path for path in self.files if path not in TABLES]

    @property
    def images(self) -> int:
        return count_images(self.data_files)

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(sorted({path.split("/")[0] for path in self.data_files}))

    def only_listed(self, raw: Path, files: Iterable[Path]) -> list[Path]:
        """Those of `files` that the snapshot lists.

        Raises:
            DataError: a listed file is not among them; each is named.
        """
        there = {written_name(file.relative_to(raw)): file for file in files}
        gone = [path for path in self.data_files if path not in there]
        if gone:
            raise DataError(self._altered(raw, "missing", gone))
        late = len(there) - len(self.data_files)
        if late:
            log.info("%d file(s) came after the snapshot and are left for the next run", late)
        return [file for path, file in there.items() if path in self.files]

    def refuse_changed(self, raw: Path, found: Mapping[str, str]) -> None:
        """Holds the hashes of files as they were read (by path) to the listing.

        Raises:
            DataError: a file has another content; each is named.
        """
        changed = [p for p, sha256 in found.items() if sha256 and sha256 != self.files[p].sha256]
        if changed:
            raise DataError(self._altered(raw, "changed", changed))

    def refuse_unreadable(self, raw: Path, paths: Iterable[str]) -> None:
        """DataError where a file could be read when it was listed, and cannot be now."""
        closed = [path for path in paths if self.files[path].sha256]
        if closed:
            raise DataError(self._altered(raw, "not readable", closed))

    def _altered(self, raw: Path, how: str, paths: Sequence[str]) -> str:
        return (
            f"{len(paths)} of the {len(self.data_files)} announced files in {raw} are {how} since "
            f"the snapshot {self.folder.name} was taken:\n  {_named(paths)}\n"
            "Put them back as they were, or announce the data anew as they are now"
        )


def take_snapshot(raw: Path, snapshots: Path, cache: Path) -> Snapshot:
    """Lists and hashes what lies in `raw` now; an equal snapshot that exists is used again.

    Files that are as they were when last read are not read again; `cache` knows them.

    Raises:
        DataError: no such folder, or no file in it.
        DataUnsettled: a file changed, came or went meanwhile.
        StorageError: no space left or not writable.
    """
    before = _look(raw)
    seen = SeenFiles(cache, raw)
    listed = [_listed(raw, name, stamp, seen) for name, stamp in sorted(before.items())]
    seen.save()
    _wait_until_settled(before)
    _refuse_unsettled(raw, before, _look(raw))
    listing = as_csv(listed, ListedFile)
    sha256 = hashlib.sha256(listing).hexdigest()
    known = _known(snapshots, sha256)
    if known is not None:
        return known
    folder = snapshots / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{sha256[:_DIGITS]}"
    with replaced_directory(folder) as work:
        write_bytes(work / LISTING, listing)
        for table in (each for each in TABLES if each in before):
            write_bytes(work / table, (raw / table).read_bytes())
        _read(work, sha256)  # a table that changed between its hash and its copy
    return read_snapshot(folder)


def read_snapshot(folder: Path) -> Snapshot:
    """A snapshot, if it is still as it was taken.

    Raises:
        DataError: it is missing, damaged or was edited.
    """
    return _read(folder, folder.name.rpartition("-")[2])


def _read(folder: Path, expected: str) -> Snapshot:
    remedy = "announce the data anew (put _READY beside the class folders)"
    try:
        sha256 = sha256_file(folder / LISTING)
        files = {row.path: row for row in read_rows(folder / LISTING, ListedFile)}
        found = {name: sha256_file(folder / name) for name in TABLES if name in files}
    except (OSError, ValueError, ValidationError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise DataError(f"the snapshot {folder} cannot be read ({why}); {remedy}") from None
    wrong = [name for name, each in found.items() if each != files[name].sha256]
    if not expected or not sha256.startswith(expected) or wrong:
        raise DataError(
            f"the snapshot {folder} was edited after it was taken "
            f"({', '.join(wrong) or LISTING} has another hash); {remedy}"
        )
    return Snapshot(folder, sha256, files)


def _known(snapshots: Path, sha256: str) -> Snapshot | None:
    for folder in sorted(snapshots.glob(f"*-{sha256[:_DIGITS]}")):
        try:
            found = read_snapshot(folder)
        except DataError as error:
            log.warning("passed over: %s", error)
            continue
        if found.sha256 == sha256:
            return found
    return None


def _look(raw: Path) -> dict[str, Stamp | None]:
    """Every file of the raw folder by its written name; None: no plain file of that folder."""
    try:
        names = class_names(raw)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise DataError(
            f"the data folder {raw} cannot be read ({why}); name the folder that holds one folder "
            "of images for each class, as this machine sees it"
        ) from None
    files = [file for name in names for file in class_files(raw, name)]
    if not files:
        raise DataError(
            f"{raw} holds no images, so there is nothing to announce; put them into "
            f"{raw}/<Class>/, one folder for each of two classes"
        )
    files += [raw / name for name in TABLES if (raw / name).is_file()]
    return {written_name(file.relative_to(raw)): _stamp(raw, file) for file in files}


def _stamp(raw: Path, file: Path) -> Stamp | None:
    name = written_name(file.relative_to(raw))
    if name != file.relative_to(raw).as_posix() or not is_plain_file_below(file, raw):
        return None
    try:
        return stamp_of(file)
    except OSError:  # it went away just now: the second look tells
        return None


def _listed(raw: Path, name: str, stamp: Stamp | None, seen: SeenFiles) -> ListedFile:
    if stamp is None:
        return ListedFile(path=name)
    file = raw / name
    sha256 = seen.content(str(file), stamp)
    if sha256 is None:
        try:
            sha256 = sha256_file(file)
        except OSError as error:
            raise DataUnsettled(
                f"{name} in {raw} cannot be read ({error.strerror}); is the copy still going on? "
                "If not, give this user the right to read it"
            ) from None
        seen.note(str(file), stamp, sha256)
    return ListedFile(path=name, bytes=stamp[0], sha256=sha256)


def _wait_until_settled(looked: Mapping[str, Stamp | None]) -> None:
    age = time.time() - max((max(each[1:3]) for each in looked.values() if each), default=0) / 1e9
    if 0 <= age < SETTLE_SECONDS:
        time.sleep(SETTLE_SECONDS - age)


def _refuse_unsettled(
    raw: Path, before: Mapping[str, Stamp | None], after: Mapping[str, Stamp | None]
) -> None:
    names = before.keys() | after.keys()
    moved = sorted(name for name in names if before.get(name, ()) != after.get(name, ()))
    if moved:
        raise DataUnsettled(
            f"{len(moved)} file(s) in {raw} changed while they were listed:\n  {_named(moved)}\n"
            "Is the copy still going on? Nothing was announced; the next look tries again. Put "
            "_READY there only when the copy is complete"
        )


def _named(paths: Sequence[str]) -> str:
    more = [f"and {len(paths) - _SHOWN} more"] if len(paths) > _SHOWN else []
    return "\n  ".join([*paths[:_SHOWN], *more])
