"""A real `airflow standalone` started by the local stack: healthy, private, with both pools."""

from __future__ import annotations

import dataclasses
import socket
from typing import TYPE_CHECKING

import httpx
import pytest

from ml_tasks.errors import StackError
from ml_tasks.local_stack import processes
from ml_tasks.local_stack.airflow import POOLS, ensure_airflow, login
from ml_tasks.local_stack.airflow_api import AirflowApi
from ml_tasks.local_stack.demo import DAG_ID
from tests.airflow.runs import PATIENCE

if TYPE_CHECKING:
    from tests.conftest import LocalAirflow


def test_every_part_is_healthy_and_the_dag_is_read(airflow: LocalAirflow) -> None:
    assert airflow.api.unhealthy() == []
    airflow.api.wait_for_dag(DAG_ID, PATIENCE)


def test_the_pools_exist_with_one_slot(airflow: LocalAirflow) -> None:
    """A task in a pool that does not exist is never scheduled."""
    pools = {pool["name"]: pool["slots"] for pool in airflow.api.call("GET", "/pools")["pools"]}
    assert {name: pools.get(name) for name in POOLS} == dict.fromkeys(POOLS, 1)


def test_nothing_is_shown_without_a_login(airflow: LocalAirflow) -> None:
    url = f"{airflow.settings.url}/api/v2/dags"
    answer = httpx.get(url, timeout=PATIENCE, trust_env=False)
    assert answer.status_code == 401


def test_a_wrong_password_is_refused(airflow: LocalAirflow) -> None:
    wrong = AirflowApi(airflow.settings.url, "admin", "admin")
    with wrong as api, pytest.raises(StackError, match="refused the login of admin"):
        api.call("GET", "/dags")


def test_secrets_are_for_this_user_only(airflow: LocalAirflow) -> None:
    for name in ("secrets.json", "environment.json", "simple_auth_manager_passwords.json"):
        assert (airflow.settings.home / name).stat().st_mode & 0o077 == 0, name
    log = (airflow.settings.state / "logs" / "airflow.log").read_text()
    assert login(airflow.settings)[1] not in log


def test_a_running_airflow_is_used_again(airflow: LocalAirflow) -> None:
    before = processes.running(airflow.settings.state, "airflow")
    with ensure_airflow(airflow.settings) as api:
        assert api.unhealthy() == []
    assert processes.running(airflow.settings.state, "airflow") == before


def test_a_taken_port_is_named_before_the_running_one_is_ended(airflow: LocalAirflow) -> None:
    before = processes.running(airflow.settings.state, "airflow")
    with socket.create_server(("127.0.0.1", 0)) as server:
        moved = dataclasses.replace(airflow.settings, port=server.getsockname()[1])
        with pytest.raises(StackError, match="stop it or set AIRFLOW_PORT"):
            ensure_airflow(moved)
    assert processes.running(airflow.settings.state, "airflow") == before


def test_an_unknown_asset_is_named(airflow: LocalAirflow) -> None:
    with pytest.raises(StackError, match="knows no asset 'nothing'"):
        airflow.api.post_asset_event("nothing", {})
