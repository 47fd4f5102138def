"""What the comparison says: DRIFT or not, one sentence for each limit, as the gate speaks."""

from __future__ import annotations

import json
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from pydantic import Field, ValidationError

from ml_tasks.config_operation import DriftConfig
from ml_tasks.errors import DriftError
from ml_tasks.monitoring.service_log import LineCounts
from ml_tasks.records import Record

VERDICT, REPORT, SUMMARY, SUGGESTION = (
    "verdict.json",
    "report.html",
    "summary.html",
    "suggestion.json",
)


class DriftVerdict(StrEnum):
    """What is said of the images of a window."""

    DRIFT = "DRIFT"
    NO_DRIFT = "NO DRIFT"
    TOO_FEW = "TOO FEW"  # images to tell
    UNKNOWN = "CANNOT TELL"  # nothing in production, or a release that keeps no reference


class FigureDistance(Record):
    """One figure: how far the service's images lie from the release's own, in its deviations."""

    name: str
    distance: float = Field(ge=0)
    limit: float = Field(gt=0)  # as configured, or what chance alone explains where that is more
    by_chance: float = Field(ge=0)  # seldom exceeded by so few images though nothing has changed
    before: float  # mean of the release's own images
    now: float  # mean of the service's

    @property
    def drifted(self) -> bool:
        return self.distance > self.limit


class DriftRule(Record):
    """One limit and its plain sentence."""

    rule: str
    value: float
    limit: float
    passed: bool
    sentence: str


class DriftReport(Record):
    """The comparison of one day; `<paths.drift>/<day>/verdict.json`."""

    day: str  # UTC
    run_id: str
    version: str | None
    verdict: DriftVerdict
    reason: str  # in one line
    since: str
    until: str
    window_days: float
    rules: tuple[DriftRule, ...] = ()
    figures: tuple[FigureDistance, ...] = ()
    score: FigureDistance | None = None
    reference_images: int = 0
    reference_scores: int = 0
    counts: LineCounts = LineCounts()
    quality: dict[str, float] = Field(default_factory=dict)  # share of the images with a warning
    formats: dict[str, int] = Field(default_factory=dict)

    @property
    def drift(self) -> bool:
        return self.verdict is DriftVerdict.DRIFT

    def summary(self) -> str:
        """One line for the log and for people."""
        return f"{self.verdict}: {self.reason}"


def figures_rule(figures: tuple[FigureDistance, ...], policy: DriftConfig) -> DriftRule:
    """Whether too many figures have drifted."""
    drifted = [each.name for each in figures if each.drifted]
    share = len(drifted) / len(figures)
    limit = policy.max_drifted_share
    passed = share <= limit
    named = f" ({', '.join(drifted)})" if drifted else ""
    return DriftRule(
        rule="max_drifted_share",
        value=share,
        limit=limit,
        passed=passed,
        sentence=f"{len(drifted)} of {len(figures)} figures of the pictures{named} have drifted, "
        f"a share of {share:.2f}, which is {'at most' if passed else 'above'} {limit:g}",
    )


def score_rule(score: FigureDistance, policy: DriftConfig) -> DriftRule:
    """Whether the probabilities lie too far from those of the release's own patients."""
    passed = not score.drifted
    why = ""
    if score.limit > policy.max_score_distance:
        why = f" (raised from {policy.max_score_distance:g}: so few images differ by chance)"
    return DriftRule(
        rule="max_score_distance",
        value=score.distance,
        limit=score.limit,
        passed=passed,
        sentence=f"the probabilities lie {score.distance:.2f} standard deviations from the "
        f"evaluated ones, which is {'at most' if passed else 'above'} {score.limit:.2g}{why}",
    )


def day_of(drift: Path, until: datetime) -> Path:
    """The folder of a day's report."""
    return drift / f"{until:%Y-%m-%d}"


def read_report(folder: Path) -> DriftReport:
    """The report in a day's folder.

    Raises:
        DriftError: there is none, or it is damaged.
    """
    path = folder / VERDICT
    try:
        return DriftReport.model_validate(json.loads(path.read_bytes()))
    except (OSError, ValueError, ValidationError) as error:
        raise DriftError(
            f"{path} is missing or damaged ({type(error).__name__}); clear `compare` of that "
            "day's run, which writes it anew"
        ) from error


def read_reports(drift: Path) -> list[DriftReport]:
    """Every report below `paths.drift`, the newest first; what is damaged is left out."""
    found = []
    for path in sorted(drift.glob(f"*/{VERDICT}"), reverse=True):
        try:
            found.append(read_report(path.parent))
        except DriftError:
            continue
    return found
