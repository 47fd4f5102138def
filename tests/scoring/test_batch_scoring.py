"""A folder through plan, score and assemble: a row for each image, by one release, or an error."""

from __future__ import annotations

import csv
import json
import os
import subprocess
from pathlib import Path

import pytest

from ml_tasks.batch_scoring import assemble_batch, plan_batch, score_folder, score_shard
from ml_tasks.config import Config
from ml_tasks.errors import DataError, ReleaseError, ScoringError, StorageError
from ml_tasks.inference.answer import Quality
from ml_tasks.inference.predictor import Predictor
from ml_tasks.pages.scoring_summary import QUALITY
from ml_tasks.release.ledger import Move, note_move
from ml_tasks.scoring.place import LONGEST_NAME, BatchPlace, name_from
from tests.builders import encoded, fill, film, small_disk
from tests.release.registry_server import holding
from tests.scoring.batches import DIGEST, Toy, toy_release, write_films
from tests.toy_run import make_bundle


def table(config: Config, name: str = "b") -> list[dict[str, str]]:
    path = config.paths.scoring / name / "predictions.csv"
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_image_has_the_answer_that_the_service_gives_bit_for_bit(
    toy: Toy, tmp_path: Path
) -> None:
    films = write_films(tmp_path / "films", 9)
    summary = score_folder(toy.config, films, "b")
    rows = table(toy.config)
    assert [row["file"] for row in rows] == sorted(
        path.relative_to(films).as_posix() for path in films.rglob("*.png")
    )
    predictor = Predictor.load(toy.bundle)
    for row in rows:
        assert row["version"] == toy.version and row["positive_class"] == "Positive"
        if row["error_code"]:
            continue
        judged = predictor.judge((films / row["file"]).read_bytes())
        assert float(row["probability"]) == judged.prediction.probability
        assert row["class"] == judged.prediction.prediction
        assert float(row["threshold"]) == judged.prediction.threshold
        assert row["quality_warnings"] == ";".join(w.code for w in judged.answer.quality)
    assert (summary.plan.images, summary.scored, summary.errors) == (9, 8, {"unreadable": 1})


def test_one_shard_or_many_one_thread_or_many_give_the_same_tables(
    toy: Toy, tmp_path: Path
) -> None:
    films, found = write_films(tmp_path / "films", 13), set()
    for shards, threads, chunk in ((1, 1, 100), (3, 2, 2), (50, 1, 5)):
        name = f"b-{shards}"
        config = toy.with_scoring(shards=shards, threads=threads, chunk=chunk)
        plan = plan_batch(config, films, name)
        for shard in reversed(range(plan.shards)):
            score_shard(config, name, shard)
        assemble_batch(config, name)
        found.add((toy.config.paths.scoring / name / "predictions.csv").read_bytes())
    assert len(found) == 1


def test_a_damaged_film_and_what_is_no_image_are_rows_with_the_reason(
    toy: Toy, tmp_path: Path
) -> None:
    films = tmp_path / "films"
    films.mkdir()
    (films / "good.png").write_bytes(encoded(film(1)))
    (films / "empty.png").touch()
    (films / "letter").write_bytes(b"dear colleague")
    (films / "out.png").symlink_to("/etc/hostname")
    (films / os.fsdecode(b"\xff.png")).write_bytes(b"x")
    (films / "tables.csv").write_text("a,b")
    summary = score_folder(toy.config, films, "b")
    assert {row["file"]: row["error_code"] for row in table(toy.config)} == {
        "good.png": "",
        "empty.png": "empty",
        "letter": "not_an_image",
        "out.png": "no_file",
        "\\udcff.png": "not_an_image",
    }
    assert summary.plan.left_out == {"tables and texts": 1}
    page = (toy.config.paths.scoring / "b" / "summary.html").read_text()
    for word in ("tables.csv", "letter", "not_an_image", toy.version, DIGEST):
        assert word in page


def test_what_changes_after_the_plan_is_told_and_what_comes_is_not_in_it(
    toy: Toy, tmp_path: Path
) -> None:
    films = write_films(tmp_path / "films", 4, deep=False)
    plan_batch(toy.config, films, "b")
    (films / "film-00000.png").write_bytes(encoded(film(9)) + b"more")
    (films / "film-00001.png").unlink()
    (films / "film-00009.png").write_bytes(encoded(film(9)))
    score_folder(toy.config, films, "b")
    assert {row["file"]: row["error_code"] for row in table(toy.config)} == {
        "film-00000.png": "changed",
        "film-00001.png": "missing",
        "film-00002.png": "",
        "film-00003.png": "",
    }


