"""What people do in Airflow, each deed as a request, and the table of who may do it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.deployment.access import DAG, EVERYBODY, Access

RUNS = f"/api/v2/dags/{DAG}/dagRuns"
COLUMNS = {"anonymous": "no login", "nora": "no role"}
Ask = Callable[[Access, str], tuple[str, str, Any]]


@dataclass(frozen=True)
class Deed:
    """One thing to do; `done` are the answers to whoever may do it."""

    words: str
    ask: Ask
    done: tuple[int, ...] = (200,)


def _get(path: str) -> Ask:
    return lambda access, who: ("GET", path, None)


def _change(method: str, path: str, body: Any) -> Ask:
    return lambda access, who: (method, path, body)


def _trigger(access: Access, who: str) -> tuple[str, str, Any]:
    return "POST", RUNS, {"logical_date": None, "conf": {}, "dag_run_id": f"by_{who}"}


def _clear(access: Access, who: str) -> tuple[str, str, Any]:
    body = {"dag_run_id": access.run(f"cleared_by_{who}"), "task_ids": ["gate"]}
    again = {"dry_run": False, "only_failed": False}
    return "POST", f"/api/v2/dags/{DAG}/clearTaskInstances", {**body, **again}


def _end(access: Access, who: str) -> tuple[str, str, Any]:
    return "PATCH", f"{RUNS}/{access.run(f'ended_by_{who}')}", {"state": "failed"}


def _delete(access: Access, who: str) -> tuple[str, str, Any]:
    return "DELETE", f"{RUNS}/{access.run(f'deleted_by_{who}')}", None


def _decide(access: Access, who: str) -> tuple[str, str, Any]:
    answer = {"chosen_options": ["Approve"], "params_input": {"reason": "figures are good"}}
    return "PATCH", access.ask(access.run(f"decided_by_{who}")), answer


def _announce(access: Access, who: str) -> tuple[str, str, Any]:
    assets = access.as_("alma").get("/api/v2/assets").json()["assets"]
    new_data = next(each["id"] for each in assets if each["name"] == "mammography_new_data")
    return "POST", "/api/v2/assets/events", {"asset_id": new_data, "extra": {}}


def _connection(access: Access, who: str) -> tuple[str, str, Any]:
    return "POST", "/api/v2/connections", {"connection_id": f"of_{who}", "conn_type": "http"}


def _variable(access: Access, who: str) -> tuple[str, str, Any]:
    return "POST", "/api/v2/variables", {"key": f"of_{who}", "value": "1"}


def _user(access: Access, who: str) -> tuple[str, str, Any]:
    body = {"username": f"made_by_{who}", "email": f"made_by_{who}@localhost", "first_name": "m"}
    more = {
        "last_name": "-",
        "password": "a password of some length",
        "roles": [{"name": "Viewer"}],
    }
    return "POST", "/auth/fab/v1/users", {**body, **more}


_POOL = {"pool": "gpu", "slots": 1, "include_deferred": False}
DEEDS = (
    Deed("read the pages: models, results, reports, audit log", _get("/mammography/models")),
    Deed("see DAGs, runs and tasks", _get(RUNS)),
    Deed(
        "read the logs of tasks",
        _get(f"{RUNS}/nowhere/taskInstances/gate/logs/1"),
        (404,),  # of a run that is not there
    ),
    Deed("see what waits for a decision", _get("/api/v2/dags/~/dagRuns/~/hitlDetails")),
    Deed("see pools", _get("/api/v2/pools")),
    Deed("trigger a run, with a form or without", _trigger),
    Deed("clear a task, so that it runs again", _clear),
    Deed("end a run", _end),
    Deed("pause a DAG and let it go on", _change("PATCH", f"/api/v2/dags/{DAG}", {"is_paused": 1})),
    Deed("decide whether a model ships", _decide),
    Deed("say by hand that new data are there", _announce),
    Deed("delete a run and its logs", _delete, (204,)),
    Deed("change the slots of a pool", _change("PATCH", "/api/v2/pools/gpu", _POOL)),
    Deed("see connections (mail, chat)", _get("/api/v2/connections")),
    Deed("change connections", _connection, (201,)),
    Deed("see variables", _get("/api/v2/variables")),
    Deed("change variables", _variable, (201,)),
    Deed("read who did what in Airflow", _get("/api/v2/eventLogs")),
    Deed("see accounts", _get("/auth/fab/v1/users")),
    Deed("add and remove accounts", _user, (200, 201)),
)


def may(access: Access, deed: Deed, who: str) -> bool:
    """Whether this person may do it, as the server answers it; any other answer is an error."""
    method, path, body = deed.ask(access, who)
    answer = access.as_(who).request(method, path, json=body)
    refused = 401 if who == "anonymous" else 403
    assert answer.status_code in (*deed.done, refused), f"{who}, {deed.words}: {answer.text[:400]}"
    return answer.status_code != refused


def table(access: Access) -> str:
    """Who may what, as Markdown: every cell was tried."""
    from tests.deployment.access_server import PEOPLE

    heads = [COLUMNS.get(who) or PEOPLE[who] for who in EVERYBODY]
    lines = [f"| | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    for deed in DEEDS:
        cells = ["yes" if may(access, deed, who) else "–" for who in EVERYBODY]
        lines.append(f"| {deed.words} | {' | '.join(cells)} |")
    return "\n".join(lines)
