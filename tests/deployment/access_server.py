"""`python -m tests.deployment.access_server HOME PORT PASSWORDS`: Airflow with the stack's login.

Its app, its login and its rights are those of the stack; only what runs tasks is left out, and the
database is SQLite. PASSWORDS: a JSON object of the accounts' passwords by their names.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from ml_tasks.local_stack.airflow import AirflowSettings, write_environment
from tests.conftest import PROJECT
from tests.plugins.pages_server import serve, served

PEOPLE = {"vera": "viewer", "otto": "operator", "alma": "admin"}
NOBODY = "nora"  # an account without any role
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
    with served(command, environment, log, lambda: _answers(settings.url)):
        yield environment


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/v2/version", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def main(home: Path, port: int, passwords: Mapping[str, str]) -> None:
    """Sets up as the stack's first service does, and serves until it is ended."""
    from access import setup
    from access.accounts import accounts
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
    serve(home, port)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3]))
