"""The phantoms that a release is tested with again: always the same, and able to tell."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from ml_tasks.errors import ReleaseError
from ml_tasks.inference.predictor import Predictor
from ml_tasks.release.phantom_samples import phantom_samples
from tests.toy_run import make_bundle, make_toy_bundle, write_onnx


def test_the_phantoms_are_the_same_each_time_and_answered_as_the_bundle_answers(
    tmp_path: Path,
) -> None:
    predictor = Predictor.load(make_toy_bundle(tmp_path))
    first, again = (phantom_samples(predictor, 4) for _ in range(2))
    assert [sample.data() for sample in first] == [sample.data() for sample in again]
    assert [sample.expected for sample in first] == [sample.expected for sample in again]
    for sample in first:
        assert predictor.predict(sample.data()).probability == sample.expected.probability
    assert len({sample.expected.probability for sample in first}) == 4


def test_a_release_that_answers_every_phantom_alike_proves_nothing(tmp_path: Path) -> None:
    """Any image that says this one number would pass."""
    bundle = make_bundle(tmp_path, write_model=partial(write_onnx, slope=0.0))
    with pytest.raises(ReleaseError, match="different phantoms the same probability"):
        phantom_samples(Predictor.load(bundle), 4)
