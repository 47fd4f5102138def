"""A batch killed at any moment goes on and ends as one that was never disturbed, byte for byte."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ml_tasks.batch_scoring import assemble_batch, plan_batch, score_shard
from ml_tasks.errors import RunBusy, ScoringError
from ml_tasks.scoring.place import BatchPlace
from tests.counts import cases
from tests.scoring.batches import Toy, write_films


def test_killed_anywhere_it_goes_on_and_comes_to_the_same_tables(tmp_path: Path) -> None:
    """No image is lost, and none is scored twice but for the chunk that was in flight."""
    kills = cases(6, 10_000)
    words = [sys.executable, "-m", "tests.scoring.killed_batches", str(tmp_path), str(kills)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    outcome = json.loads(done.stdout.splitlines()[-1])
    assert outcome["problems"] == []
    assert sum(outcome["landed"].values()) == min(kills, outcome["steps"])
    assert {"score", "assemble"} <= set(outcome["landed"]), outcome


def test_two_processes_never_score_the_same_shard(toy: Toy, tmp_path: Path) -> None:
    """A task that Airflow has given up may live on while its next try begins."""
    plan_batch(toy.config, write_films(tmp_path / "films", 6), "b")
    with (
        BatchPlace(toy.config.paths.scoring, "b").owned("shard-0"),
        pytest.raises(RunBusy, match="another process still works on shard-0 of the batch b"),
    ):
        score_shard(toy.config, "b", 0)
    assert score_shard(toy.config, "b", 0) == 4


def test_an_altered_chunk_is_named_and_scored_anew_once_it_is_removed(
    toy: Toy, tmp_path: Path
) -> None:
    plan_batch(toy.config, write_films(tmp_path / "films", 6), "b")
    for shard in (0, 1):
        score_shard(toy.config, "b", shard)
    rows = BatchPlace(toy.config.paths.scoring, "b").rows(1)
    rows.write_bytes(rows.read_bytes().replace(b'"Negative"', b'"Positive"'))
    with pytest.raises(ScoringError, match=r"0000001\.jsonl cannot be used .*altered.* remove it"):
        assemble_batch(toy.config, "b")
    assert not (toy.config.paths.scoring / "b").exists()
    rows.unlink()
    with pytest.raises(ScoringError, match=r"1 of 2 chunks .* for the shard\(s\) 1"):
        assemble_batch(toy.config, "b")
    assert score_shard(toy.config, "b", 1) == 2
    assert assemble_batch(toy.config, "b").classes == {"Positive": 0, "Negative": 5}


def test_a_chunk_of_another_plan_is_refused(toy: Toy, tmp_path: Path) -> None:
    films = write_films(tmp_path / "films", 4)
    for name in ("one", "two"):
        plan_batch(toy.with_scoring(shards=1), films, name)
        score_shard(toy.config, name, 0)
    scoring = toy.config.paths.scoring
    one, two = (BatchPlace(scoring, name) for name in ("one", "two"))
    two.rows(0).write_bytes(one.rows(0).read_bytes())
    with pytest.raises(ScoringError, match="it is of another plan"):
        assemble_batch(toy.config, "two")
