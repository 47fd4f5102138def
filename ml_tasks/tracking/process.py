"""Speaks to MLflow from a process of its own, which may be slow, loud or hang without any harm.

MLflow's import takes 4 s and 180 MB, its database migrations set up logging anew, and a server that
answers one byte a second outlives every time limit of a request: none of it may reach a stage.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ml_tasks.config import Config
from ml_tasks.tracking.outcome import Outcome
from ml_tasks.tracking.place import environment_for_mlflow, place_of, without_secrets


def register_apart(config: Config, run_ids: Sequence[str], seconds: float | None) -> Outcome:
    """Registers the runs in a child process, which is killed after `seconds` (None: never)."""
    order = {"config": config.model_dump(mode="json"), "runs": list(run_ids)}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "ml_tasks.tracking"],
            input=json.dumps(order),
            env=environment_for_mlflow(os.environ),
            capture_output=True,
            text=True,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        return _without_answer(config, f"it took longer than {seconds:.0f} s")
    except OSError as error:
        return _without_answer(config, f"{sys.executable} cannot be started: {error.strerror}")
    try:
        return Outcome.model_validate_json(done.stdout)
    except ValueError:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        return _without_answer(config, f"its process ended with status {done.returncode}: {last}")


def register_meanwhile(config: Config) -> Path:
    """Sets the alias right in a process that goes on by itself; gives the file of its outcome.

    Whoever has to go back must not wait 8 s for MLflow's start. `mammo track` does the same, seen.
    """
    order = {"config": config.model_dump(mode="json"), "runs": []}
    outcome = config.paths.runs / ".tracking-alias.json"
    outcome.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile("w+") as inbox, outcome.open("w") as outbox:
        inbox.write(json.dumps(order))
        inbox.seek(0)
        subprocess.Popen(
            [sys.executable, "-m", "ml_tasks.tracking"],
            stdin=inbox,
            stdout=outbox,
            stderr=subprocess.DEVNULL,
            env=environment_for_mlflow(os.environ),
            start_new_session=True,  # the terminal may close, or get a Ctrl-C
        )
    return outcome


def _without_answer(config: Config, reason: str) -> Outcome:
    reason = without_secrets(reason, os.environ)
    return Outcome(where=place_of(config, os.environ).shown, unreachable=reason)
