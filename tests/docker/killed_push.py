"""`killed_push RUNS RUN AT`: push_model, killed right before its n-th step.

Requests to the registry go over one connection; what lies between two of them is met by cutting
that connection, see `RegistryProxy`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ml_tasks.config import load_config
from ml_tasks.push_model import push_model
from ml_tasks.release.engine import connect
from ml_tasks.run_paths import RunPaths
from tests.docker.killed_at_step import killed_at


def main(runs: str, run_id: str, at: str) -> int:
    """Gives the exit status, if it was let live."""
    run = RunPaths(Path(runs), run_id)
    config, client = load_config(run.config), connect()
    return killed_at(at, lambda: push_model(run, config, client))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3]))