def test_a_batch_stays_with_its_release_when_production_moves(tmp_path: Path) -> None:
    with toy_release(tmp_path) as toy:
        films = write_films(tmp_path / "films", 4)
        plan_batch(toy.config, films, "b")
        other = "sha256:" + "2" * 64
        newer = make_bundle(tmp_path, metrics={"threshold": 0.1, "calibration": _CALIBRATION})
        move = Move(
            version=newer.parent.name,
            digest=other,
            reference="r",
            moved_at="t",
            digest_before=DIGEST,
        )
        note_move(toy.config.paths.releases, move)
        with holding(other) as registry:
            release = toy.config.release.model_copy(update={"registry": registry.address})
            moved = toy.config.model_copy(update={"release": release})
            summary = score_folder(moved, films, "b")
    assert {row["version"] for row in table(toy.config)} == {toy.version}
    assert {row["threshold"] for row in table(toy.config)} == {"0.5"}
    assert summary.production.same is False
    assert summary.production.text.startswith(f"{newer.parent.name} is in production by now")
    page = (toy.config.paths.scoring / "b" / "summary.html").read_text()
    assert f'<p class="warn">{newer.parent.name} is in production by now' in page


def test_a_registry_that_is_away_at_the_end_loses_no_result(tmp_path: Path) -> None:
    with toy_release(tmp_path) as toy:
        plan = plan_batch(toy.config, write_films(tmp_path / "films", 4), "b")
        for shard in range(plan.shards):
            score_shard(toy.config, "b", shard)
    summary = assemble_batch(toy.config, "b")  # the registry has ended
    assert summary.production.same is None
    assert "could not be told" in summary.production.text
    assert summary.scored == 4


def test_the_page_knows_every_quality_warning() -> None:
    assert set(QUALITY) == set(Quality)


_CALIBRATION = {"temperature": 1.0, "prior_shift": 0.0}


def test_without_a_release_in_production_nothing_is_scored(tmp_path: Path) -> None:
    with toy_release(tmp_path / "a") as toy, holding(None) as registry:
        release = toy.config.release.model_copy(update={"registry": registry.address})
        paths = toy.config.paths.model_copy(update={"releases": tmp_path / "none"})
        config = toy.config.model_copy(update={"release": release, "paths": paths})
        with pytest.raises(ScoringError, match="nothing is in production .* run the retraining"):
            plan_batch(config, write_films(tmp_path / "films", 2), "b")


def test_a_release_that_was_altered_scores_nothing(toy: Toy, tmp_path: Path) -> None:
    plan_batch(toy.config, write_films(tmp_path / "films", 2), "b")
    model = toy.bundle / "model.onnx"
    model.chmod(0o644)
    model.write_bytes(model.read_bytes() + b"x")
    with pytest.raises(ReleaseError, match=r"altered since it was sealed: model\.onnx"):
        score_shard(toy.config, "b", 0)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../b", "a/b", "/tmp/b", ".hidden", "-b", "a b", "a\n", "b" * 121, "ü"]
)
def test_a_name_is_a_folder_right_there_or_none(toy: Toy, tmp_path: Path, name: str) -> None:
    with pytest.raises(ScoringError, match="a batch cannot be called"):
        plan_batch(toy.config, write_films(tmp_path / "films", 1), name)
    assert not toy.config.paths.scoring.exists()


def test_each_run_has_a_name_of_its_own() -> None:
    runs = ["manual__2026-01-02T03:04:05+00:00", "manual__2026-01-02T03_04_05_00_00", "x" * 250]
    runs += ["x" * 249 + "y", "../../etc", ".", ""]
    names = [name_from(run) for run in runs]
    assert len({BatchPlace(Path("/s"), name).finished for name in names}) == len(runs)
    assert all(len(name) <= LONGEST_NAME for name in names)


