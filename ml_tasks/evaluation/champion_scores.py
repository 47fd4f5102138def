"""The production model scored on a run's raw test files, through its own release."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ml_tasks.dataset.leakage import SHOWN, seen_in_training
from ml_tasks.dataset.manifest import IndexRow
from ml_tasks.dataset.snapshot import read_unchanged
from ml_tasks.dataset.training_data import read_training_data
from ml_tasks.errors import ImageRejected
from ml_tasks.evaluation.bootstrap import Estimate
from ml_tasks.evaluation.comparison import Comparison, compare
from ml_tasks.evaluation.levels import Level
from ml_tasks.evaluation.performance import Answers
from ml_tasks.inference.predictor import Predictor
from ml_tasks.progress import counted
from ml_tasks.records import PreprocessRecord, Split
from ml_tasks.release.bundle import bundle_of
from ml_tasks.release.champion import champion_of
from ml_tasks.release.production import training_data_of
from ml_tasks.run_paths import RunPaths

log = logging.getLogger(__name__)


def compare_with_champion(
    run: RunPaths,
    releases: Path,
    rows: Sequence[IndexRow],
    challenger: Answers,
    threshold: float,
    seed: int,
) -> Comparison | None:
    """The run's champion beside the new model, on the same test patients; None: there is none.

    `rows` are the test split's, in the order of the `challenger`'s answers, `threshold` is the
    challenger's. The champion answers by its own spec, ONNX file, calibration and threshold.

    Raises:
        StageOrderError: the run has noted no champion.
        ReleaseError: the champion's release was altered since the run began.
        DataError: a raw file changed, or it is not known what the champion was trained on.
    """
    champion = champion_of(run)
    if champion.version is None or champion.digest is None:
        return None
    cleaned = run.load(PreprocessRecord)
    predictor = Predictor.load(bundle_of(releases, champion.version))
    log.info("scoring %s, which is in production, on the same test files", champion.version)
    refused = _other_classes(predictor, cleaned) or _saw(run, releases, champion.version, cleaned)
    scores: list[float] = []
    if not refused:
        try:
            scores = _scores(predictor, rows, Path(cleaned.raw))
        except ImageRejected as error:
            refused = f"it refuses one of the test films ({error.code}: {error})"
    own: dict[str, Estimate] = {}
    difference: dict[str, Estimate] = {}
    if not refused:
        own, difference = compare(
            challenger.levels()[Level.PATIENT],
            replace(challenger, scores=np.array(scores)).levels()[Level.PATIENT],
            (threshold, predictor.threshold),
            seed,
        )
    return Comparison(
        version=champion.version,
        digest=champion.digest,
        champion=own,
        difference=difference,
        refused=refused,
    )


def _scores(predictor: Predictor, rows: Sequence[IndexRow], raw: Path) -> list[float]:
    return [
        predictor.predict(read_unchanged(raw / row.raw, row.raw_sha256)).probability
        for row in counted(rows, len(rows), "scored by the production model", log)
    ]


def _other_classes(predictor: Predictor, cleaned: PreprocessRecord) -> str:
    known = {predictor.positive, predictor.negative}
    if known == set(cleaned.classes) and predictor.positive == cleaned.positive:
        return ""
    return (
        f"it tells {predictor.positive} from {predictor.negative}, this run tells "
        f"{cleaned.positive} from {next(n for n in cleaned.classes if n != cleaned.positive)}"
    )


def _saw(run: RunPaths, releases: Path, version: str, cleaned: PreprocessRecord) -> str:
    """Why the test patients are no fair test of the champion; empty where they are.

    It names nobody, since it ships with the release; who they are stands in the log.
    """
    path = run.unaltered(cleaned, "training_data.npz", cleaned.training_data_sha256)
    tests = [image for image in read_training_data(path).images if image.split is Split.TEST]
    overlaps = seen_in_training(tests, read_training_data(training_data_of(releases, version)))
    if not overlaps:
        return ""
    patients = sorted({overlap.first.patient for overlap in overlaps})
    shown = ", ".join(patients[:SHOWN]) + (", ..." if len(patients) > SHOWN else "")
    log.warning("%s was trained with these test patients: %s", version, shown)
    return (
        f"it was trained with {len(patients)} of the test patients (evaluate's log names them), so "
        "its figures would be too good; restore the split ledger that it was trained with"
    )
