"""Where a batch lies: in a hidden work folder while it is scored, then in a folder of its name."""

from __future__ import annotations

import fcntl
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ml_tasks.errors import RunBusy, ScoringError
from ml_tasks.run_paths import folder_name
from ml_tasks.storage import storage_errors

LONGEST_NAME = 120
NAME = rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{LONGEST_NAME - 1}}}"


@dataclass(frozen=True)
class BatchPlace:
    """The folders of one batch below `scoring`.

    Raises:
        ScoringError: the name is none that can only be a folder right there.
    """

    scoring: Path
    name: str

    def __post_init__(self) -> None:
        if not re.fullmatch(NAME, self.name):
            raise ScoringError(
                f"a batch cannot be called {self.name!r}; take letters, digits, dots, hyphens and "
                f"underscores, at most {LONGEST_NAME}, and begin with a letter or a digit"
            )

    @property
    def finished(self) -> Path:
        """Stands only once every image has its row."""
        return self.scoring / self.name

    @property
    def summary(self) -> Path:
        return self.finished / "summary.json"

    @property
    def work(self) -> Path:
        return self.scoring / f".{self.name}.work"

    @property
    def plan(self) -> Path:
        return self.work / "plan.json"

    def rows(self, chunk: int) -> Path:
        """The rows of a chunk; the file stands only once all of them are there."""
        return self.work / "rows" / f"{chunk:07}.jsonl"

    @contextmanager
    def owned(self, part: str) -> Iterator[None]:
        """Keeps every other process from working on the same part of this batch.

        Raises:
            RunBusy: another process does so already.
        """
        with storage_errors(self.work), (self.work / f"{part}.lock").open("a") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunBusy(
                    f"another process still works on {part} of the batch {self.name}; wait until "
                    "it has ended, or end it, and run this again"
                ) from None
            yield


def name_from(run_id: str) -> str:
    """A batch's name made from the id of the run that scores it; another id, another name."""
    name = folder_name(run_id).lstrip("._-") or "run"
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 13]}-{hashlib.sha256(run_id.encode()).hexdigest()[:12]}"
