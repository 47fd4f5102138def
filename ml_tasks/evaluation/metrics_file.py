"""metrics.json: everything that evaluate says of a model, for the gate, the pages, the release."""

from __future__ import annotations

from ml_tasks.evaluation.comparison import Comparison
from ml_tasks.evaluation.levels import Level
from ml_tasks.evaluation.performance import Performance, Slice
from ml_tasks.evaluation.shipped_precision import ShippedPrecision
from ml_tasks.inference.calibration import Calibration
from ml_tasks.inference.reference import Reference
from ml_tasks.records import Record, Split


class Metrics(Record):
    """The figures of one model, its threshold and its calibration."""

    positive: str
    threshold: float  # on the calibrated probability
    rule: str  # by which the threshold was chosen, in words
    calibration: Calibration
    levels: dict[Split, dict[Level, Performance]]  # validation and test
    slices: tuple[Slice, ...]  # of the test split, patients' figures
    comparison: Comparison | None = None  # None: there is no production model
    precision: ShippedPrecision | None = None  # None: float32 was asked for
    reference: Reference | None = None  # None: made before it was measured, or too few pictures
