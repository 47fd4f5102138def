"""The production model is scored through its own release, or the gate learns why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml_tasks.dataset.manifest import IndexRow, read_rows
from ml_tasks.dataset.training_data import ImageRef, write_training_data
from ml_tasks.errors import DataError, ReleaseError
from ml_tasks.evaluation.champion_scores import compare_with_champion
from ml_tasks.evaluation.comparison import Comparison
from ml_tasks.evaluation.performance import Answers
from ml_tasks.imaging.spec import ImageSpec
from ml_tasks.inference.predictor import Predictor
from ml_tasks.records import PreprocessRecord, Split
from ml_tasks.release.champion import Champion, note_champion
from ml_tasks.release.production import training_data_of
from ml_tasks.storage import sha256_file
from tests.toy_run import CLASSES, METRICS, ToyRun, make_bundle, make_toy_run


@pytest.fixture
def toy(tmp_path: Path) -> ToyRun:
    return make_toy_run(tmp_path / "toy")


def crown(toy: ToyRun, **changes: Any) -> Path:
    """Puts a toy release in production, that was trained on nothing of this run."""
    bundle = make_bundle(toy.config.paths.releases.parent, **changes)
    version = bundle.parent.name
    note_champion(toy.run, Champion(version=version, digest="d", registry=None, proof="toy"))
    write_training_data(training_data_of(bundle.parent.parent, version), version, [])
    return bundle


def rows_of(toy: ToyRun) -> list[IndexRow]:
    index = read_rows(toy.run.stage("preprocess") / "index.csv", IndexRow)
    return [row for row in index if row.split is Split.TEST]


def answers(toy: ToyRun) -> Answers:
    """A challenger that finds every second positive."""
    rows = rows_of(toy)
    labels = np.array([row.label == "Positive" for row in rows])
    scores = np.where(labels, 0.4, 0.1) + 0.5 * (np.arange(len(rows)) % 4 == 1)
    return Answers(labels, scores, [row.patient for row in rows], [""] * len(rows))


def compared(toy: ToyRun) -> Comparison | None:
    return compare_with_champion(
        toy.run, toy.config.paths.releases, rows_of(toy), answers(toy), 0.5, seed=1
    )


def image(file: str, patient: str, split: Split) -> ImageRef:
    return ImageRef(file, "Positive", patient, split, patient * 3, np.zeros((64, 64), np.int8))


def test_without_a_champion_there_is_nothing_to_compare_with(toy: ToyRun) -> None:
    assert compared(toy) is None


def test_the_champion_answers_by_its_own_release_on_the_raw_files(toy: ToyRun) -> None:
    bundle = crown(toy, metrics={**METRICS, "threshold": 0.9})
    found = compared(toy)
    assert found is not None and not found.refused
    assert (found.version, found.digest) == (bundle.parent.name, "d")
    predictor, rows = Predictor.load(bundle), rows_of(toy)
    said = [predictor.predict((toy.config.paths.raw / row.raw).read_bytes()) for row in rows]
    positive = np.array([row.label == "Positive" for row in rows])
    hit = np.array([each.prediction == "Positive" for each in said])
    assert found.champion["sensitivity"].value == hit[positive].mean()
    assert found.champion["specificity"].value == (~hit[~positive]).mean()
    own = answers(toy).scores >= 0.5
    assert found.difference["sensitivity"].value == pytest.approx(
        own[positive].mean() - hit[positive].mean()
    )


def test_a_champion_that_saw_a_test_patient_is_refused(
    toy: ToyRun, caplog: pytest.LogCaptureFixture
) -> None:
    """Its figures on her would be too good, and a better model would lose to it.

    The reason ships in metrics.json and decision.json, and the service tells it: it names nobody.
    """
    bundle = crown(toy)
    patient = rows_of(toy)[0].patient
    _say_what_this_run_holds(toy, [image("a.png", patient, Split.TEST)])
    path = training_data_of(bundle.parent.parent, bundle.parent.name)
    for split, refused in ((Split.TRAIN, True), (Split.VAL, True), (Split.TEST, False)):
        write_training_data(path, "V", [image("then.png", patient, split)])
        found = compared(toy)
        assert found is not None and bool(found.refused) is refused
        if refused:
            assert "trained with 1 of the test patients" in found.refused
            assert patient not in found.model_dump_json() and patient in caplog.text
            assert "restore the split ledger" in found.refused and not found.difference


def _say_what_this_run_holds(toy: ToyRun, images: list[ImageRef]) -> None:
    folder = toy.run.stage("preprocess")
    write_training_data(folder / "training_data.npz", toy.run.run_id, images)
    found = sha256_file(folder / "training_data.npz")
    record = toy.run.load(PreprocessRecord)
    toy.run.seal(folder, record.model_copy(update={"training_data_sha256": found}))


def test_a_champion_of_other_classes_is_refused(toy: ToyRun) -> None:
    crown(toy, classes={**CLASSES, "classes": ["Benign", "Malignant"], "positive": "Malignant"})
    found = compared(toy)
    assert found is not None
    assert found.refused == "it tells Malignant from Benign, this run tells Positive from Negative"
    crown(toy, classes={**CLASSES, "positive": "Negative"})
    found = compared(toy)
    assert found is not None and found.refused.startswith("it tells Negative from Positive")


def test_a_champion_that_cannot_read_a_test_film_is_refused(toy: ToyRun) -> None:
    crown(toy, spec=ImageSpec(max_megapixels=0.01))
    found = compared(toy)
    assert found is not None and "it refuses one of the test films" in found.refused


def test_a_champion_whose_release_or_training_data_cannot_be_trusted_is_an_error(
    toy: ToyRun,
) -> None:
    bundle = crown(toy)
    training_data_of(bundle.parent.parent, bundle.parent.name).unlink()
    with pytest.raises(DataError, match="cannot be read as training data"):
        compared(toy)
    (bundle / "model.onnx").chmod(0o644)
    (bundle / "model.onnx").write_bytes(b"another model")
    with pytest.raises(ReleaseError, match=r"altered since it was sealed: model\.onnx"):
        compared(toy)
