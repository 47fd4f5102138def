"""`mammo batch_scoring` as a user types it: exit status, words, where the results lie."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ml_tasks.config import save_config
from tests.scoring.batches import Toy, write_films


def typed(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs `mammo batch_scoring <words>` as a shell would."""
    command = [sys.executable, "-m", "ml_tasks.cli", "batch_scoring", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)


def test_the_exit_status_tells_whether_every_image_has_an_answer(toy: Toy, tmp_path: Path) -> None:
    save_config(toy.config, tmp_path / "config.yaml")
    films, out = write_films(tmp_path / "films", 4), tmp_path / "out"
    words = ("--config", tmp_path / "config.yaml", "--folder", films, "--output", out)
    done = typed(*words)
    assert done.returncode == 0, done.stderr
    (batch,) = out.iterdir()
    assert f"if it is stopped, --name {batch.name} goes on with it" in done.stderr
    assert f"{batch}/summary.html" in done.stderr
    assert done.stderr.splitlines()[-1].endswith("0 could not be scored")
    (films / "notes").write_text("no image")
    done = typed(*words, "--name", "march")
    assert done.returncode == 3, done.stderr
    assert done.stderr.splitlines()[-1].endswith("1 could not be scored")


def test_a_refusal_is_a_sentence_and_no_traceback(toy: Toy, tmp_path: Path) -> None:
    save_config(toy.config, tmp_path / "config.yaml")
    done = typed("--config", tmp_path / "config.yaml", "--folder", tmp_path / "nowhere")
    assert done.returncode == 1
    assert "DataError: there is no folder" in done.stderr and "Traceback" not in done.stderr
