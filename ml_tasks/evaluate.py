"""Stage evaluate: the ONNX model that would ship, judged on raw files as the service does."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ml_tasks.config import Config
from ml_tasks.dataset.manifest import IndexRow, read_rows, write_rows
from ml_tasks.dataset.pictures import array_file, open_pictures
from ml_tasks.dataset.predictions import PredictionRow
from ml_tasks.dataset.snapshot import read_unchanged
from ml_tasks.errors import MetricError
from ml_tasks.evaluation.bootstrap import RESAMPLES
from ml_tasks.evaluation.champion_scores import compare_with_champion
from ml_tasks.evaluation.judging import Judged, judge
from ml_tasks.evaluation.levels import Level
from ml_tasks.evaluation.metrics import Confusion
from ml_tasks.evaluation.metrics_file import Metrics
from ml_tasks.evaluation.plots import (
    Plot,
    calibration_plot,
    confusion_plot,
    precision_recall_plot,
    roc_plot,
    scores_plot,
    training_plot,
)
from ml_tasks.evaluation.reference import reference_of
from ml_tasks.evaluation.worst_cases import Case, false_negatives, false_positives
from ml_tasks.imaging.clean import preprocess
from ml_tasks.imaging.spec import ImageSpec
from ml_tasks.inference.scorer import Scorer
from ml_tasks.model.activation_map import export_explained
from ml_tasks.model.backend import keras
from ml_tasks.model.network import load_network
from ml_tasks.pages.evaluation_report import Evaluated, evaluation_report
from ml_tasks.progress import counted
from ml_tasks.records import (
    EvaluationRecord,
    PreprocessRecord,
    Split,
    TrainRecord,
    ValidationRecord,
)
from ml_tasks.run_paths import RunPaths
from ml_tasks.storage import sha256_file, write_bytes, write_json

log = logging.getLogger(__name__)

TOLERANCE = 1e-5  # largest difference between the Keras model and its ONNX form, in probability
_HEADLINE = {
    "accuracy": "accuracy",
    "AUC": "auc",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
}


def evaluate(run: RunPaths, config: Config) -> EvaluationRecord:
    """Writes model.onnx, predictions.csv, metrics.json, report.html and the plots.

    Raises:
        MetricError: the ONNX model answers otherwise than the Keras model, or no number, or the
            validation split has one class only.
        StageOrderError: train is not complete, was made from another preprocess, or was altered.
    """
    cleaned, trained = run.load(PreprocessRecord), run.load(TrainRecord)
    run.check_built_on(trained, PreprocessRecord)
    model_file = run.unaltered(trained, "model.h5", trained.model_sha256)
    index = read_rows(run.unaltered(cleaned, "index.csv", cleaned.index_sha256), IndexRow)
    with run.writing("evaluate") as work:
        network = load_network(config.model, model_file)
        scorer, difference = _exported(run, cleaned, network, index, work / "model.onnx")
        log.info("exported to ONNX; largest difference from the Keras model %.1e", difference)
        raw = _scored(scorer, cleaned, index)
        log.info("drawing %d bootstraps of patients for the intervals", RESAMPLES)
        judged = judge(raw, index, cleaned, config.evaluation)
        judged = _with_reference(_compared(judged, run, config, index), run, cleaned, index)
        record = _written(run, work, judged, difference)
        cases = _worst_cases(scorer, cleaned, index, judged)
        _write_report(run, config, work, record, judged, raw, cases)
        run.seal(work, record)
    log.info("%s", record.summary())
    return record


def _exported(
    run: RunPaths,
    cleaned: PreprocessRecord,
    network: keras.Model,
    index: Sequence[IndexRow],
    path: Path,
) -> tuple[Scorer, float]:
    """Writes the ONNX model; its largest difference from the Keras model on the test pictures."""
    count = sum(row.split is Split.TEST for row in index)
    array = run.unaltered(cleaned, array_file(Split.TEST), cleaned.arrays_sha256[Split.TEST])
    grey = open_pictures(array, count)[:64]
    images = np.repeat(grey[..., np.newaxis].astype(np.float32), 3, axis=-1)
    expected = np.asarray(network.predict(images, verbose=0))[:, 0]
    export_explained(network, path)
    spec = (run.stage("preprocess") / "image_spec.json").read_text()
    scorer = Scorer.load(path, ImageSpec.model_validate_json(spec))
    difference = float(np.abs(scorer.probabilities(grey) - expected).max())
    if not difference <= TOLERANCE:
        raise MetricError(
            f"the ONNX model differs from the Keras model by {difference:.2e} (at most "
            f"{TOLERANCE:.0e} may be); the export cannot be trusted: check the locked versions"
        )
    return scorer, difference


def _scored(
    scorer: Scorer, cleaned: PreprocessRecord, index: Sequence[IndexRow]
) -> list[PredictionRow]:
    """What the network itself says of each held-out raw file; not calibrated yet."""
    rows = [row for row in index if row.split is not Split.TRAIN]
    raw = Path(cleaned.raw)
    return [
        PredictionRow(
            raw=row.raw,
            label=row.label,
            patient=row.patient,
            split=row.split,
            probability=scorer.probability(read_unchanged(raw / row.raw, row.raw_sha256)),
        )
        for row in counted(rows, len(rows), "scored", log)
    ]


def _compared(judged: Judged, run: RunPaths, config: Config, index: Sequence[IndexRow]) -> Judged:
    """With what the production model makes of the same test files; nothing is added without one."""
    comparison = compare_with_champion(
        run,
        config.paths.releases,
        [row for row in index if row.split is Split.TEST],
        judged.answers[Split.TEST],
        judged.metrics.threshold,
        config.evaluation.seed,
    )
    metrics = judged.metrics.model_copy(update={"comparison": comparison})
    return replace(judged, metrics=metrics)


def _with_reference(
    judged: Judged, run: RunPaths, cleaned: PreprocessRecord, index: Sequence[IndexRow]
) -> Judged:
    """With what the training pictures have in common, by which the service knows other images."""
    count = sum(row.split is Split.TRAIN for row in index)
    array = run.unaltered(cleaned, array_file(Split.TRAIN), cleaned.arrays_sha256[Split.TRAIN])
    reference = reference_of(open_pictures(array, count))
    if reference is None:
        log.warning(
            "%d training pictures are too few, or too alike, to tell by them what is no mammogram",
            count,
        )
    metrics = judged.metrics.model_copy(update={"reference": reference})
    return replace(judged, metrics=metrics)


def _written(run: RunPaths, work: Path, judged: Judged, difference: float) -> EvaluationRecord:
    """Writes metrics.json and predictions.csv; the record names every file by its hash."""
    write_json(work / "metrics.json", judged.metrics.model_dump(mode="json"))
    return EvaluationRecord(
        run_id=run.run_id,
        inputs=run.mark(PreprocessRecord) | run.mark(TrainRecord),
        onnx_sha256=sha256_file(work / "model.onnx"),
        metrics_sha256=sha256_file(work / "metrics.json"),
        predictions_sha256=write_rows(work / "predictions.csv", judged.predictions, PredictionRow),
        threshold=judged.metrics.threshold,
        onnx_difference=difference,
        headline=_headline(judged.metrics),
    )


def _headline(metrics: Metrics) -> dict[str, float]:
    figures = metrics.levels[Split.TEST][Level.PATIENT].figures
    values = {shown: figures[name].value for shown, name in _HEADLINE.items()}
    return {shown: value for shown, value in values.items() if value is not None}


def _worst_cases(
    scorer: Scorer, cleaned: PreprocessRecord, index: Sequence[IndexRow], judged: Judged
) -> tuple[list[Case], list[Case]]:
    """The worst false negatives and false positives of the test images, with their maps."""
    known = {row.raw: row for row in index}

    def case(answer: PredictionRow) -> Case:
        path = Path(cleaned.raw) / answer.raw
        data = read_unchanged(path, known[answer.raw].raw_sha256)
        pixels = preprocess(data, scorer.spec)
        return Case(answer, pixels, scorer.activations(pixels[np.newaxis])[0])

    told = (judged.predictions, cleaned.positive, judged.metrics.threshold)
    return (
        [case(answer) for answer in false_negatives(*told)],
        [case(answer) for answer in false_positives(*told)],
    )


def _write_report(
    run: RunPaths,
    config: Config,
    work: Path,
    record: EvaluationRecord,
    judged: Judged,
    raw: Sequence[PredictionRow],
    cases: tuple[list[Case], list[Case]],
) -> None:
    cleaned, trained = run.load(PreprocessRecord), run.load(TrainRecord)
    plots = _plots(judged, raw, cleaned)
    history = json.loads((run.stage("train") / "history.json").read_text())
    training = training_plot(history, trained.best_epoch)
    for plot in (*plots, training):
        write_bytes(work / plot.file, plot.png)
    validated = run.load(ValidationRecord).warnings if run.has(ValidationRecord) else ()
    missed, alarms = cases
    page = evaluation_report(
        Evaluated(
            record=record,
            metrics=judged.metrics,
            plots=plots,
            training=training,
            missed=missed,
            alarms=alarms,
            cleaned=cleaned,
            trained=trained,
            history=history,
            meaning=config.data.class_meaning,
            warnings=(*validated, *cleaned.warnings),
        )
    )
    write_bytes(work / "report.html", page.encode())


def _plots(judged: Judged, raw: Sequence[PredictionRow], cleaned: PreprocessRecord) -> list[Plot]:
    """The plots of the test split; curves only where both classes are there."""
    threshold, found = judged.metrics.threshold, judged.metrics.levels[Split.TEST]
    scored = judged.answers[Split.TEST].levels()
    patients, images = scored[Level.PATIENT], scored[Level.IMAGE]
    negative = next(name for name in cleaned.classes if name != cleaned.positive)
    names = (negative, cleaned.positive)
    counts = Confusion.of(patients.labels, patients.scores, threshold)
    log.info("test patients: %s", counts)
    both = patients.labels.any() and not patients.labels.all()
    curves = (roc_plot, precision_recall_plot) if both else ()
    before = np.array([row.probability for row in raw if row.split is Split.TEST])
    return [
        *(plot(scored, found) for plot in curves),
        calibration_plot(images.labels, images.scores, before),
        confusion_plot(counts, *names),
        scores_plot(patients, threshold, *names),
    ]
