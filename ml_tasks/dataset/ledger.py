"""The split ledger: patient to split, append-only, so that test patients stay test patients.

One JSON object a line. The first line holds the shares and a fingerprint of the key; each further
line one patient with its split, the run that brought it and when. Every line ends with a checksum
over itself and the line before, so that an edited, lost or moved line is noticed. (A ledger that
was cut short at its end does not show it, and does no harm: the same hash places those patients
where they were.)

New patients are placed by `split_of` alone: a function of key and patient, whatever else there is.
So a small data set cannot be stratified; it can leave a class out of a split. `check_splits` says
so before anything is recorded: commit after it, and the key can still be changed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ml_tasks.config import SplitConfig
from ml_tasks.dataset.split import split_of
from ml_tasks.errors import DataError
from ml_tasks.records import Split
from ml_tasks.storage import remove_leftovers, storage_errors, write_bytes

_FORMAT = 1
_NEW_LEDGER = (
    "start a new ledger by moving this file away, knowing that patients may then change their "
    "split and that test figures from before and after cannot be compared"
)


class PlacedFile(NamedTuple):
    """One picture and whose it is."""

    file: str
    patient: str


@dataclass(frozen=True)
class Ledger:
    """What stands in a ledger file; `recorded` is every patient's split for good."""

    path: Path
    config: SplitConfig
    recorded: Mapping[str, Split]

    @classmethod
    def open(cls, path: Path, config: SplitConfig) -> Ledger:
        """Reads the ledger; one that does not exist yet is empty, and is not written.

        Raises:
            DataError: the file is damaged or was edited, or belongs to another key or shares.
        """
        recorded = _entries(path, _lines(path), config)
        return cls(path, config, recorded)

    def place(self, patients: Iterable[str]) -> dict[str, Split]:
        """The split of each patient: the recorded one, else the one that its hash gives."""
        return {
            patient: self.recorded.get(patient) or split_of(patient, self.config)
            for patient in patients
        }

    def commit(self, placed: Mapping[str, Split], run_id: str, when: str) -> Ledger:
        """Records the patients that are new in `placed`; the ledger as it then stands.

        One writer at a time; a reader sees the old file or the new one, and so does whoever comes
        after a writer that was killed.

        Raises:
            DataError: somebody recorded another split for one of them, or the file cannot be used.
            StorageError: no space left or not writable; the old file stands unchanged.
        """
        with _locked(self.path):
            lines = _lines(self.path)
            recorded = _entries(self.path, lines, self.config)
            _refuse_moves(self.path, recorded, placed)
            new = {key: placed[key] for key in sorted(placed) if key not in recorded}
            if new:
                remove_leftovers(self.path)
                lines = lines or [_sealed(_header(self.config), "")]
                for patient, split in new.items():
                    entry = {"patient": patient, "split": split.value, "run": run_id, "at": when}
                    lines.append(_sealed(entry, lines[-1]))
                write_bytes(self.path, "".join(f"{line}\n" for line in lines).encode("ascii"))
        return Ledger(self.path, self.config, {**recorded, **new})


def refuse_joined(
    groups: Sequence[Sequence[PlacedFile]],
    placed: Mapping[str, Split],
    recorded: Mapping[str, Split],
) -> None:
    """Near-duplicates must not lie in two splits; `groups` holds the files of one film each.

    Raises:
        DataError: a group's patients are in two splits; it names files, patients and splits.
    """
    for group in groups:
        for other in group[1:]:
            first = group[0]
            if placed[other.patient] is placed[first.patient]:
                continue
            both_recorded = first.patient in recorded and other.patient in recorded
            remedy = (
                "remove one of the two pictures from the raw folder"
                if both_recorded
                else "give both files the same patient_id in metadata.csv if they are of one "
                "patient, or remove one of them from the raw folder"
            )
            raise DataError(
                f"{_described(first, placed, recorded)} and {_described(other, placed, recorded)} "
                f"are near-duplicates, so one film would lie in two splits; {remedy}"
            )


def _described(
    member: PlacedFile, placed: Mapping[str, Split], recorded: Mapping[str, Split]
) -> str:
    state = "recorded" if member.patient in recorded else "new"
    split = placed[member.patient].value
    return f"{member.file} (patient {member.patient}, {state}, {split} split)"


def _refuse_moves(path: Path, recorded: Mapping[str, Split], placed: Mapping[str, Split]) -> None:
    moved = [key for key in placed if recorded.get(key, placed[key]) is not placed[key]]
    if moved:
        example = min(moved)
        raise DataError(
            f"{path} records patient {example} in the {recorded[example].value} split, not in "
            f"{placed[example].value} ({len(moved)} patient(s) differ); another run recorded it "
            "meanwhile, and a recorded patient never moves: run preprocess again"
        )


def _header(config: SplitConfig) -> dict[str, Any]:
    key = hashlib.sha256(f"split ledger key\0{config.key}".encode()).hexdigest()[:16]
    return {"ledger": _FORMAT, "validation": config.validation, "test": config.test, "key": key}


def _sealed(entry: Mapping[str, Any], before: str) -> str:
    """The entry as one line of ASCII that ends with its checksum over the line `before`."""
    text = json.dumps(entry)
    check = hashlib.sha256(f"{before}\n{text}".encode("ascii")).hexdigest()[:16]
    return json.dumps({**entry, "check": check})


def _lines(path: Path) -> list[str]:
    """The lines of a ledger file, none if there is no file."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    if not data.endswith(b"\n"):
        raise _damaged(path, data.count(b"\n") + 1, "the line is not complete")
    # Split at line feeds alone: any other control character is escaped in JSON.
    return data.decode("ascii", errors="replace").split("\n")[:-1]


def _entries(path: Path, lines: Sequence[str], config: SplitConfig) -> dict[str, Split]:
    recorded: dict[str, Split] = {}
    before = ""
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
            del entry["check"]
            intact = _sealed(entry, before) == line
        except (ValueError, KeyError, TypeError, RecursionError):
            intact = False
        if not intact:
            raise _damaged(path, number, "its checksum does not fit")
        if number == 1:
            _refuse_other_settings(path, entry, config)
        else:
            recorded[entry["patient"]] = Split(entry["split"])
        before = line
    return recorded


def _refuse_other_settings(path: Path, found: Mapping[str, Any], config: SplitConfig) -> None:
    wanted = _header(config)
    for name, meaning in (
        ("ledger", "the ledger's format"),
        ("validation", "split.validation"),
        ("test", "split.test"),
        ("key", "split.key (by its fingerprint)"),
    ):
        if found.get(name) != wanted[name]:
            raise DataError(
                f"{path} was made with {meaning} {found.get(name)}, the settings say "
                f"{wanted[name]}; restore the setting, or {_NEW_LEDGER}"
            )


def _damaged(path: Path, line: int, why: str) -> DataError:
    return DataError(
        f"{path} line {line} is damaged or was edited ({why}); restore the file from a copy, or "
        f"{_NEW_LEDGER}"
    )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds the lock beside the ledger; the system gives it back if this process is killed."""
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with (path.parent / f".{path.name}.lock").open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield
