"""Figures as sentences, for readers who do not want to read a table first."""

from __future__ import annotations

from ml_tasks.evaluation.bootstrap import Estimate
from ml_tasks.evaluation.levels import Level
from ml_tasks.evaluation.metrics_file import Metrics
from ml_tasks.evaluation.performance import Performance, Slice
from ml_tasks.records import Split

_WIDE = 0.2  # of an interval: from here on the sentence warns


def in_words(metrics: Metrics, negative: str) -> list[str]:
    """What the test patients' figures say, a sentence each; what is not computable says so."""
    found = metrics.levels[Split.TEST][Level.PATIENT]
    return [
        f"It was tested on {found.patients} patients that it had never met, {found.positives} of "
        f"them {metrics.positive}.",
        _of_hundred(found, "sensitivity", metrics.positive, "it finds"),
        _of_hundred(found, "specificity", negative, "it leaves alone"),
        _pairs(found, metrics.positive, negative),
        _calibration(found),
        *_caution(found),
        *([metrics.precision.sentence()] if metrics.precision else []),
    ]


def smallest(metrics: Metrics) -> Slice | None:
    """The slice with the fewest patients; None where nothing is known to slice by."""
    return min(metrics.slices, key=lambda part: part.performance.patients, default=None)


def _of_hundred(found: Performance, name: str, group: str, verb: str) -> str:
    figure = found.figures[name]
    if figure.value is None:
        return f"The {name} is not computable: no test patient is {group}."
    count = f"Of 100 patients that are {group}, {verb} about {100 * figure.value:.0f}"
    return f"{count}{_range(figure)} ({name})."


def _range(figure: Estimate) -> str:
    if figure.low is None or figure.high is None:
        return ", with too few patients for an interval"
    return f", in truth likely between {100 * figure.low:.0f} and {100 * figure.high:.0f}"


def _pairs(found: Performance, positive: str, negative: str) -> str:
    auc = found.figures["auc"]
    if auc.value is None:
        return (
            "How often it tells two patients apart (AUC) is not computable: one class is missing."
        )
    return (
        f"Shown one patient that is {positive} and one that is {negative}, it gives the "
        f"{positive} one the higher score in {100 * auc.value:.0f} of 100 such pairs"
        f"{_range(auc)} (AUC; 50 would be guessing)."
    )


def _calibration(found: Performance) -> str:
    error = found.figures["ece"].value
    if error is None:
        return "Whether its probabilities can be taken at their word is not computable."
    return (
        f"A patient's probability is off by {100 * error:.0f} percentage points on average "
        "(expected calibration error)."
    )


def _caution(found: Performance) -> list[str]:
    wide = [
        name
        for name in ("sensitivity", "specificity")
        if (figure := found.figures[name]).value is not None
        and (figure.low is None or figure.high is None or figure.high - figure.low > _WIDE)
    ]
    if not wide:
        return []
    return [
        f"The test patients are too few to know {' and '.join(wide)} well: read the intervals, "
        "not the figures."
    ]
