"""The running Airflow: whether its parts are healthy and the two pools have the right slots."""

from __future__ import annotations

import json
from collections.abc import Mapping

import httpx
from pydantic import Field

from ml_tasks.doctor.findings import Finding, note, ok, to_mend
from ml_tasks.doctor.place import Place
from ml_tasks.errors import StackError
from ml_tasks.local_stack import processes
from ml_tasks.local_stack.airflow import POOLS, PROCESS, USER
from ml_tasks.local_stack.airflow_api import AirflowApi
from ml_tasks.records import Record

NAME, HEALTH = "pools", "Airflow"
_BY_HAND = "airflow pools list` shows them; `airflow pools set"


class PoolFacts(Record):
    """What the Airflow of `make demo` answers; `running` is False where there is none."""

    running: bool = False
    elsewhere: bool = False  # another Airflow is set up here, whose login is not known
    refusal: str = ""
    unhealthy: tuple[str, ...] = ()
    slots: dict[str, int] = Field(default_factory=dict)


def look(place: Place) -> PoolFacts:
    """Asks the local stack's Airflow with its own login."""
    elsewhere = any(name.startswith("AIRFLOW__") for name in place.environment)
    if processes.running(place.state, PROCESS) is None:
        return PoolFacts(elsewhere=elsewhere)
    try:
        with _client(place) as api:
            unhealthy = api.unhealthy()
            slots = {} if "api-server" in unhealthy else _slots(api)
    except (OSError, KeyError, ValueError, StackError, httpx.HTTPError) as error:
        return PoolFacts(running=True, refusal=str(error))
    return PoolFacts(running=True, unhealthy=tuple(unhealthy), slots=slots)


def judge(facts: PoolFacts) -> list[Finding]:
    """A line for Airflow's parts and one for the pools, as far as it answers."""
    if not facts.running:
        if facts.elsewhere:
            words = "not looked at: the login of this Airflow is not known here"
            return [note(NAME, words, f"`{_BY_HAND} {next(iter(POOLS))} 1 ...` makes one")]
        return [ok(HEALTH, "not running here; `make demo` starts one and makes its pools")]
    if facts.refusal or facts.unhealthy:
        what = facts.refusal or f"not healthy: {', '.join(facts.unhealthy)}"
        return [to_mend(HEALTH, what, "see .local/logs/airflow.log; `make stop`, then `make demo`")]
    wrong = [
        finding for name in POOLS if (finding := _pool(name, facts.slots.get(name))) is not None
    ]
    shown = ", ".join(f"{name} {facts.slots.get(name)}" for name in POOLS)
    return [ok(HEALTH, "every part is healthy"), *(wrong or [ok(NAME, f"slots: {shown}")])]


def _pool(name: str, slots: int | None) -> Finding | None:
    command = f'airflow pools set {name} 1 "{POOLS[name]}"'
    if slots is None:
        return to_mend(NAME, f"there is no pool {name}: its tasks never start", command)
    if slots == 1:
        return None
    if name == "gpu" and slots > 1:
        words = f"{slots} trainings may run at once"
        return note(NAME, words, f"right for as many GPUs; else {command}")
    if slots == 0:
        return to_mend(NAME, f"the pool {name} has no slots: its tasks never start", command)
    return to_mend(NAME, f"{slots} releases may move `production` at once", command)


def _client(place: Place) -> AirflowApi:
    home = place.state.absolute() / "airflow"
    variables: Mapping[str, str] = json.loads((home / "environment.json").read_text())
    passwords = json.loads((home / "simple_auth_manager_passwords.json").read_text())
    return AirflowApi(variables["AIRFLOW__API__BASE_URL"], USER, str(passwords[USER]))


def _slots(api: AirflowApi) -> dict[str, int]:
    found = api.call("GET", "/pools")["pools"]
    return {str(pool["name"]): int(pool["slots"]) for pool in found}
