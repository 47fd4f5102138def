"""One film alone and films side by side: two sessions of the same model, the same answers."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ml_tasks.inference import scorer
from ml_tasks.inference.predictor import Predictor
from ml_tasks.serving.loading import LoadingRelease
from tests.toy_run import METRICS, make_bundle, phantom
from tests.waiting import PATIENCE


def loaded(bundle: Path) -> LoadingRelease:
    release = LoadingRelease(bundle)
    release.start()
    deadline = time.monotonic() + PATIENCE
    while release.predictor is None or not release.complete:
        assert not release.broken, release.reason
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return release


def test_films_side_by_side_are_answered_as_one_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scorer, "processors", lambda: 2)
    release = loaded(make_bundle(tmp_path))
    alone, beside = release.predictor, release.side_by_side
    assert isinstance(alone, Predictor) and isinstance(beside, Predictor)
    assert release.for_films(alone, 1) is alone
    assert release.for_films(alone, 2) is beside
    for brightness in range(40, 200, 20):
        film = phantom(brightness)
        assert alone.judge(film).answer == beside.judge(film).answer


def test_on_one_processor_there_is_one_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scorer, "processors", lambda: 1)
    release = loaded(make_bundle(tmp_path))
    assert release.side_by_side is None and release.predictor is not None
    assert release.for_films(release.predictor, 5) is release.predictor


def test_a_release_that_is_altered_while_it_loads_is_not_loaded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What was verified goes on serving; the altered file never does."""
    monkeypatch.setattr(scorer, "processors", lambda: 2)
    bundle = make_bundle(tmp_path)
    warm_up = scorer.Scorer.warm_up

    def altering(self: scorer.Scorer) -> None:
        warm_up(self)
        (bundle / "model.onnx").chmod(0o644)
        (bundle / "model.onnx").write_bytes(b"something else")

    monkeypatch.setattr(scorer.Scorer, "warm_up", altering)
    release = loaded(bundle)
    assert release.side_by_side is None
    assert release.predictor is not None and release.for_films(release.predictor, 2).judge(
        phantom(90)
    )
    assert "was altered after it was loaded" in caplog.text


def test_another_release_in_the_folder_never_answers_in_the_name_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is whole, so its hashes alone would not tell."""
    monkeypatch.setattr(scorer, "processors", lambda: 2)
    for name in ("other", "first"):
        (tmp_path / name).mkdir()
    other = make_bundle(tmp_path / "other", metrics={**METRICS, "threshold": 0.9})
    place = tmp_path / "release"
    place.symlink_to(make_bundle(tmp_path / "first"))
    warm_up = scorer.Scorer.warm_up

    def exchanging(self: scorer.Scorer) -> None:
        warm_up(self)
        place.unlink()
        place.symlink_to(other)

    monkeypatch.setattr(scorer.Scorer, "warm_up", exchanging)
    release = loaded(place)
    assert release.side_by_side is None and "was altered after it was loaded" in caplog.text
