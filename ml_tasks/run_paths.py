"""Where each stage of one run reads and writes: every path of a run is made here."""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ml_tasks.errors import StageOrderError
from ml_tasks.records import StageRecord
from ml_tasks.storage import replaced_directory, sha256_file, write_bytes, write_json

RECORD = "record.json"
SKIPPED = "skipped.json"  # which of the last stages was not wanted, and why
R = TypeVar("R", bound=StageRecord)


def folder_name(run_id: str) -> str:
    """A run id as a folder name; ids that had to be altered keep apart by a hash."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", run_id).lstrip(".") or "run"
    if safe == run_id:
        return safe
    return f"{safe}-{hashlib.sha256(run_id.encode()).hexdigest()[:6]}"


@dataclass(frozen=True)
class RunPaths:
    """The directory of one run; `cleaned` and `log_root` move two of its folders elsewhere."""

    runs: Path
    run_id: str
    cleaned: Path | None = None
    log_root: Path | None = None

    @property
    def root(self) -> Path:
        return self.runs / folder_name(self.run_id)

    @classmethod
    def reopen(cls, runs: Path, run_id: str) -> RunPaths:
        """The paths of a run that has begun, with the folders that it keeps elsewhere.

        Raises:
            StageOrderError: there is no such run.
        """
        plain = cls(runs, run_id)
        if not plain.config.exists():
            raise StageOrderError(f"there is no run {run_id!r} in {runs}; look there for its name")
        if not plain._elsewhere.exists():
            return plain
        places = json.loads(plain._elsewhere.read_text())
        return cls(runs, run_id, **{name: place and Path(place) for name, place in places.items()})

    def note_elsewhere(self) -> None:
        """Writes down which folders of this run lie elsewhere, so that `reopen` finds them."""
        places = {"cleaned": self.cleaned, "log_root": self.log_root}
        write_json(self._elsewhere, {name: place and str(place) for name, place in places.items()})

    @property
    def _elsewhere(self) -> Path:
        return self.root / "elsewhere.json"

    @property
    def config(self) -> Path:
        """The run's own copy of the configuration, as it stood when the run began."""
        return self.root / "config.yaml"

    def note_skipped(self, stage: str, reason: str) -> None:
        """Writes down that a stage was left out by wish: the run is complete without it."""
        write_json(self.root / SKIPPED, {"stage": stage, "reason": reason})

    def note_wanted(self) -> None:
        """Takes that note back: the stages are wanted after all."""
        (self.root / SKIPPED).unlink(missing_ok=True)

    @property
    def logs(self) -> Path:
        """TensorBoard's event files, written live while training runs."""
        if self.log_root is not None:
            return self.log_root / folder_name(self.run_id)
        return self.root / "logs"

    @property
    def checkpoint(self) -> Path:
        """What training needs to go on after an interruption; gone once it is complete."""
        return self.root / "checkpoint"

    def stage(self, stage: str) -> Path:
        """The directory that `stage` leaves behind; it exists only once the stage is complete."""
        if stage == "preprocess":
            return self.cleaned or self.root / "cleaned"
        return self.root / stage

    def writing(self, stage: str) -> AbstractContextManager[Path]:
        """A transaction: the yielded directory takes the stage's place when the block ends well."""
        return replaced_directory(self.stage(stage), owned=lambda path: (path / RECORD).exists())

    def seal(self, work: Path, record: StageRecord) -> None:
        """Writes the stage's record into its directory: the last file of a stage."""
        write_bytes(work / RECORD, record.model_dump_json(indent=2).encode())

    def has(self, record: type[StageRecord]) -> bool:
        """Whether the stage of this record type is complete."""
        return (self.stage(record.stage) / RECORD).exists()

    def load(self, record: type[R], part: str = "") -> R:
        """The record that a completed stage left; `part` is a folder in it, for a shard.

        Raises:
            StageOrderError: the stage has not been completed in this run.
        """
        path = self.stage(record.stage) / part / RECORD
        try:
            text = path.read_text()
        except FileNotFoundError:
            named = f"{record.stage} {part}".rstrip()
            raise StageOrderError(
                f"{named} is not complete for run {self.run_id!r} ({path} is missing); "
                f"run {named} first"
            ) from None
        return record.model_validate_json(text)

    def mark(self, record: type[StageRecord]) -> dict[str, str]:
        """What a later stage notes about the one it builds on: {stage: hash of its record}."""
        self.load(record)
        return {record.stage: sha256_file(self.stage(record.stage) / RECORD)}

    def unaltered(self, record: StageRecord, name: str, sha256: str) -> Path:
        """The path of a file that a stage left, if its bytes are still those of its record.

        Raises:
            StageOrderError: the file is missing or has been altered.
        """
        path = self.stage(record.stage) / name
        if not path.exists() or sha256_file(path) != sha256:
            raise StageOrderError(
                f"{path} is missing or was altered after {record.stage}; run {record.stage} again"
            )
        return path

    def check_built_on(self, later: StageRecord, earlier: type[StageRecord]) -> None:
        """Refuses results that were made from another attempt of the stage before.

        Raises:
            StageOrderError: the earlier stage was run anew since.
        """
        if self.mark(earlier)[earlier.stage] != later.inputs.get(earlier.stage):
            raise StageOrderError(
                f"{later.stage} of run {self.run_id!r} was made from an earlier attempt of "
                f"{earlier.stage}; run {later.stage} and what follows it again"
            )
