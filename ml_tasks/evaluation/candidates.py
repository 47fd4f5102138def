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
from ml_tasks.evaluation.judging import Told, labelled, tell, tell_as
from ml_tasks.evaluation.shipped_precision import ShippedPrecision, decide
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
    told: Told  # the same calibrated, with what the release carries for that
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
        return Chosen(float32, raw, tell(raw, cleaned, config), None)
    before, after = _scored([float32, int8], cleaned, index)
    told = tell(before, cleaned, config)
    # Another threshold of its own would differ by chance: where the classes lie far apart, many
    # thresholds are as good, and a trace of noise chooses among them.
    stands_in = tell_as(after, told)
    labels, scores = labelled(told.predictions, Split.TEST, cleaned.positive)
    _, others = labelled(stands_in.predictions, Split.TEST, cleaned.positive)
    precision = decide(labels, scores, others, told.threshold)
    if precision.shipped == "int8":
        log.info("%s", precision.sentence())
        return Chosen(int8, after, stands_in, precision)
    log.warning("%s", precision.sentence())
    return Chosen(float32, before, told, precision)


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
