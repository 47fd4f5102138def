"""Stage evaluate: the ONNX model that would ship, judged on raw files as the service does."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ml_tasks.config import Config
from ml_tasks.dataset.manifest import IndexRow, read_rows, write_rows
from ml_tasks.dataset.pictures import array_file, open_pictures
from ml_tasks.dataset.predictions import PredictionRow
from ml_tasks.dataset.snapshot import read_unchanged
from ml_tasks.errors import MetricError
from ml_tasks.evaluation.bootstrap import RESAMPLES
from ml_tasks.evaluation.candidates import Chosen, choose
from ml_tasks.evaluation.champion_scores import compare_with_champion
from ml_tasks.evaluation.judging import Judged, judge
from ml_tasks.evaluation.levels import Level
from ml_tasks.evaluation.metrics_file import Metrics
from ml_tasks.evaluation.plots import training_plot
from ml_tasks.evaluation.reference import reference_of
from ml_tasks.evaluation.report_plots import plots_of_test
from ml_tasks.evaluation.shipped_precision import ShippedPrecision
from ml_tasks.evaluation.worst_cases import Case, false_negatives, false_positives
from ml_tasks.imaging.clean import preprocess
from ml_tasks.imaging.spec import ImageSpec
from ml_tasks.inference.scorer import Scorer
from ml_tasks.model.activation_map import export_explained
from ml_tasks.model.backend import keras
from ml_tasks.model.network import load_network
from ml_tasks.model.quantization import quantise
from ml_tasks.pages.evaluation_report import Evaluated, evaluation_report
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
        float32, difference = _exported(run, cleaned, network, index, work / "model.onnx")
        log.info("exported to ONNX; largest difference from the Keras model %.1e", difference)
        chosen = _chosen(run, config, cleaned, index, float32, work / "model.onnx")
        log.info("drawing %d bootstraps of patients for the intervals", RESAMPLES)
        judged = judge(chosen.told, index, cleaned, config.evaluation)
        judged = _compared(judged, run, config, index, chosen.precision)
        judged = _with_reference(judged, run, cleaned, index)
        record = _written(run, work, judged, difference)
        cases = _worst_cases(chosen.scorer, cleaned, index, judged)
        _write_report(run, config, work, record, judged, chosen.raw, cases)
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
    grey = _pictures(run, cleaned, index, Split.TEST)[:64]
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


def _chosen(
    run: RunPaths,
    config: Config,
    cleaned: PreprocessRecord,
    index: Sequence[IndexRow],
    float32: Scorer,
    path: Path,
) -> Chosen:
    """The model that ships, at `path`: float32 is there, int8 takes its place where it may."""
    if config.release.precision == "float32":
        return choose(float32, None, cleaned, index, config.evaluation)
    quantised = path.with_name("int8.onnx")
    log.info("quantising to int8")
    quantise(path, quantised, _pictures(run, cleaned, index, Split.TRAIN))
    int8 = Scorer.load(quantised, float32.spec)
    chosen = choose(float32, int8, cleaned, index, config.evaluation)
    if chosen.scorer is int8:
        quantised.replace(path)
    else:
        quantised.unlink()
    return chosen


def _pictures(
    run: RunPaths, cleaned: PreprocessRecord, index: Sequence[IndexRow], split: Split
) -> NDArray[np.uint8]:
    """The finished pictures (N,H,W) of a split, as they were sealed."""
    array = run.unaltered(cleaned, array_file(split), cleaned.arrays_sha256[split])
    return open_pictures(array, sum(row.split is split for row in index))


def _compared(
    judged: Judged,
    run: RunPaths,
    config: Config,
    index: Sequence[IndexRow],
    precision: ShippedPrecision | None,
) -> Judged:
    """With what the production model makes of the same files, and why this precision ships."""
    comparison = compare_with_champion(
        run,
        config.paths.releases,
        [row for row in index if row.split is Split.TEST],
        judged.answers[Split.TEST],
        judged.metrics.threshold,
        config.evaluation.seed,
    )
    said = {"comparison": comparison, "precision": precision}
    return replace(judged, metrics=judged.metrics.model_copy(update=said))


def _with_reference(
    judged: Judged, run: RunPaths, cleaned: PreprocessRecord, index: Sequence[IndexRow]
) -> Judged:
    """With what the training pictures have in common, by which the service knows other images."""
    pictures = _pictures(run, cleaned, index, Split.TRAIN)
    reference = reference_of(pictures)
    if reference is None:
        log.warning(
            "%d training pictures are too few, or too alike, to tell by them what is no mammogram",
            len(pictures),
        )
    return replace(judged, metrics=judged.metrics.model_copy(update={"reference": reference}))


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
    plots = plots_of_test(judged, raw, cleaned)
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
