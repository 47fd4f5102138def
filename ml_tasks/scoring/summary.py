"""What a batch came to: counted row by row, so that any number of rows takes the same memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError

from ml_tasks.errors import ScoringError
from ml_tasks.records import Record
from ml_tasks.scoring.place import BatchPlace
from ml_tasks.scoring.plan import BatchPlan
from ml_tasks.scoring.rows import ScoredRow

BINS = 20  # of the histogram, each as wide, from 0 to 1
SHOWN_ERRORS = 100


class ShownError(Record):
    """A file that could not be scored, for the page."""

    file: str
    code: str
    text: str


class ProductionNow(Record):
    """Whether a batch's release was in production still as the batch ended; None: unknown."""

    same: bool | None
    text: str


class BatchSummary(Record):
    """A finished batch in figures."""

    plan: BatchPlan
    plan_sha256: str
    finished_at: str  # UTC, ISO
    seconds: float  # from the plan to the end, waiting and interruptions included
    scored: int
    classes: dict[str, int]  # images by the class that was named
    errors: dict[str, int]  # by code
    quality: dict[str, int]  # warnings by code; an image may have several
    warned: int  # images with a warning
    histogram: tuple[int, ...]  # probabilities, in BINS parts
    first_errors: tuple[ShownError, ...]
    production: ProductionNow
    files: tuple[str, ...]

    @property
    def failed(self) -> int:
        return self.plan.images - self.scored

    def line(self) -> str:
        """One line for the log and for people."""
        named = ", ".join(f"{count:,} {name}" for name, count in self.classes.items())
        return (
            f"batch {self.plan.name}: {self.scored:,} of {self.plan.images:,} images scored by "
            f"{self.plan.version} ({named}), {self.failed:,} could not be scored"
        )


@dataclass
class Tally:
    """Counts rows as they pass."""

    scored: int = 0
    warned: int = 0
    classes: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    quality: Counter[str] = field(default_factory=Counter)
    histogram: list[int] = field(default_factory=lambda: [0] * BINS)
    first_errors: list[ShownError] = field(default_factory=list)

    def add(self, rows: Sequence[ScoredRow]) -> None:
        for row in rows:
            if row.probability is None:
                self._failed(row)
                continue
            self.scored += 1
            self.classes[row.prediction] += 1
            self.quality.update(row.quality)
            self.warned += bool(row.quality)
            self.histogram[min(BINS - 1, int(row.probability * BINS))] += 1

    def _failed(self, row: ScoredRow) -> None:
        self.errors[row.error_code] += 1
        if len(self.first_errors) < SHOWN_ERRORS:
            self.first_errors.append(ShownError(file=row.file, code=row.error_code, text=row.error))


def read_summary(place: BatchPlace) -> BatchSummary:
    """The summary of a finished batch.

    Raises:
        ScoringError: what stands there is no finished batch, or is damaged.
    """
    try:
        return BatchSummary.model_validate_json(place.summary.read_bytes())
    except (OSError, ValidationError) as error:
        raise ScoringError(
            f"{place.finished} stands there, but is no finished batch ({type(error).__name__}); "
            "give this one another name, or move that folder away"
        ) from error
