"""When there is drift and when not: of like images, of moved ones, of too few."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance

from ml_tasks.errors import ChampionError, DriftError, StorageError
from ml_tasks.monitoring.chance import chance_distances
from ml_tasks.monitoring.comparison import scores_like_service
from ml_tasks.monitoring.reference import reference_of
from ml_tasks.monitoring.verdict import DriftReport, DriftVerdict, read_report, read_reports
from ml_tasks.watch_drift import watch_drift
from tests.counts import cases
from tests.monitoring.service_images import (
    DARKER,
    NOW,
    Scene,
    lines,
    make_scene,
    reference_rows,
    write_lines,
)


def watch(scene: Scene, run_id: str = "scheduled__1") -> DriftReport:
    return watch_drift(scene.config, NOW, run_id, ask_registry=False)


def served(scene: Scene, text: list[str]) -> DriftReport:
    write_lines(scene.config.paths.statistics, text)
    return watch(scene)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return make_scene(tmp_path)


@pytest.mark.parametrize("seed", range(cases(3, 40)))
def test_like_images_are_no_drift(scene: Scene, seed: int) -> None:
    report = served(scene, lines(scene.version, 400, seed))
    assert report.verdict is DriftVerdict.NO_DRIFT, report.summary()
    assert [rule.passed for rule in report.rules] == [True, True]
    assert report.reason.startswith("0 of 10 figures of the pictures have drifted, a share of 0.00")


def test_images_of_another_scanner_are_drift(scene: Scene) -> None:
    report = served(scene, lines(scene.version, 400, moved=DARKER))
    assert report.verdict is DriftVerdict.DRIFT
    assert report.summary().startswith("DRIFT: 5 of 10 figures of the pictures (mean, deviation, ")
    assert report.summary().endswith("have drifted, a share of 0.50, which is above 0.3")
    moved = next(each for each in report.figures if each.name == "mean")
    assert moved.distance == pytest.approx(1.0, abs=0.15), "one standard deviation"
    assert moved.now - moved.before == pytest.approx(20, abs=4)


def test_one_figure_alone_is_no_drift(scene: Scene) -> None:
    report = served(scene, lines(scene.version, 400, moved={"edges": 2.0}))
    assert report.verdict is DriftVerdict.NO_DRIFT
    assert [each.name for each in report.figures if each.drifted] == ["edges"]


def test_scores_alone_that_moved_are_drift(scene: Scene) -> None:
    report = served(scene, lines(scene.version, 400, positive_share=0.05))
    assert report.verdict is DriftVerdict.DRIFT
    assert report.reason.startswith("the probabilities lie ")
    assert "which is above" in report.reason and ";" not in report.reason


def test_a_screening_has_fewer_positives_and_is_no_drift_once_that_is_told(tmp_path: Path) -> None:
    scene = make_scene(tmp_path, reference=3000, positive_share=0.05)
    report = served(scene, lines(scene.version, 400, positive_share=0.05))
    assert report.verdict is DriftVerdict.NO_DRIFT, report.summary()


@pytest.mark.parametrize("share", [0.006, 0.2, 0.5, 0.9])
def test_the_reference_scores_have_the_share_that_was_told(share: float) -> None:
    rows = [
        row.model_copy(update={"probability": float(row.positive)}) for row in reference_rows(3000)
    ]
    told = scores_like_service(rows, share)
    assert told.mean() == pytest.approx(share, abs=0.01)
    assert len(told) > 400


def test_few_images_move_the_limit_not_the_verdict(scene: Scene) -> None:
    """A hundred images of 25 patients differ by more than 0.2 deviations though nothing changed."""
    report = served(scene, lines(scene.version, 100))
    assert report.verdict is DriftVerdict.NO_DRIFT
    assert all(each.limit == each.by_chance > 0.4 for each in report.figures)
    assert "(raised from 0.2: so few images differ by chance)" in report.reason
    assert served(scene, lines(scene.version, 100, moved=DARKER)).drift


def test_pictures_of_the_same_patients_are_seldom_a_false_alarm() -> None:
    """Four like pictures a patient: counted one by one, they would often be an alarm."""
    alarms, runs = {1: 0, 4: 0}, cases(20, 200)
    for seed in range(runs):
        generator = np.random.default_rng(seed)
        own, now = _of_patients(500, generator), _of_patients(30, generator)
        distances = [
            wasserstein_distance(a, b) / a.std() for a, b in zip(own.T, now.T, strict=True)
        ]
        for each in alarms:
            limits = np.maximum(0.2, chance_distances(own, now, each, seed))
            alarms[each] += bool((distances > limits).mean() > 0.3)
    assert alarms[4] <= runs // 50
    assert alarms[1] > alarms[4]


def _of_patients(count: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Figures (4 count, 10): what patients have in common is 70 % of the variance."""
    patients = generator.normal(size=(count, 1, 10)) + generator.normal(size=(count, 1, 1))
    own = generator.normal(size=(count, 4, 10)) + generator.normal(size=(count, 4, 1))
    return np.asarray(np.sqrt(0.7) * patients + np.sqrt(0.3) * own).reshape(-1, 10)


def test_too_few_images_give_no_verdict_and_say_how_many(scene: Scene) -> None:
    text = lines(scene.version, 99) + lines("another", 7) + ["nothing"]
    report = served(scene, text)
    assert report.verdict is DriftVerdict.TOO_FEW
    assert report.reason == (
        f"99 of 100 images of {scene.version} in 7 days; left out: 7 of other releases, "
        "1 not the service's"
    )
    folder = scene.config.paths.drift / "2026-03-10"
    assert sorted(path.name for path in folder.iterdir()) == ["summary.html", "verdict.json"]


