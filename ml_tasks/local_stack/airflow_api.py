"""Airflow's REST interface, as far as the demo and the tests use it."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import datetime
from pathlib import PurePosixPath
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx
from pydantic import BaseModel

from ml_tasks.errors import StackError

ENDED = frozenset({"success", "failed"})
TASK_ENDED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
_ASKED_AGAIN = 3  # times, a second after one another
_PARTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")


class DagRun(BaseModel):
    """One run of a DAG."""

    dag_run_id: str
    state: str
    run_type: str = "manual"
    start_date: datetime | None = None
    end_date: datetime | None = None
    conf: dict[str, Any] | None = None

    @property
    def ended(self) -> bool:
        return self.state in ENDED


class TaskInstance(BaseModel):
    """One task of a run, with its latest try."""

    task_id: str
    map_index: int = -1  # of a shard; -1 where there are none
    state: str | None = None
    try_number: int = 0
    start_date: datetime | None = None
    end_date: datetime | None = None
    duration: float | None = None
    queue: str | None = None
    pool: str | None = None
    hostname: str | None = None  # of the worker that runs it

    @property
    def name(self) -> str:
        """The task's id, with the number of the shard after the first."""
        return f"{self.task_id}[{self.map_index}]" if self.map_index > 0 else self.task_id

    @property
    def ended(self) -> bool:
        return self.state in TASK_ENDED


class LogLine(BaseModel):
    """One line of a task's log; `reason` comes with a skip, `error_detail` with an exception."""

    event: str
    logger: str = ""
    level: str = "info"
    timestamp: datetime | None = None
    reason: str | None = None
    error_detail: list[dict[str, Any]] | None = None

    @property
    def own(self) -> bool:
        """Whether this project wrote it, its stages or its tasks, not Airflow or a library."""
        return self.logger.startswith(("ml_tasks", "operators"))

    def __str__(self) -> str:
        text = self.event if self.reason is None else f"{self.event} {self.reason}"
        for error in self.error_detail or ():
            text += f"\n{error.get('exc_type')}: {error.get('exc_value')}"
        return text