def test_a_folder_that_cannot_be_scored_is_refused_with_the_remedy(
    toy: Toy, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "labels.csv").touch()
    for folder, says in (
        (tmp_path / "nowhere", "there is no folder .*nowhere; name the folder"),
        (empty, r"holds no image \(left out: 1 tables and texts\)"),
        (Path("films"), "is no absolute path; begin it with /"),
        (tmp_path, "lie within each other"),
        (toy.config.paths.scoring, "lie within each other"),
    ):
        with pytest.raises(DataError, match=says):
            plan_batch(toy.config, folder, "b")
    assert not (toy.config.paths.scoring / ".b.work").exists()


def test_the_name_of_another_batch_is_refused_and_that_batch_kept(toy: Toy, tmp_path: Path) -> None:
    first, second = (write_films(tmp_path / name, 3) for name in ("first", "second"))
    plan_batch(toy.config, first, "b")
    with pytest.raises(ScoringError, match="has begun with another folder, .*first"):
        plan_batch(toy.config, second, "b")
    score_folder(toy.config, first, "b")
    before = (toy.config.paths.scoring / "b" / "predictions.csv").read_bytes()
    with pytest.raises(ScoringError, match="is finished, and was of other files"):
        plan_batch(toy.config, second, "b")
    score_folder(toy.config, first, "b")  # the same again: nothing to do
    (first / "new.png").write_bytes(b"x")
    with pytest.raises(ScoringError, match="is finished, and was of other files"):
        plan_batch(toy.config, first, "b")
    assert (toy.config.paths.scoring / "b" / "predictions.csv").read_bytes() == before


def test_a_foreign_folder_of_that_name_is_left_alone(toy: Toy, tmp_path: Path) -> None:
    (toy.config.paths.scoring / "b").mkdir(parents=True)
    (toy.config.paths.scoring / "b" / "letter").write_text("mine")
    with pytest.raises(ScoringError, match="stands there, but is no finished batch"):
        plan_batch(toy.config, write_films(tmp_path / "films", 1), "b")
    assert (toy.config.paths.scoring / "b" / "letter").read_text() == "mine"


def test_a_batch_without_one_answer_is_loud(toy: Toy, tmp_path: Path) -> None:
    """The wrong folder would else end green."""
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "a.png").write_bytes(b"no image")
    for _ in range(2):  # a second try must not turn it green
        with pytest.raises(DataError, match=r"not one of 1 images could be scored \(not_an_image"):
            score_folder(toy.config, tmp_path / "films", "b")
    assert table(toy.config)[0]["error_code"] == "not_an_image"


def test_a_full_disk_keeps_what_is_scored_and_the_batch_goes_on(toy: Toy, tmp_path: Path) -> None:
    films = write_films(tmp_path / "films", 12)
    with small_disk(tmp_path / "disk", 256) as disk:
        paths = toy.config.paths.model_copy(update={"scoring": disk / "scoring"})
        config = toy.config.model_copy(update={"paths": paths})
        plan_batch(config, films, "b")
        score_shard(config, "b", 0)
        fill(disk)
        with pytest.raises(StorageError, match="no space left"):
            score_shard(config, "b", 1)
        (disk / "filler").unlink()
        score_shard(config, "b", 1)
        fill(disk)
        with pytest.raises(StorageError, match="no space left while writing .*scoring/b"):
            assemble_batch(config, "b")
        assert not (disk / "scoring" / "b").exists()
        (disk / "filler").unlink()
        assert assemble_batch(config, "b").plan.images == 12
        assert [path.name for path in (disk / "scoring").iterdir()] == ["b"]


def test_a_place_that_cannot_be_written_is_named(toy: Toy, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64) as disk:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        paths = toy.config.paths.model_copy(update={"scoring": disk / "scoring"})
        config = toy.config.model_copy(update={"paths": paths})
        with pytest.raises(StorageError, match="cannot be written .* name another folder"):
            plan_batch(config, write_films(tmp_path / "films", 1), "b")


def test_the_page_shows_hostile_names_as_text(toy: Toy, tmp_path: Path) -> None:
    films = write_films(tmp_path / "films", 2)
    (films / "<script>alert(1)<|script>.png").write_bytes(b"x")
    score_folder(toy.config, films, "b")
    folder = toy.config.paths.scoring / "b"
    page = (folder / "summary.html").read_text()
    assert "&lt;script&gt;alert(1)" in page and "<script" not in page
    assert "Research use" in page and "http" not in page
    summary = json.loads((folder / "summary.json").read_bytes())
    assert sum(summary["histogram"]) == summary["scored"] == 2
