"""The stage evaluate where int8 was asked for: it ships as judged, or all pages say it does not."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest

from ml_tasks.config import Config, ModelConfig
from ml_tasks.config_release import ReleaseConfig
from ml_tasks.dataset.manifest import IndexRow, read_rows
from ml_tasks.dataset.predictions import PredictionRow
from ml_tasks.evaluate import evaluate
from ml_tasks.evaluation.metrics_file import Metrics
from ml_tasks.evaluation.shipped_precision import ShippedPrecision
from ml_tasks.imaging.spec import ImageSpec
from ml_tasks.inference.scorer import Scorer
from ml_tasks.model.export import save_network
from ml_tasks.model.network import load_network
from ml_tasks.records import Decision, EvaluationRecord, PreprocessRecord, TrainRecord, Verdict
from ml_tasks.release.model_card import model_card
from ml_tasks.run_paths import RunPaths
from ml_tasks.storage import sha256_file
from ml_tasks.train import train
from tests.builders import prepared, quick_training, toy_config, use_toy_network


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    release = ReleaseConfig(push=False, precision="int8")
    root = tmp_path_factory.mktemp("int8")
    return toy_config(root, training=quick_training(), release=release)


@pytest.fixture(scope="module")
def trained(config: Config) -> Iterator[RunPaths]:
    with pytest.MonkeyPatch.context() as patch:
        use_toy_network(patch)
        run = prepared(config)
        train(run, config)
        yield run


@pytest.fixture
def copy(trained: RunPaths, tmp_path: Path) -> RunPaths:
    shutil.copytree(trained.runs, tmp_path / "runs")
    return RunPaths(tmp_path / "runs", trained.run_id)


def judged(run: RunPaths) -> tuple[Metrics, ShippedPrecision]:
    metrics = Metrics.model_validate_json((run.stage("evaluate") / "metrics.json").read_bytes())
    assert metrics.precision is not None
    return metrics, metrics.precision


def quantised(run: RunPaths) -> bool:
    graph = onnx.load(str(run.stage("evaluate") / "model.onnx")).graph
    return any(node.op_type == "QuantizeLinear" for node in graph.node)


def card(run: RunPaths, metrics: Metrics) -> str:
    decision = Decision(run_id=run.run_id, verdict=Verdict.PASS, rules=())
    return model_card(run.load(PreprocessRecord), run.load(TrainRecord), metrics, decision)


def spoil_for_int8(run: RunPaths, config: Config) -> None:
    """Gives one channel, which nothing rests on, values that leave the others no steps."""
    model = run.stage("train") / "model.h5"
    network = load_network(ModelConfig(weights="none"), model)
    norm, answer = network.get_layer("conv5_bn"), network.get_layer("probability")
    gamma, beta, mean, variance = norm.get_weights()
    beta[-1] = 1e5
    norm.set_weights([gamma, beta, mean, variance])
    kernel, bias = answer.get_weights()
    kernel[-1] = 0
    answer.set_weights([kernel, bias])
    save_network(network, model)
    record = run.load(TrainRecord).model_copy(update={"model_sha256": sha256_file(model)})
    run.seal(run.stage("train"), record)


def test_what_ships_is_int8_and_every_figure_is_its_own(copy: RunPaths, config: Config) -> None:
    record = evaluate(copy, config)
    metrics, precision = judged(copy)
    assert (precision.asked, precision.shipped) == ("int8", "int8")
    assert precision.agreement >= 0.995 and abs(precision.auc_change or 0) <= 0.005
    assert quantised(copy)
    model = copy.stage("evaluate") / "model.onnx"
    assert copy.load(EvaluationRecord).onnx_sha256 == sha256_file(model) == record.onnx_sha256
    assert not (copy.stage("evaluate") / "int8.onnx").exists()
    scorer = Scorer.load(model, ImageSpec())
    rows = read_rows(copy.stage("evaluate") / "predictions.csv", PredictionRow)
    files = [(config.paths.raw / row.raw).read_bytes() for row in rows]
    told = metrics.calibration.apply(np.array([scorer.probability(data) for data in files]))
    assert [row.probability for row in rows] == pytest.approx(told.tolist(), abs=1e-12)
    for text in ((copy.stage("evaluate") / "report.html").read_text(), card(copy, metrics)):
        assert "The model is quantised to int8" in text


def test_where_it_does_not_hold_float32_ships_and_everything_says_so(
    copy: RunPaths, config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    spoil_for_int8(copy, config)
    with caplog.at_level(logging.WARNING):
        evaluate(copy, config)
    metrics, precision = judged(copy)
    assert (precision.asked, precision.shipped) == ("int8", "float32")
    assert precision.agreement < 0.995 or abs(precision.auc_change or 0) > 0.005
    assert not quantised(copy)
    assert not (copy.stage("evaluate") / "int8.onnx").exists()
    said = "int8 was asked for and does NOT ship"
    assert said in caplog.text
    for text in ((copy.stage("evaluate") / "report.html").read_text(), card(copy, metrics)):
        assert said in text


def test_evaluating_again_gives_the_same_answers(copy: RunPaths, config: Config) -> None:
    first, second = evaluate(copy, config), evaluate(copy, config)
    assert first.predictions_sha256 == second.predictions_sha256
    assert first.metrics_sha256 == second.metrics_sha256


def test_calibration_never_sees_a_held_out_picture(
    copy: RunPaths, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ranges learned from the test would make int8 look better than it is."""
    from ml_tasks.model import quantization

    seen: list[int] = []
    real = quantization.calibration_pictures

    def noting(pictures: np.ndarray) -> np.ndarray:
        seen.append(len(pictures))
        train = np.load(copy.stage("preprocess") / "train.npy")
        assert np.array_equal(pictures, train)
        return real(pictures)

    monkeypatch.setattr(quantization, "calibration_pictures", noting)
    evaluate(copy, config)
    index = read_rows(copy.stage("preprocess") / "index.csv", IndexRow)
    assert seen == [sum(row.split.value == "train" for row in index)]