class AirflowApi:
    """A logged-in client; a refusal is a StackError with the status and the server's reason."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url
        self.user = user
        self.password = password
        # A proxy of the environment has no business between two processes of one machine.
        self._client = httpx.Client(base_url=url, timeout=60, trust_env=False)
        self._token: str | None = None

    def __enter__(self) -> AirflowApi:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def unhealthy(self) -> list[str]:
        """The parts of Airflow that are not healthy; all of them while nothing answers."""
        try:
            answer = self._client.get("/api/v2/monitor/health", timeout=5)
        except httpx.HTTPError:
            return ["api-server", *_PARTS]
        if answer.status_code != 200:
            return ["api-server", *_PARTS]
        health = answer.json()
        return [part for part in _PARTS if health.get(part, {}).get("status") != "healthy"]

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Any request below /api/v2, with the login; the answer is given back as it is."""
        if self._token is None:
            self._token = self._login()
        answer = self._send(method, path, options)
        if answer.status_code == 401:
            self._token = self._login()
            answer = self._send(method, path, options)
        return answer

    def call(self, method: str, path: str, **options: Any) -> Any:
        """The JSON of a request that must succeed; None where there is no content.

        Raises:
            StackError: Airflow refused or did not answer.
        """
        try:
            answer = self._settled(method, path, options)
        except httpx.HTTPError as error:
            raise StackError(f"Airflow at {self.url} does not answer: {error}") from error
        if answer.is_error:
            raise StackError(
                f"Airflow answered {answer.status_code} to {method} {path}: {_reason(answer)}"
            )
        return answer.json() if answer.content else None

    def ensure_pool(self, name: str, slots: int, description: str) -> None:
        """Makes a pool unless it exists: a task in a missing pool is never scheduled."""
        if self.request("GET", f"/pools/{name}").status_code == 404:
            body = {"name": name, "slots": slots, "description": description}
            self.call("POST", "/pools", json=body)

    def wait_for_dag(self, dag_id: str, seconds: float = 120.0) -> None:
        """Returns once Airflow has read the DAG.

        Raises:
            StackError: it has an import error, which is quoted, or does not appear in time.
        """
        deadline = time.monotonic() + seconds
        while self.request("GET", f"/dags/{dag_id}").status_code != 200:
            errors = self.call("GET", "/importErrors")["import_errors"]
            for error in errors:
                name = PurePosixPath(error["filename"]).name
                raise StackError(f"Airflow cannot read {name}:\n{error['stack_trace']}")
            if time.monotonic() > deadline:
                raise StackError(f"Airflow has not found the DAG {dag_id} in {seconds:.0f} s")
            time.sleep(0.5)

    def pause(self, dag_id: str, paused: bool = True) -> None:
        """Pauses a DAG, or lets it run: new DAGs are paused, and their runs stay queued."""
        self.call("PATCH", f"/dags/{dag_id}", json={"is_paused": paused})

    def trigger(self, dag_id: str, conf: dict[str, Any], run_id: str | None = None) -> DagRun:
        """Starts a run as the web page does."""
        body: dict[str, Any] = {"logical_date": None, "conf": conf}
        if run_id is not None:
            body["dag_run_id"] = run_id
        return DagRun.model_validate(self.call("POST", f"/dags/{dag_id}/dagRuns", json=body))

    def runs(self, dag_id: str, limit: int = 20) -> list[DagRun]:
        """The runs of a DAG, the latest first."""
        path = f"/dags/{dag_id}/dagRuns"
        found = self.call("GET", path, params={"limit": limit, "order_by": "-id"})
        return [DagRun.model_validate(run) for run in found["dag_runs"]]

    def run(self, dag_id: str, run_id: str) -> DagRun:
        """One run as it stands."""
        return DagRun.model_validate(self.call("GET", _run_path(dag_id, run_id)))

    def mark_run(self, dag_id: str, run_id: str, state: str) -> None:
        """Sets a run to `success` or `failed`; its running tasks are ended."""
        self.call("PATCH", _run_path(dag_id, run_id), json={"state": state})

    def delete_run(self, dag_id: str, run_id: str) -> None:
        """Removes a run from Airflow; the files of the run stay."""
        self.call("DELETE", _run_path(dag_id, run_id))

    def tasks(self, dag_id: str, run_id: str) -> list[TaskInstance]:
        """The task instances of a run."""
        found = self.call("GET", f"{_run_path(dag_id, run_id)}/taskInstances")
        return [TaskInstance.model_validate(task) for task in found["task_instances"]]

    def log(self, dag_id: str, run_id: str, task: TaskInstance) -> list[LogLine]:
        """The lines of a task's latest try as the web page shows them, without folding marks."""
        if task.try_number == 0:
            return []
        path = f"{_run_path(dag_id, run_id)}/taskInstances/{task.task_id}/logs/{task.try_number}"
        params = {"full_content": True, "map_index": task.map_index}
        content = self.call("GET", path, params=params)["content"]
        entries = [entry for entry in content if isinstance(entry, dict)]
        lines = [LogLine.model_validate(entry) for entry in entries if entry.get("timestamp")]
        return [line for line in lines if not line.event.startswith("::")]

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """What a task returned."""
        path = f"{_run_path(dag_id, run_id)}/taskInstances/{task_id}/xcomEntries/{key}"
        return self.call("GET", path, params={"deserialize": "false"})["value"]

    def assets(self) -> list[dict[str, Any]]:
        """The assets that Airflow knows, each with id, name and uri."""
        found: list[dict[str, Any]] = self.call("GET", "/assets")["assets"]
        return found

    def post_asset_event(self, name: str, extra: dict[str, Any]) -> None:
        """Tells Airflow that an asset has changed: DAGs that wait for it run.

        Raises:
            StackError: no asset of this name is known.
        """
        ids = [asset["id"] for asset in self.assets() if asset["name"] == name]
        if not ids:
            raise StackError(f"Airflow knows no asset {name!r}")
        self.call("POST", "/assets/events", json={"asset_id": ids[0], "extra": extra})

    def _settled(self, method: str, path: str, options: dict[str, Any]) -> httpx.Response:
        """Who only asks, asks again where Airflow was busy: its SQLite locks out readers, too."""
        for _ in range(_ASKED_AGAIN if method == "GET" else 0):
            with suppress(httpx.TimeoutException, httpx.RemoteProtocolError, httpx.ReadError):
                answer = self.request(method, path, **options)
                if answer.status_code < 500:
                    return answer
            time.sleep(1)
        return self.request(method, path, **options)

    def _send(self, method: str, path: str, options: dict[str, Any]) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._token}"}
        return self._client.request(method, f"/api/v2{path}", headers=headers, **options)

    def _login(self) -> str:
        body = {"username": self.user, "password": self.password}
        answer = self._client.post("/auth/token", json=body)
        if answer.is_error:
            raise StackError(f"Airflow refused the login of {self.user}: {_reason(answer)}")
        return str(answer.json()["access_token"])


def _run_path(dag_id: str, run_id: str) -> str:
    return f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"


def _reason(answer: httpx.Response) -> str:
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return answer.text[:500]
    return detail if isinstance(detail, str) else str(detail)
