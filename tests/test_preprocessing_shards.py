"""Shards, ledger, certificate: the same set however shared out, nothing leaks, nobody moves."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ml_tasks.config import CleaningConfig, Config
from ml_tasks.dataset.manifest import IndexRow, read_rows
from ml_tasks.errors import DataError, StageOrderError
from ml_tasks.preprocessing import assemble_cleaned, clean_shard, plan_cleaning, preprocess
from ml_tasks.records import PreprocessRecord, Split
from ml_tasks.release.champion import Champion, note_champion
from ml_tasks.release.production import keep_training_data
from ml_tasks.run_paths import RunPaths
from tests.builders import encoded, film, toy_config, validated, write_csv, write_raw
from tests.counts import cases

NAMED = ("record.json", "training_data.npz", "leakage.json", "leakage.html", "report.html")
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    made = toy_config(tmp_path)
    write_raw(made.paths.raw)
    return made


def started(config: Config, run_id: str = "r") -> RunPaths:
    run = RunPaths(config.paths.runs, run_id)
    validated(run, config)
    return run


def content(run: RunPaths) -> dict[str, bytes]:
    """Every file of the cleaned set but those that name the run or its plan."""
    folder = run.stage("preprocess")
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in NAMED
    }


def index_of(run: RunPaths) -> dict[str, IndexRow]:
    rows = read_rows(run.stage("preprocess") / "index.csv", IndexRow)
    return {row.raw: row for row in rows}


@pytest.mark.parametrize("shards", [2, 3, 7, 100])
def test_any_number_of_shards_gives_the_same_set_byte_for_byte(config: Config, shards: int) -> None:
    """Else two machines would train another model than one."""
    run = started(config)
    preprocess(run, config)
    expected = content(run)
    shutil.rmtree(run.root / "clean_shard")
    many = config.model_copy(update={"cleaning": CleaningConfig(shards=shards)})
    plan = plan_cleaning(run, many)
    assert plan.shards == min(shards, 20)
    order = list(range(plan.shards))
    random.Random(shards).shuffle(order)
    for shard in order:
        clean_shard(run, many, shard)
    assemble_cleaned(run, many)
    assert content(run) == expected


def test_a_missing_shard_or_one_of_another_plan_is_refused(config: Config) -> None:
    two = config.model_copy(update={"cleaning": CleaningConfig(shards=2)})
    run = started(config)
    plan_cleaning(run, two)
    clean_shard(run, two, 0)
    with pytest.raises(StageOrderError, match="clean_shard 0001 is not complete"):
        assemble_cleaned(run, two)
    with pytest.raises(StageOrderError, match="there is no shard 2; plan_cleaning made 2"):
        clean_shard(run, two, 2)
    clean_shard(run, two, 1)
    plan_cleaning(run, config)
    with pytest.raises(StageOrderError, match="made from an earlier attempt of plan_cleaning"):
        assemble_cleaned(run, config)


def test_nobody_changes_the_split_when_data_come_and_go(config: Config) -> None:
    first = started(config, "first")
    preprocess(first, config)
    write_raw(config.paths.raw, patients=44, number_from=0)
    (config.paths.raw / "Positive" / "P007.png").unlink()
    write_csv(
        config.paths.raw / "metadata.csv",
        [
            {"file": f"{label}/P{number:03}.png", "patient_id": f"P{number:03}"}
            for number in range(44)
            for label in [("Negative", "Positive")[number % 2]]
        ],
    )
    second = started(config, "second")
    preprocess(second, config)
    before, after = index_of(first), index_of(second)
    assert len(after) == 43
    assert all(after[raw].split is row.split for raw, row in before.items() if raw in after)


def test_a_guessed_patient_stays_when_its_file_is_renamed_or_saved_again(tmp_path: Path) -> None:
    """Nobody knows whose film it is, but it is the same film: it must not change sides."""
    config = toy_config(tmp_path)
    write_raw(config.paths.raw, patients=30, metadata=False)
    first = started(config, "first")
    preprocess(first, config)
    before = index_of(first)
    raw = config.paths.raw
    (raw / "Positive" / "P001.png").rename(raw / "Positive" / "renamed.png")
    # Sorted before the old one, so that it leads the group of near-duplicates.
    (raw / "Positive" / "A.jpg").write_bytes(encoded(film(3, lesion=True), "JPEG", quality=90))
    second = started(config, "second")
    preprocess(second, config)
    after = index_of(second)
    assert after["Positive/renamed.png"].split is before["Positive/P001.png"].split
    assert after["Positive/A.jpg"].patient == before["Positive/P003.png"].patient
    assert after["Positive/A.jpg"].split is after["Positive/P003.png"].split


def split_files(config: Config) -> tuple[str, str]:
    """A file of the training split and one of the test split, of one class."""
    run = started(config, "look")
    preprocess(run, config)
    by_split = {row.split: row.raw for row in index_of(run).values() if row.label == "Positive"}
    return by_split[Split.TRAIN], by_split[Split.TEST]


def test_a_film_that_is_in_training_and_test_fails_the_run_and_is_shown(config: Config) -> None:
    trained, tested = split_files(config)
    raw = config.paths.raw
    number = int(Path(trained).stem[1:])
    (raw / tested).write_bytes(encoded(film(number, lesion=True), "JPEG", quality=80))
    run = started(config)
    ledger = (config.paths.splits / "ledger.jsonl").read_bytes()
    with pytest.raises(DataError, match="the test figures would be too good") as refusal:
        preprocess(run, config)
    assert trained in str(refusal.value) and tested in str(refusal.value)
    assert "give the files of one patient the same patient_id" in str(refusal.value)
    page = (run.stage("plan_cleaning") / "leakage.html").read_text()
    assert trained in page and tested in page and page.count("data:image/png;base64") >= 2
    found = json.loads((run.stage("plan_cleaning") / "leakage.json").read_text())
    assert found["clean"] is False
    assert (config.paths.splits / "ledger.jsonl").read_bytes() == ledger
    assert not run.stage("preprocess").exists()
    with pytest.raises(DataError, match="LEAKAGE"):
        clean_shard(run, config, 0)


def test_test_films_that_trained_the_production_model_fail_the_run(config: Config) -> None:
    """A lost ledger and another key would let the old training films judge the new model."""
    write_raw(config.paths.raw, patients=60)
    run = started(config, "old")
    preprocess(run, config)
    bundle = config.paths.releases / "20260102T030405Z-abc" / "bundle"
    bundle.mkdir(parents=True)
    keep_training_data(bundle, run.stage("preprocess") / "training_data.npz")
    champion = Champion(version=bundle.parent.name, digest="sha256:1", registry=None, proof="toy")
    again = started(config, "same ledger")
    note_champion(again, champion)
    preprocess(again, config)
    assert again.load(PreprocessRecord).certificate.startswith("no leakage")
    assert bundle.parent.name in again.load(PreprocessRecord).certificate
    (config.paths.splits / "ledger.jsonl").unlink()
    other = config.model_copy(
        update={"split": config.split.model_copy(update={"key": "another key"})}
    )
    new = started(other, "new")
    note_champion(new, champion)
    with pytest.raises(DataError, match=r"what trained production 20260102T030405Z-abc can"):
        preprocess(new, other)


def test_another_key_is_refused_with_the_remedy(config: Config) -> None:
    preprocess(started(config), config)
    other = config.model_copy(
        update={"split": config.split.model_copy(update={"key": "another key"})}
    )
    with pytest.raises(DataError, match="restore the setting, or start a new ledger"):
        preprocess(started(other, "new"), other)


def test_killed_at_any_moment_a_rerun_ends_like_an_uninterrupted_run(tmp_path: Path) -> None:
    """SIGKILL leaves no time to tidy up: what stands there must be whole or not there."""
    kills = cases(8, 100)
    done = subprocess.run(
        [sys.executable, "-m", "tests.killed_stages", str(tmp_path), str(kills)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["kills"] == kills
    assert sum(found["landed"].values()) >= 0.9 * kills, found
    assert all(found["landed"].values()), found  # reading, validation, plan, shards, assembly
    assert found["problems"] == []
