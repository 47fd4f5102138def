"""The predictor: verifies what it loads, answers as the model does, refuses what is no image."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from ml_tasks.errors import ImageRejected, ReleaseError
from ml_tasks.imaging.clean import preprocess
from ml_tasks.inference.calibration import Calibration, logits
from ml_tasks.inference.predictor import Predictor
from ml_tasks.inference.scorer import Scorer
from ml_tasks.release.bundle import version_of
from tests.toy_run import METRICS, SPEC, make_bundle, phantom, write_onnx


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path)


def rewrite(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)


def test_names_the_class_and_how_sure_it_is(bundle: Path) -> None:
    predictor = Predictor.load(bundle)
    bright, dark = predictor.predict(phantom(220)), predictor.predict(phantom(60))
    assert (bright.prediction, dark.prediction) == ("Positive", "Negative")
    assert bright.confidence == bright.probability > 0.99
    assert dark.confidence == pytest.approx(1 - dark.probability) and dark.confidence > 0.95
    assert bright.model_version == dark.model_version == version_of(bundle)


def test_one_file_scores_as_its_pixels_in_a_batch_do(tmp_path: Path) -> None:
    write_onnx(tmp_path / "model.onnx")
    scorer = Scorer.load(tmp_path / "model.onnx", SPEC)
    files = [phantom(60 + 2 * number) for number in range(70)]
    batch = np.stack([preprocess(data, SPEC) for data in files])
    alone = [scorer.probability(data) for data in files]
    assert scorer.probabilities(batch).tolist() == pytest.approx(alone, abs=1e-7)
    assert scorer.probabilities(batch[:0]).shape == (0,)


@pytest.mark.parametrize("shape", [(128, 128), (1, 64, 64), (1, 128, 128, 3)])
def test_refuses_a_batch_of_another_shape(tmp_path: Path, shape: tuple[int, ...]) -> None:
    write_onnx(tmp_path / "model.onnx")
    scorer = Scorer.load(tmp_path / "model.onnx", SPEC)
    with pytest.raises(ValueError, match="it must be uint8"):
        scorer.probabilities(np.zeros(shape, np.uint8))


def test_a_model_that_answers_no_number_is_refused(tmp_path: Path) -> None:
    write_onnx(tmp_path / "model.onnx", slope=float("nan"))
    scorer = Scorer.load(tmp_path / "model.onnx", SPEC)
    with pytest.raises(ReleaseError, match="no probabilities"):
        scorer.probabilities(np.zeros((1, 128, 128), np.uint8))


def test_a_model_for_another_image_size_is_refused(tmp_path: Path) -> None:
    write_onnx(tmp_path / "model.onnx")
    with pytest.raises(ReleaseError, match=r"expected one float input \(N,64,64,3\)"):
        Scorer.load(tmp_path / "model.onnx", SPEC.model_copy(update={"side": 64}))


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"", "empty"), (b"no image", "not_an_image"), (phantom(90)[:400], "unreadable")],
)
def test_bad_files_are_refused_with_a_code(bundle: Path, data: bytes, code: str) -> None:
    with pytest.raises(ImageRejected) as refusal:
        Predictor.load(bundle).predict(data)
    assert refusal.value.code == code


def test_an_altered_model_is_not_loaded(bundle: Path) -> None:
    path = bundle / "model.onnx"
    rewrite(path, path.read_bytes()[:-1] + b"x")
    with pytest.raises(ReleaseError, match=r"altered since it was sealed: model\.onnx"):
        Predictor.load(bundle)


def test_a_missing_and_an_unlisted_file_are_named(bundle: Path) -> None:
    (bundle / "model.h5").unlink()
    (bundle / "extra.txt").write_text("x")
    with pytest.raises(ReleaseError, match=r"missing: model\.h5; not listed .*: extra\.txt"):
        Predictor.load(bundle)


def test_no_threshold_means_no_service_rather_than_a_guess(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path, metrics={**METRICS, "threshold": None})
    with pytest.raises(ReleaseError, match="threshold is None"):
        Predictor.load(bundle)


@pytest.mark.parametrize(
    "calibration", [None, {"temperature": 1}, {"temperature": 0, "prior_shift": 0}, 1.5]
)
def test_no_calibration_means_no_service(tmp_path: Path, calibration: object) -> None:
    """The threshold was chosen on calibrated probabilities; on others it decides at random."""
    bundle = make_bundle(tmp_path, metrics={**METRICS, "calibration": calibration})
    with pytest.raises(ReleaseError, match="calibration is not what evaluate writes"):
        Predictor.load(bundle)


def test_what_is_told_is_calibrated(tmp_path: Path) -> None:
    calibration = Calibration(temperature=3, prior_shift=-1)
    bundle = make_bundle(tmp_path, metrics={**METRICS, "calibration": calibration.model_dump()})
    predictor, data = Predictor.load(bundle), phantom(70)
    raw = predictor.scorer.probability(data)
    told = predictor.predict(data).probability
    assert told == pytest.approx(float(calibration.apply(np.array([raw]))[0]), abs=1e-12)
    assert abs(told - raw) > 0.05


def test_the_activation_maps_mean_is_the_log_odds(tmp_path: Path) -> None:
    write_onnx(tmp_path / "model.onnx")
    scorer = Scorer.load(tmp_path / "model.onnx", SPEC)
    batch = np.stack([preprocess(phantom(60 + 2 * number), SPEC) for number in range(40)])
    maps = scorer.activations(batch)
    assert maps.shape == (40, 128, 128) and maps.dtype == np.float32
    odds = logits(scorer.probabilities(batch))
    assert maps.mean(axis=(1, 2)).tolist() == pytest.approx(odds.tolist(), abs=1e-3)
    assert scorer.activations(batch[:0]).shape == (0, 128, 128)


def test_a_model_without_an_activation_map_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    write_onnx(path)
    model = onnx.load(str(path))
    del model.graph.output[1]
    onnx.save(model, str(path))
    with pytest.raises(ReleaseError, match=r"two float outputs, the probability \(N,1\)"):
        Scorer.load(path, SPEC)


def test_the_positive_class_is_read_and_never_inferred(tmp_path: Path) -> None:
    classes = {"classes": ["Healthy", "Ill"], "positive": "Healthy"}
    predictor = Predictor.load(make_bundle(tmp_path, classes=classes))
    assert predictor.predict(phantom(220)).prediction == "Healthy"
    with pytest.raises(ReleaseError, match="positive None"):
        Predictor.load(make_bundle(tmp_path / "b", classes={"classes": ["A", "B"]}))


def test_a_folder_that_is_no_bundle_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="no readable SHA256SUMS"):
        Predictor.load(tmp_path)
    (tmp_path / "SHA256SUMS").write_text(json.dumps({}))
    with pytest.raises(ReleaseError, match="no hash and name"):
        Predictor.load(tmp_path)