def test_no_statistics_at_all_says_where_they_are_looked_for(scene: Scene) -> None:
    report = watch(scene)
    assert report.verdict is DriftVerdict.TOO_FEW
    assert "MAMMO_STATISTICS" in report.reason
    assert str(scene.config.paths.statistics) in report.reason


def test_a_service_that_has_fallen_silent_is_said_aloud(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """Else a dead service, or a full disk of its own, looks like a quiet week."""
    report = served(scene, lines(scene.version, 300, at=NOW - timedelta(days=30)))
    assert report.verdict is DriftVerdict.TOO_FEW
    assert "300 older; not one: does the service run" in report.reason
    assert caplog.records[-1].levelname == "WARNING"
    report = served(scene, lines(scene.version, 300, at=NOW + timedelta(days=30)))
    assert "300 later than this run (is a clock wrong?)" in report.reason


def test_words_that_are_no_utf8_and_tags_are_shown_as_text(scene: Scene) -> None:
    entry = {**json.loads(lines(scene.version, 1)[0]), "format": "\ud800<b>", "quality": ["\ud800"]}
    report = served(scene, [json.dumps(entry)])
    assert report.formats == {"\\ud800<b>": 1}
    page = (scene.config.paths.drift / "2026-03-10" / "summary.html").read_text()
    assert "ud800&lt;b&gt;" in page


def test_only_the_window_and_the_release_in_production_count(scene: Scene) -> None:
    text = lines(scene.version, 300, moved=DARKER, at=NOW - timedelta(days=8))
    text += lines("20250101T000000Z-000000000000", 300, moved=DARKER)
    report = served(scene, text + lines(scene.version, 300, seed=5))
    assert report.verdict is DriftVerdict.NO_DRIFT
    assert (report.counts.images, report.counts.earlier, report.counts.other_version) == (
        300, 300, 300,
    )  # fmt: skip


def test_a_release_of_before_is_told_apart_without_an_error(tmp_path: Path) -> None:
    scene = make_scene(tmp_path, reference=0)
    report = served(scene, lines(scene.version, 300))
    assert report.verdict is DriftVerdict.UNKNOWN
    assert "was released before releases kept what drift is told by" in report.reason
    assert "until the next release" in report.reason


def test_nothing_in_production_is_told_without_an_error(tmp_path: Path, scene: Scene) -> None:
    (scene.config.paths.releases / "ledger.jsonl").unlink()
    report = watch(scene)
    assert (report.verdict, report.version) == (DriftVerdict.UNKNOWN, None)
    assert "no model is in production" in report.reason


def test_an_altered_release_is_an_error(scene: Scene) -> None:
    (scene.bundle / "metrics.json").write_text("{}")
    with pytest.raises(ChampionError, match="cannot be compared with"):
        watch(scene)


@pytest.mark.parametrize("content", [b"", b"split,positive\ntrain,maybe\n", b"\xff\xfe\x00"])
def test_a_damaged_reference_says_what_to_do(scene: Scene, content: bytes) -> None:
    reference_of(scene.config.paths.releases, scene.version).write_bytes(content)
    with pytest.raises(DriftError, match="clear\n? ?build_image"):
        watch(scene)


def test_too_few_own_scores_leave_the_figures(tmp_path: Path) -> None:
    scene = make_scene(tmp_path, reference=45)
    report = served(scene, lines(scene.version, 300))
    assert report.score is None
    assert "the probabilities were not compared: the release keeps only 15" in report.reason


def test_a_run_again_replaces_its_own_day_and_nothing_else(scene: Scene) -> None:
    served(scene, lines(scene.version, 300, moved=DARKER))
    folder = scene.config.paths.drift / "2026-03-10"
    other = scene.config.paths.drift / "2026-03-09"
    other.mkdir()
    (other / "mine").write_text("x")
    (folder / "suggestion.json").write_text("{}")
    assert served(scene, lines(scene.version, 10)).verdict is DriftVerdict.TOO_FEW
    assert sorted(path.name for path in folder.iterdir()) == ["summary.html", "verdict.json"]
    assert read_report(folder).counts.images == 10
    assert [each.day for each in read_reports(scene.config.paths.drift)] == ["2026-03-10"]
    assert (other / "mine").read_text() == "x"


def test_a_folder_that_is_not_ours_is_left_alone(scene: Scene) -> None:
    folder = scene.config.paths.drift / "2026-03-10"
    folder.mkdir(parents=True)
    (folder / "mine").write_text("x")
    with pytest.raises(StorageError, match="not written by this stage"):
        watch(scene)
    assert (folder / "mine").read_text() == "x"


def test_the_summary_tells_the_verdict_and_loads_nothing(scene: Scene) -> None:
    report = served(scene, lines(scene.version, 300, moved=DARKER))
    folder = scene.config.paths.drift / "2026-03-10"
    page = (folder / "summary.html").read_text()
    assert report.summary() in page
    assert 'href="report.html"' in page
    assert "<script" not in page and "http" not in page
    assert "warning unlike_training" in page and "10.0 %" in page
    told = json.loads((folder / "verdict.json").read_text())
    assert told["verdict"] == "DRIFT"
