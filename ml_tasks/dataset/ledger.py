"""The split ledger: patient to split, append-only, so that test patients stay test patients.

One JSON object a line. The first line holds the shares and a fingerprint of the key; each further
line one patient with its split, the run that brought it and when, or one film by its hashes, with
the patient and the split that it had when it came: patients can be named anew, films stay. Every
line ends with a checksum over itself and the line before, so that an edited, lost or moved line is
noticed. (A ledger that was cut short at its end does not show it: the same hash places those
patients where they were, but their films are no longer known under other names.) Ledgers from
before films were recorded are read as they are, and grow film lines with the next run.

New patients are placed by `split_of` alone: a function of key and patient, whatever else there is.
So a small data set cannot be stratified; it can leave a class out of a split. `check_splits` says
so before anything is recorded: commit after it, and the key can still be changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ml_tasks.chained_lines import intact, sealed
from ml_tasks.config import SplitConfig
from ml_tasks.dataset.split import split_of
from ml_tasks.errors import DataError
from ml_tasks.records import Split
from ml_tasks.storage import locked, remove_leftovers, write_bytes

_FORMAT = 1
_DIGITS = 16  # of each checksum
NEW_LEDGER = (
    "start a new ledger by moving this file away, knowing that patients may then change their "
    "split and that test figures from before and after cannot be compared"
)


class Film(NamedTuple):
    """One film by the hashes of its file and of its pixels, and whose it is."""

    file_sha256: str
    pixel_sha256: str
    patient: str


class Standing(NamedTuple):
    """As whose a film was placed when it came, and where."""

    patient: str
    split: Split


@dataclass(frozen=True)
class Ledger:
    """What stands in a ledger file; `recorded` is every patient's split for good."""

    path: Path
    config: SplitConfig
    recorded: Mapping[str, Split]
    films: Mapping[str, Standing] = field(default_factory=dict)  # by the hash of file and of pixels

    @classmethod
    def open(cls, path: Path, config: SplitConfig) -> Ledger:
        """Reads the ledger; one that does not exist yet is empty, and is not written.

        Raises:
            DataError: the file is damaged or was edited, or belongs to another key or shares.
        """
        recorded, films = _entries(path, _lines(path), config)
        return cls(path, config, recorded, films)

    def place(
        self, patients: Iterable[str], inherited: Mapping[str, Split] | None = None
    ) -> dict[str, Split]:
        """The split of each patient: recorded, else `inherited`, else the one its hash gives."""
        known = {**(inherited or {}), **self.recorded}
        return {
            patient: known.get(patient) or split_of(patient, self.config) for patient in patients
        }

    def commit(
        self, placed: Mapping[str, Split], run_id: str, when: str, films: Sequence[Film] = ()
    ) -> Ledger:
        """Records what is new of `placed` and of its `films`; the ledger as it then stands.

        One writer at a time; a reader sees the old file or the new one, and so does whoever comes
        after a writer that was killed.

        Raises:
            DataError: somebody recorded another split for one of them, or the file cannot be used.
            StorageError: no space left or not writable; the old file stands unchanged.
        """
        came = {"run": run_id, "at": when}
        with locked(self.path):
            lines = _lines(self.path)
            recorded, known = _entries(self.path, lines, self.config)
            _refuse_moves(self.path, recorded, placed)
            _refuse_moved_films(self.path, known, placed, films)
            entries = _new_entries(recorded, known, placed, films)
            if entries:
                remove_leftovers(self.path)
                lines = lines or [sealed(_header(self.config), "", _DIGITS)]
                for entry in entries:
                    lines.append(sealed(entry | came, lines[-1], _DIGITS))
                write_bytes(self.path, "".join(f"{line}\n" for line in lines).encode("ascii"))
        recorded, known = _entries(self.path, lines, self.config)
        return Ledger(self.path, self.config, recorded, known)


def _new_entries(
    recorded: Mapping[str, Split],
    known: Mapping[str, Standing],
    placed: Mapping[str, Split],
    films: Sequence[Film],
) -> list[dict[str, str]]:
    """The lines to add: first the new patients, then the new films."""
    patients = [
        {"patient": key, "split": placed[key].value}
        for key in sorted(placed)
        if key not in recorded
    ]
    fresh = sorted(
        {film for film in films if not known.keys() >= {film.file_sha256, film.pixel_sha256}}
    )
    return patients + [
        {
            "film": film.pixel_sha256,
            "file": film.file_sha256,
            "patient": film.patient,
            "split": placed[film.patient].value,
        }
        for film in fresh
    ]


def _refuse_moves(path: Path, recorded: Mapping[str, Split], placed: Mapping[str, Split]) -> None:
    moved = [key for key in placed if recorded.get(key, placed[key]) is not placed[key]]
    if moved:
        example = min(moved)
        raise DataError(
            f"{path} records patient {example} in the {recorded[example].value} split, not in "
            f"{placed[example].value} ({len(moved)} patient(s) differ); another run recorded it "
            "meanwhile, and a recorded patient never moves: run preprocess again"
        )


def _refuse_moved_films(
    path: Path, known: Mapping[str, Standing], placed: Mapping[str, Split], films: Sequence[Film]
) -> None:
    for film in films:
        standing = known.get(film.pixel_sha256) or known.get(film.file_sha256)
        if standing is not None and standing.split is not placed[film.patient]:
            raise DataError(
                f"{path} records the film with pixels {film.pixel_sha256[:12]} of patient "
                f"{film.patient} in the {standing.split.value} split, not in "
                f"{placed[film.patient].value}; another run recorded it meanwhile, and a recorded "
                "film never moves: run preprocess again"
            )


def _header(config: SplitConfig) -> dict[str, Any]:
    key = hashlib.sha256(f"split ledger key\0{config.key}".encode()).hexdigest()[:16]
    return {"ledger": _FORMAT, "validation": config.validation, "test": config.test, "key": key}


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


def _entries(
    path: Path, lines: Sequence[str], config: SplitConfig
) -> tuple[dict[str, Split], dict[str, Standing]]:
    """Patients, and films by both of their hashes."""
    recorded: dict[str, Split] = {}
    films: dict[str, Standing] = {}
    before = ""
    for number, line in enumerate(lines, start=1):
        entry = intact(line, before, _DIGITS)
        if entry is None:
            raise _damaged(path, number, "its checksum does not fit")
        if number == 1:
            _refuse_other_settings(path, entry, config)
        elif "film" in entry:
            standing = Standing(entry["patient"], Split(entry["split"]))
            films.setdefault(entry["film"], standing)
            films.setdefault(entry["file"], standing)
        else:
            recorded[entry["patient"]] = Split(entry["split"])
        before = line
    return recorded, films


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
                f"{wanted[name]}; restore the setting, or {NEW_LEDGER}"
            )


def _damaged(path: Path, line: int, why: str) -> DataError:
    return DataError(
        f"{path} line {line} is damaged or was edited ({why}); restore the file from a copy, or "
        f"{NEW_LEDGER}"
    )
