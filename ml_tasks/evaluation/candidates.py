"""The models that might ship: scored on the raw held-out files, and one of them chosen."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ml_tasks.config import EvaluationConfig
from ml_tasks.dataset.manifest import IndexRow
from ml_tasks.dataset.predictions import PredictionRow
from ml_tasks.dataset.snapshot import read_unchanged
from ml_tasks.evaluation.judging import labelled, tell
from ml_tasks.evaluation.shipped_precision import Candidate, ShippedPrecision, decide
from ml_tasks.imaging.clean import preprocess
from ml_tasks.inference.scorer import Scorer
from ml_tasks.progress import counted
from ml_tasks.records import PreprocessRecord, Split

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Chosen:
    """The model that ships if the gate lets it: its own answers, and why it is this one."""

    scorer: Scorer
    raw: list[PredictionRow]  # of the held-out files; not calibrated yet
    precision: ShippedPrecision | None  # None: there was nothing to choose


def choose(
    float32: Scorer,
    int8: Scorer | None,
    cleaned: PreprocessRecord,
    index: Sequence[IndexRow],
    config: EvaluationConfig,
) -> Chosen:
    """int8 where it is given and answers as float32 does, else float32; a refusal is logged.

    Raises:
        MetricError: an answer is no number, or the validation split has one class only.
        DataError: a raw file changed.
    """
    if int8 is None:
        (raw,) = _scored([float32], cleaned, index)
        return Chosen(float32, raw, None)
    answers = _scored([float32, int8], cleaned, index)
    found = [tell(raw, cleaned, config) for raw in answers]
    tests = [labelled(told.predictions, Split.TEST, cleaned.positive) for told in found]
    candidates = [
        Candidate(scores, told.threshold) for (_, scores), told in zip(tests, found, strict=True)
    ]
    precision = decide(tests[0][0], *candidates)
    holds = precision.shipped == "int8"
    log.log(logging.INFO if holds else logging.WARNING, "%s", precision.sentence())
    return Chosen(int8 if holds else float32, answers[holds], precision)


def _scored(
    scorers: Sequence[Scorer], cleaned: PreprocessRecord, index: Sequence[IndexRow]
) -> list[list[PredictionRow]]:
    """What each network itself says of each held-out raw file, which is read and cleaned once."""
    rows = [row for row in index if row.split is not Split.TRAIN]
    raw = Path(cleaned.raw)
    answers: list[list[PredictionRow]] = [[] for _ in scorers]
    for row in counted(rows, len(rows), "scored", log):
        pixels = preprocess(read_unchanged(raw / row.raw, row.raw_sha256), scorers[0].spec)
        for said, scorer in zip(answers, scorers, strict=True):
            said.append(
                PredictionRow(
                    raw=row.raw,
                    label=row.label,
                    patient=row.patient,
                    split=row.split,
                    probability=float(scorer.probabilities(pixels[np.newaxis])[0]),
                )
            )
    return answers
