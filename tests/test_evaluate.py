"""The stage evaluate, on a toy network: what is judged is what ships."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ml_tasks.config import Config
from ml_tasks.dataset.manifest import IndexRow, read_rows
from ml_tasks.dataset.predictions import PredictionRow
from ml_tasks.errors import DataError, MetricError, StageOrderError
from ml_tasks.evaluate import evaluate
from ml_tasks.evaluation.levels import Level
from ml_tasks.evaluation.metrics_file import Metrics
from ml_tasks.imaging.spec import ImageSpec
from ml_tasks.inference.scorer import Scorer
from ml_tasks.records import EvaluationRecord, PreprocessRecord, Split, TrainRecord
from ml_tasks.run_paths import RunPaths
from ml_tasks.storage import sha256_file
from ml_tasks.train import train
from tests.builders import encoded, film, prepared, quick_training, toy_config, use_toy_network


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return toy_config(tmp_path_factory.mktemp("evaluate"), training=quick_training())


@pytest.fixture(scope="module")
def evaluated(config: Config) -> Iterator[RunPaths]:
    """A run that has been trained and evaluated; read only."""
    with pytest.MonkeyPatch.context() as patch:
        use_toy_network(patch)
        run = prepared(config)
        train(run, config)
        evaluate(run, config)
        yield run


@pytest.fixture
def copy(evaluated: RunPaths, tmp_path: Path) -> RunPaths:
    """The same run in a place where a test may spoil it."""
    shutil.copytree(evaluated.runs, tmp_path / "runs")
    return RunPaths(tmp_path / "runs", evaluated.run_id)


def predictions(run: RunPaths) -> list[PredictionRow]:
    return read_rows(run.stage("evaluate") / "predictions.csv", PredictionRow)


def metrics(run: RunPaths) -> Metrics:
    return Metrics.model_validate_json((run.stage("evaluate") / "metrics.json").read_bytes())


def test_every_file_is_there_and_the_record_names_it_by_hash(evaluated: RunPaths) -> None:
    folder, record = evaluated.stage("evaluate"), evaluated.load(EvaluationRecord)
    assert record.onnx_sha256 == sha256_file(folder / "model.onnx")
    assert record.metrics_sha256 == sha256_file(folder / "metrics.json")
    assert record.predictions_sha256 == sha256_file(folder / "predictions.csv")
    assert record.onnx_difference <= 1e-5
    plots = sorted(folder.glob("*.png"))
    assert [plot.stem for plot in plots] == [
        "calibration",
        "confusion_matrix",
        "precision_recall_curve",
        "roc_curve",
        "score_distributions",
        "training_curves",
    ]
    assert all(plot.read_bytes().startswith(b"\x89PNG") for plot in plots)
    evaluated.check_built_on(record, TrainRecord)
    evaluated.check_built_on(record, PreprocessRecord)


def test_the_answers_are_those_of_the_shipped_model_on_raw_bytes_calibrated(
    evaluated: RunPaths, config: Config
) -> None:
    """The service gets files, not cleaned arrays: the same way must be judged."""
    scorer = Scorer.load(evaluated.stage("evaluate") / "model.onnx", ImageSpec())
    rows, calibration = predictions(evaluated), metrics(evaluated).calibration
    files = [(config.paths.raw / row.raw).read_bytes() for row in rows]
    told = calibration.apply(np.array([scorer.probability(data) for data in files]))
    assert [row.probability for row in rows] == pytest.approx(told.tolist(), abs=1e-12)
    index = read_rows(evaluated.stage("preprocess") / "index.csv", IndexRow)
    assert {row.raw for row in rows} == {row.raw for row in index if row.split is not Split.TRAIN}


def test_the_metrics_are_those_of_the_answers(evaluated: RunPaths) -> None:
    found, record = metrics(evaluated), evaluated.load(EvaluationRecord)
    assert found.positive == "Positive" and found.comparison is None
    assert found.threshold == record.threshold
    for split in (Split.VAL, Split.TEST):
        rows = [row for row in predictions(evaluated) if row.split is split]
        labels = np.array([row.label == "Positive" for row in rows])
        scores = np.array([row.probability for row in rows])
        said = scores >= record.threshold
        figures = {
            name: estimate.value
            for name, estimate in found.levels[split][Level.IMAGE].figures.items()
        }
        assert figures["accuracy"] == pytest.approx((said == labels).mean())
        assert figures["sensitivity"] == pytest.approx(said[labels].mean())
        assert figures["specificity"] == pytest.approx((~said[~labels]).mean())
        assert figures["auc"] == pytest.approx(roc_auc_score(labels, scores))
        assert figures["brier"] == pytest.approx(((scores - labels) ** 2).mean())
    patients = found.levels[Split.TEST][Level.PATIENT].figures
    assert record.headline["AUC"] == patients["auc"].value
    assert record.headline["accuracy"] == patients["accuracy"].value


def test_levels_and_slices_stand_beside_them(evaluated: RunPaths) -> None:
    found = metrics(evaluated)
    test = found.levels[Split.TEST]
    patients = {row.patient for row in predictions(evaluated) if row.split is Split.TEST}
    assert set(test) == set(Level)
    assert test[Level.PATIENT].cases == len(patients)
    assert {(part.attribute, part.value) for part in found.slices} == {("site", "A"), ("site", "B")}
    assert sum(part.performance.patients for part in found.slices) == len(patients)
    report = (evaluated.stage("evaluate") / "report.html").read_text()
    assert "<td>site</td><td>A</td>" in report
    assert "The smallest slice has" in " ".join(report.split())


def test_the_threshold_was_chosen_on_the_validation_split_alone(evaluated: RunPaths) -> None:
    rows = [row for row in predictions(evaluated) if row.split is Split.VAL]
    positive = [row.probability for row in rows if row.label == "Positive"]
    negative = [row.probability for row in rows if row.label == "Negative"]

    def gain(threshold: float) -> float:
        found = sum(score >= threshold for score in positive) / len(positive)
        return found - sum(score >= threshold for score in negative) / len(negative)

    best = max(gain(score) for score in (*positive, *negative, 2.0))
    assert gain(evaluated.load(EvaluationRecord).threshold) == pytest.approx(best)


def test_evaluating_again_gives_the_same_answers(copy: RunPaths, config: Config) -> None:
    before = copy.load(EvaluationRecord)
    after = evaluate(copy, config)
    assert after.predictions_sha256 == before.predictions_sha256
    assert after.metrics_sha256 == before.metrics_sha256


def test_a_raw_file_changed_since_is_refused_by_name(copy: RunPaths, config: Config) -> None:
    before = (copy.stage("evaluate") / "record.json").read_bytes()
    row = predictions(copy)[0]
    path = config.paths.raw / row.raw
    data = path.read_bytes()
    path.write_bytes(encoded(film(99)))
    try:
        with pytest.raises(DataError, match=rf"{path.name} changed after validate_data"):
            evaluate(copy, config)
    finally:
        path.write_bytes(data)
    assert (copy.stage("evaluate") / "record.json").read_bytes() == before


def test_a_model_altered_after_training_is_not_opened(copy: RunPaths, config: Config) -> None:
    with (copy.stage("train") / "model.h5").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(StageOrderError, match=r"model\.h5 is missing or was altered after train"):
        evaluate(copy, config)


def test_a_model_of_an_earlier_preprocess_is_refused(copy: RunPaths, config: Config) -> None:
    record = copy.load(PreprocessRecord).model_copy(update={"quarantined": 9})
    copy.seal(copy.stage("preprocess"), record)
    with pytest.raises(StageOrderError, match="train of run .* an earlier attempt of preprocess"):
        evaluate(copy, config)


def test_without_a_model_it_does_not_start(copy: RunPaths, config: Config) -> None:
    shutil.rmtree(copy.stage("train"))
    with pytest.raises(StageOrderError, match="train is not complete .* run train first"):
        evaluate(copy, config)


def test_an_onnx_model_that_answers_otherwise_is_refused(
    copy: RunPaths, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A faulty exporter would else ship a model that nobody trained."""
    from tests.toy_run import write_onnx

    monkeypatch.setattr("ml_tasks.evaluate.export_explained", lambda _, path: write_onnx(path))
    with pytest.raises(
        MetricError, match=r"differs from the Keras model by .* \(at most 1e-05 may be"
    ):
        evaluate(copy, config)
