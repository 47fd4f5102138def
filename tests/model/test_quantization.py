"""Static int8: the signature stays, the features are whole numbers, the answers stay near."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from ml_tasks.config import ModelConfig
from ml_tasks.imaging.spec import ImageSpec
from ml_tasks.inference.calibration import logits
from ml_tasks.inference.scorer import Scorer
from ml_tasks.model.activation_map import export_explained
from ml_tasks.model.network import build_network
from ml_tasks.model.quantization import MOST_PICTURES, calibration_pictures, quantise
from tests.builders import cleaned_film, film, toy_network


def films(count: int) -> NDArray[np.uint8]:
    return np.stack([cleaned_film(film(number, lesion=number % 2 == 1)) for number in range(count)])


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The toy network in float32 and in int8."""
    folder = tmp_path_factory.mktemp("quantised")
    float32, int8 = folder / "float32.onnx", folder / "int8.onnx"
    export_explained(toy_network(ModelConfig(weights="none")), float32)
    quantise(float32, int8, films(12))
    return float32, int8


def quantised_weights(path: Path, kind: str) -> list[bool]:
    """For each node of a kind whether its weights stand there as whole numbers."""
    graph = onnx.load(str(path)).graph
    maker = {name: node.op_type for node in graph.node for name in node.output}
    nodes = [node for node in graph.node if node.op_type == kind]
    return [maker.get(node.input[1]) == "DequantizeLinear" for node in nodes]


def test_it_takes_and_gives_what_the_service_expects(both: tuple[Path, Path]) -> None:
    scorer = Scorer.load(both[1], ImageSpec())  # refuses another signature
    outputs = onnx.load(str(both[1])).graph.output
    assert [output.name for output in outputs] == ["probability", "activation"]
    assert len(scorer.probabilities(films(3))) == 3  # the batch is free


def test_features_are_quantised_and_head_and_map_are_not(both: tuple[Path, Path]) -> None:
    assert quantised_weights(both[1], "Conv") == [True, False]  # the second weighs for the map
    assert quantised_weights(both[1], "MatMul") == [False]
    weights = onnx.load(str(both[1])).graph.initializer
    assert {onnx.TensorProto.INT8, onnx.TensorProto.FLOAT} <= {each.data_type for each in weights}


def test_the_answers_and_the_maps_stay_near(both: tuple[Path, Path]) -> None:
    float32, int8 = (Scorer.load(path, ImageSpec()) for path in both)
    pictures = films(20)
    apart = int8.probabilities(pictures) - float32.probabilities(pictures)
    assert 0 < np.abs(apart).max() < 0.02
    maps = float32.activations(pictures)
    assert np.abs(int8.activations(pictures) - maps).max() < 0.1 * np.abs(maps).max()


def test_nothing_but_the_model_is_left_behind(both: tuple[Path, Path]) -> None:
    assert {path.name for path in both[0].parent.iterdir()} == {"float32.onnx", "int8.onnx"}


def test_the_same_pictures_give_the_same_file(both: tuple[Path, Path], tmp_path: Path) -> None:
    """A release that is evaluated again must keep its version."""
    quantise(both[0], tmp_path / "again.onnx", films(12))
    assert (tmp_path / "again.onnx").read_bytes() == both[1].read_bytes()


def test_calibration_sees_the_whole_split_and_no_more_than_it_needs() -> None:
    many = np.arange(1001, dtype=np.int64)
    taken = calibration_pictures(many)  # type: ignore[arg-type]
    assert len(taken) == MOST_PICTURES and (taken[0], taken[-1]) == (0, 1000)
    assert set(np.diff(taken)) <= {5, 6}
    few = np.arange(7)
    assert calibration_pictures(few).tolist() == few.tolist()  # type: ignore[arg-type]


@pytest.mark.full
def test_the_real_network_is_quantised_through_and_through(tmp_path: Path) -> None:
    """Untrained: what counts is that nothing of DenseNet-121 stops the quantiser."""
    float32, int8 = tmp_path / "float32.onnx", tmp_path / "int8.onnx"
    export_explained(build_network(ModelConfig(weights="none")), float32)
    quantise(float32, int8, films(24))
    assert sum(quantised_weights(int8, "Conv")) == 120
    assert int8.stat().st_size < 0.4 * float32.stat().st_size
    scorers = [Scorer.load(path, ImageSpec()) for path in (float32, int8)]
    first, second = (logits(scorer.probabilities(films(8))) for scorer in scorers)
    assert np.abs(first - second).max() < 0.1
