"""`mammo watch_drift`: the comparison without Airflow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ml_tasks.cli import main
from ml_tasks.config import save_config
from ml_tasks.release.audit import Deed, read_audit
from tests.monitoring.service_images import DARKER, lines, make_scene, write_lines


def test_it_says_the_verdict_and_suggests_only_when_it_is_told_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It starts nothing, whatever config.yaml says: only the DAG can."""
    scene = make_scene(tmp_path, reference=300, retrain=True)
    save_config(scene.config, tmp_path / "config.yaml")
    at = datetime.now(UTC) - timedelta(days=10)
    write_lines(scene.config.paths.statistics, lines(scene.version, 200, moved=DARKER, at=at))
    command = ["watch_drift", "--config", str(tmp_path / "config.yaml")]
    assert main(command) == 0
    assert "TOO FEW: 0 of 100 images" in capsys.readouterr().out
    assert main([*command, "--days", "30"]) == 0
    assert "DRIFT: 5 of 10 figures" in capsys.readouterr().out
    assert read_audit(scene.config.paths.releases) == []
    assert main([*command, "--days", "30", "--suggest"]) == 0
    assert [each.deed for each in read_audit(scene.config.paths.releases)] == [
        Deed.RETRAINING_SUGGESTED
    ]
