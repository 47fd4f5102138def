"""Stage evaluate: the ONNX model that would ship, judged on raw files as the service does."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ml_tasks.config import Config, EvaluationConfig
from ml_tasks.dataset.manifest import ATTRIBUTES, IndexRow, read_rows, write_rows
from ml_tasks.dataset.pictures import array_file, open_pictures
from ml_tasks.dataset.predictions import PredictionRow
from ml_tasks.dataset.snapshot import read_unchanged
from ml_tasks.errors import MetricError
from ml_tasks.evaluation.bootstrap import RESAMPLES
from ml_tasks.evaluation.levels import Level
from ml_tasks.evaluation.metrics import SplitMetrics, split_metrics
from ml_tasks.evaluation.operating_point import operating_threshold, rule_in_words
from ml_tasks.evaluation.performance import (
    Answers,
    HeldOut,
    Performance,
    Slice,
    by_level,
    by_slice,
)
from ml_tasks.evaluation.plots import confusion_plot, roc_plot
from ml_tasks.imaging.spec import ImageSpec
from ml_tasks.inference.scorer import Scorer
from ml_tasks.model.backend import keras
from ml_tasks.model.export import export_onnx
from ml_tasks.model.network import load_network
from ml_tasks.pages.evaluation_report import evaluation_report
from ml_tasks.progress import counted
from ml_tasks.records import EvaluationRecord, PreprocessRecord, Split, TrainRecord
from ml_tasks.run_paths import RunPaths
from ml_tasks.storage import sha256_file, write_bytes, write_json

log = logging.getLogger(__name__)

TOLERANCE = 1e-5  # largest difference between the Keras model and its ONNX form, in probability


def evaluate(run: RunPaths, config: Config) -> EvaluationRecord:
    """Writes model.onnx, predictions.csv, metrics.json and report.html.

    Raises:
        MetricError: the ONNX model answers otherwise than the Keras model, or no number.
        StageOrderError: train is not complete, was made from another preprocess, or was altered.
    """
    cleaned, trained = run.load(PreprocessRecord), run.load(TrainRecord)
    run.check_built_on(trained, PreprocessRecord)
    model_file = run.unaltered(trained, "model.h5", trained.model_sha256)
    index = read_rows(run.unaltered(cleaned, "index.csv", cleaned.index_sha256), IndexRow)
    with run.writing("evaluate") as work:
        network = load_network(config.model, model_file)
        difference = _export_checked(run, cleaned, network, index, work / "model.onnx")
        log.info("exported to ONNX; largest difference from the Keras model %.1e", difference)
        predictions = _predict(run, cleaned, index, work / "model.onnx")
        predictions_hash = write_rows(work / "predictions.csv", predictions, PredictionRow)
        answers = {
            split: _answers(predictions, index, split, cleaned.positive)
            for split in (Split.VAL, Split.TEST)
        }
        threshold, splits = _judge(answers, config.evaluation)
        log.info("drawing %d bootstraps of patients for the intervals", RESAMPLES)
        levels: dict[Split, dict[Level, Performance]] = {
            split: by_level(part, threshold, config.evaluation.seed)
            for split, part in answers.items()
        }
        slices = _slices(answers[Split.TEST], predictions, index, threshold, config.evaluation)
        write_json(
            work / "metrics.json",
            {
                "positive": cleaned.positive,
                "threshold": threshold,
                "rule": rule_in_words(config.evaluation),
                "splits": {name: figures.model_dump() for name, figures in splits.items()},
                "levels": {
                    split: {level: figures.model_dump() for level, figures in found.items()}
                    for split, found in levels.items()
                },
                "slices": [part.model_dump() for part in slices],
            },
        )
        test = splits[Split.TEST.value]
        record = EvaluationRecord(
            run_id=run.run_id,
            inputs=run.mark(PreprocessRecord) | run.mark(TrainRecord),
            onnx_sha256=sha256_file(work / "model.onnx"),
            metrics_sha256=sha256_file(work / "metrics.json"),
            predictions_sha256=predictions_hash,
            threshold=threshold,
            onnx_difference=difference,
            headline={
                "accuracy": test.accuracy,
                "AUC": test.auc,
                "sensitivity": test.sensitivity,
                "specificity": test.specificity,
            },
        )
        found = HeldOut(levels[Split.TEST], slices, rule_in_words(config.evaluation))
        _write_report(run, config, work, record, splits, answers[Split.TEST], found)
        run.seal(work, record)
    log.info(
        "confusion matrix: %d found, %d missed, %d left alone, %d false alarms",
        test.true_positives,
        test.false_negatives,
        test.true_negatives,
        test.false_positives,
    )
    log.info(record.summary())
    return record


def _export_checked(
    run: RunPaths,
    cleaned: PreprocessRecord,
    network: keras.Model,
    index: Sequence[IndexRow],
    path: Path,
) -> float:
    """Writes the ONNX model; its largest difference from the Keras model on the test pictures."""
    count = sum(row.split is Split.TEST for row in index)
    array = run.unaltered(cleaned, array_file(Split.TEST), cleaned.arrays_sha256[Split.TEST])
    grey = open_pictures(array, count)[:64]
    images = np.repeat(grey[..., np.newaxis].astype(np.float32), 3, axis=-1)
    expected = np.asarray(network.predict(images, verbose=0))[:, 0]
    export_onnx(network, path)  # after predict: a network that was never called is refused
    found = Scorer.load(path, _spec(run)).probabilities(grey)
    difference = float(np.abs(found - expected).max())
    if not difference <= TOLERANCE:
        raise MetricError(
            f"the ONNX model differs from the Keras model by {difference:.2e} (at most "
            f"{TOLERANCE:.0e} may be); the export cannot be trusted: check the locked versions"
        )
    return difference


def _predict(
    run: RunPaths, cleaned: PreprocessRecord, index: Sequence[IndexRow], model: Path
) -> list[PredictionRow]:
    scorer = Scorer.load(model, _spec(run))
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


def _answers(
    predictions: Sequence[PredictionRow], index: Sequence[IndexRow], split: Split, positive: str
) -> Answers:
    rows = [row for row in predictions if row.split is split]
    sides = {row.raw: row.laterality for row in index}
    return Answers(
        labels=np.array([row.label == positive for row in rows], bool),
        scores=np.array([row.probability for row in rows], np.float64),
        patients=[row.patient for row in rows],
        breasts=[sides[row.raw] for row in rows],
    )


def _judge(
    answers: Mapping[Split, Answers], rule: EvaluationConfig
) -> tuple[float, dict[str, SplitMetrics]]:
    """The threshold from the validation split, and the figures of both held-out splits."""
    held_out = answers[Split.VAL]
    threshold = operating_threshold(held_out.labels, held_out.scores, rule)
    return threshold, {
        split.value: split_metrics(part.labels, part.scores, threshold)
        for split, part in answers.items()
    }


def _slices(
    test: Answers,
    predictions: Sequence[PredictionRow],
    index: Sequence[IndexRow],
    threshold: float,
    config: EvaluationConfig,
) -> list[Slice]:
    known = {row.raw: row for row in index}
    rows = [known[row.raw] for row in predictions if row.split is Split.TEST]
    attributes = {name: [_shown(getattr(row, name)) for row in rows] for name in ATTRIBUTES}
    return by_slice(test, attributes, threshold, config.seed)


def _shown(value: object) -> str:
    return {None: "", True: "yes", False: "no"}.get(value, str(value))  # type: ignore[call-overload]


def _write_report(
    run: RunPaths,
    config: Config,
    work: Path,
    record: EvaluationRecord,
    splits: dict[str, SplitMetrics],
    answers: Answers,
    found: HeldOut,
) -> None:
    cleaned = run.load(PreprocessRecord)
    test = splits[Split.TEST.value]
    negative = next(name for name in cleaned.classes if name != cleaned.positive)
    plots = {
        "ROC curve": roc_plot(answers.labels, answers.scores, test),
        "Confusion matrix": confusion_plot(test, negative, cleaned.positive),
    }
    for title, png in plots.items():
        write_bytes(work / f"{title.lower().replace(' ', '_')}.png", png)
    history = json.loads((run.stage("train") / "history.json").read_text())
    meaning = config.data.class_meaning
    page = evaluation_report(
        record,
        splits,
        found,
        cleaned,
        run.load(TrainRecord),
        history,
        plots,
        meaning,
    )
    write_bytes(work / "report.html", page.encode())


def _spec(run: RunPaths) -> ImageSpec:
    text = (run.stage("preprocess") / "image_spec.json").read_text()
    return ImageSpec.model_validate_json(text)
