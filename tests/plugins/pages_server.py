"""`python -m tests.plugins.pages_server HOME PORT`: Airflow's own api-server app with our plugin.

The app, the page, the login, the permissions, the DAGs as Airflow reads them and the loading of the
plugin are Airflow's; only what would run tasks is left out, so that it starts in seconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from ml_tasks.local_stack.airflow import AirflowSettings, write_environment
from tests.conftest import PROJECT
from tests.waiting import PATIENCE

_SECONDS = 240


@contextmanager
def api_server(settings: AirflowSettings) -> Iterator[list[tuple[str, list[str]]]]:
    """A running api-server; gives path and methods of each of the plugin's routes."""
    environment = {
        **write_environment(settings),
        "PYTHONPATH": os.pathsep.join([str(PROJECT), str(settings.project / "dags")]),
    }
    log = settings.state / "api_server.log"
    where = [str(settings.state), str(settings.port)]
    command = [sys.executable, "-m", "tests.plugins.pages_server", *where]
    with served(command, environment, log, lambda: _answers(settings.url)):
        yield json.loads((settings.state / "routes.json").read_text())


@contextmanager
def served(
    command: Sequence[str], environment: Mapping[str, str], log: Path, ready: Callable[[], bool]
) -> Iterator[None]:
    """A server that answers within the block, and is ended with it."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=output, cwd=PROJECT
        )
    try:
        deadline = time.monotonic() + _SECONDS
        while not ready():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/mammography/models", trust_env=False).status_code == 401
    except httpx.TransportError:
        return False


def main(home: Path, port: int) -> None:
    """Serves until it is ended; first writes the plugin's routes to HOME/routes.json."""
    from airflow.utils.db import initdb

    initdb()
    serve(home, port)


def serve(home: Path, port: int) -> None:
    """Airflow's app on a database that stands, with the DAGs read anew, until it is ended."""
    from airflow.cli.cli_parser import get_parser

    told = get_parser().parse_args(["dags", "reserialize"])
    told.func(told)
    import uvicorn
    from airflow.api_fastapi.app import create_app

    app: Any = create_app(apps="core")
    ours = next(route for route in app.routes if getattr(route, "path", "") == "/mammography")
    routes = [[route.path, sorted(route.methods)] for route in ours.app.routes]
    (home / "routes.json").write_text(json.dumps(routes))
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
