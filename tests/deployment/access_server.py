"""`python -m tests.deployment.access_server HOME PORT PASSWORDS`: Airflow with the stack's login.

Its app, its login and its rights are those of the stack; only what runs tasks is left out, and the
database is SQLite. PASSWORDS: a JSON object of the accounts' passwords by their names.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from ml_tasks.local_stack.airflow import AirflowSettings, write_environment
from tests.conftest import PROJECT

PEOPLE = {"vera": "viewer", "otto": "operator", "alma": "admin"}
NOBODY = "nora"  # an account without any role
SECONDS = 240
FAB = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
OF_THE_STACK = {
    "AIRFLOW__CORE__AUTH_MANAGER": FAB,
    "AIRFLOW__FAB__CONFIG_FILE": str(PROJECT / "dags" / "access" / "webserver_config.py"),
}


@contextmanager
def access_server(
    settings: AirflowSettings, passwords: Mapping[str, str]
) -> Iterator[dict[str, str]]:
    """A running api-server with an account of each role and one of none; its environment."""
    admin = {"AIRFLOW_ADMIN_PASSWORD": passwords["admin"]}
    environment = {**write_environment(settings), **OF_THE_STACK, **admin}
    environment["PYTHONPATH"] = f"{PROJECT}:{PROJECT / 'dags'}"
    log = settings.state / "access_server.log"
    people = {name: passwords[name] for name in (*PEOPLE, NOBODY)}
    where = [str(settings.state), str(settings.port), json.dumps(people)]
    command = [sys.executable, "-m", "tests.deployment.access_server", *where]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=output, cwd=PROJECT
        )
    try:
        deadline = time.monotonic() + SECONDS
        while not _answers(settings.url):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.2)
        yield environment
    finally:
        process.terminate()
        process.wait(30)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/v2/version", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def main(home: Path, port: int, passwords: Mapping[str, str]) -> None:
    """Sets up as the stack's first service does, and serves until it is ended."""
    from access import setup
    from access.accounts import accounts
    from airflow.cli.cli_parser import get_parser
    from airflow.utils.db import initdb

    initdb()
    assert setup.main() == 0
    with accounts() as kept:
        for name, role in PEOPLE.items():
            kept.add(name, role, passwords[name])
        kept.add(NOBODY, "viewer", passwords[NOBODY])
        kept._manager.find_user(NOBODY).roles = []
        kept._manager.session.commit()
        # What somebody gave by hand on the page goes at the next start.
        manager = kept._manager
        given = manager.create_permission("can_create", "DAG Runs")
        manager.add_permission_to_role(manager.find_role("Viewer"), given)
        kept.set_roles()
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
    main(Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3]))
