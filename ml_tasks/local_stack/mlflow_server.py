"""MLflow's page on this machine, over the database that the runs are noted in."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from ml_tasks.config import Config
from ml_tasks.local_stack import processes
from ml_tasks.local_stack.ports import require_free
from ml_tasks.local_stack.terminal import step
from ml_tasks.tracking.place import Place, environment_for_mlflow, place_of

PROCESS = "mlflow"


def ensure_mlflow(
    state: Path,
    config: Config,
    port: int,
    environment: Mapping[str, str] = os.environ,
    say: Callable[[str], None] = step,
) -> str | None:
    """The address of MLflow's page, which is started if it does not run; None if it is not wanted.

    Where runs are noted at a server, that server has the page. Nothing waits for it to come up.

    Raises:
        StackError: the port is taken; the process that holds it is named.
    """
    if not config.tracking.enabled:
        return None
    place = place_of(config, environment)
    if place.artifacts is None:
        return place.shown
    command = server_command(place, port)
    address = f"http://localhost:{port}"
    running = processes.running(state, PROCESS)
    if running is not None and running.command == tuple(command):
        return address
    processes.stop(state, PROCESS)
    require_free(port, "MLFLOW_PORT")
    if place.database is not None:
        place.database.parent.mkdir(parents=True, exist_ok=True)
    # MLflow's own jobs (traces of language models) would be four more processes.
    quiet = {**environment_for_mlflow(environment), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    processes.start(state, PROCESS, command, env=quiet)
    say(f"MLflow is starting at {address}")
    return address


def server_command(place: Place, port: int) -> list[str]:
    """MLflow's server on this machine alone; it refuses requests under any other host's name."""
    assert place.artifacts is not None, "a server needs no second one"
    program = Path(sys.executable).absolute().parent / "mlflow"
    return [
        *(str(program), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", place.uri),
        *("--artifacts-destination", place.artifacts.as_uri()),
        *("--allowed-hosts", f"localhost:{port},127.0.0.1:{port}"),
    ]
