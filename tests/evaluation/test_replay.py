"""Replaying the gate: the last runs under other limits, nothing trained, nothing changed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from ml_tasks import cli
from ml_tasks.config import save_config
from ml_tasks.config_gate import GatePolicy
from ml_tasks.evaluation.replay import replay, table
from ml_tasks.gate import gate
from ml_tasks.records import EvaluationRecord
from tests.test_gate import evaluated
from tests.toy_run import ToyRun, around, make_toy_run


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two judged runs, evaluated one after the other: AUC 0.95, then 0.85."""
    for number, auc in enumerate((0.95, 0.85)):
        toy = evaluated(tmp_path / f"made {number}", {"auc": around(auc)})
        gate(toy.run, toy.config)
        _move(toy, tmp_path / "runs" / f"r{number}", f"r{number}", 1_800_000_000 + 3600 * number)
    return tmp_path / "runs"


def _move(toy: ToyRun, target: Path, run_id: str, moment: int) -> None:
    """The run under a name of its own; its records still name one another by hash."""
    target.parent.mkdir(exist_ok=True)
    toy.run.root.rename(target)
    path = target / "evaluate" / "record.json"
    record = EvaluationRecord.model_validate_json(path.read_bytes())
    path.write_text(record.model_copy(update={"run_id": run_id}).model_dump_json(indent=2))
    os.utime(path, (moment, moment))


def content(folder: Path) -> dict[str, tuple[str, float]]:
    return {
        str(path.relative_to(folder)): (
            hashlib.sha256(path.read_bytes()).hexdigest(),
            path.stat().st_mtime,
        )
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_last_runs_are_judged_anew_and_the_changed_rules_named(runs: Path) -> None:
    before = content(runs)
    latest, first = replay(runs, GatePolicy(min_auc=0.9, max_ece=None), 5)
    assert (latest.run_id, latest.then, latest.now) == ("r1", "PASS", "FAIL")
    assert latest.changed == ("min_auc PASS -> FAIL", "max_ece PASS -> no rule")
    assert (first.run_id, first.then, first.now) == ("r0", "PASS", "PASS")
    assert first.changed == ("max_ece PASS -> no rule",)
    assert content(runs) == before


def test_only_as_many_as_asked_for_the_latest_first(runs: Path) -> None:
    assert [row.run_id for row in replay(runs, GatePolicy(), 1)] == ["r1"]
    assert replay(runs / "none", GatePolicy(), 3) == []


def test_a_run_that_cannot_be_judged_says_why(runs: Path) -> None:
    (runs / "r1" / "evaluate" / "metrics.json").write_text("{}")
    (runs / "r0" / "champion.json").unlink()
    for row in replay(runs, GatePolicy(), 2):
        assert row.now == "cannot be judged"
    text = table(replay(runs, GatePolicy(), 2))
    assert "metrics.json is missing or was altered" in text
    assert "champion.json is missing or damaged" in text


def test_the_command_prints_a_line_for_each_run(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml_tasks.cli.log_to_terminal", lambda: None)
    config = make_toy_run(tmp_path / "other").config
    paths = config.paths.model_copy(update={"runs": runs})
    save_config(config.model_copy(update={"paths": paths}), tmp_path / "config.yaml")
    command = ["gate", "--config", str(tmp_path / "config.yaml")]
    before = content(runs)
    assert cli.main([*command, "--replay", "3", "--set", "gate.min_auc=0.84"]) == 0
    heading, latest, first = capsys.readouterr().out.splitlines()
    assert heading.split("  ")[0] == "run" and heading.endswith("rules that changed")
    assert latest.split() == [
        *("r1", "2027-01-15", "09:00", "PASS", "INCONCLUSIVE"),
        *("min_auc", "PASS", "->", "INCONCLUSIVE"),
    ]
    assert first.split() == ["r0", "2027-01-15", "08:00", "PASS", "PASS"]
    assert content(runs) == before
    assert cli.main([*command, "--replay", "3", "--set", "model.dropout=0.1"]) == 2
    assert "only gate.* can be set" in capsys.readouterr().err
    assert cli.main([*command, "--replay", "0"]) == 2
    with pytest.raises(SystemExit):
        cli.main([*command, "--replay", "3", "--run", "r"])
