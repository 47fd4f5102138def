"""The running Airflow of these tests: its people, their logins, and a question that waits."""

from __future__ import annotations

import re
import secrets
import sqlite3
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from ml_tasks.local_stack.airflow import AirflowSettings
from tests.deployment.access_server import NOBODY, PEOPLE
from tests.waiting import PATIENCE

DAG = "mammography_retraining"
EVERYBODY = ("anonymous", NOBODY, *PEOPLE)


@dataclass(frozen=True)
class Access:
    """An api-server with the stack's login."""

    settings: AirflowSettings
    passwords: dict[str, str]
    environment: dict[str, str]
    routes: list[tuple[str, list[str]]]
    people: dict[str, httpx.Client] = field(default_factory=dict)
    source: str | None = None  # the address that its clients come from

    @property
    def database(self) -> Path:
        return self.settings.home / "airflow.db"

    def client(self) -> httpx.Client:
        way = httpx.HTTPTransport(local_address=self.source)
        return httpx.Client(
            base_url=self.settings.url, timeout=PATIENCE, trust_env=False, transport=way
        )

    def token(self, name: str, password: str) -> httpx.Response:
        with self.client() as client:
            return client.post("/auth/token", json={"username": name, "password": password})

    def logged_in(self, name: str, password: str) -> httpx.Client:
        """A client with a token of this person."""
        given = self.token(name, password)
        assert given.status_code == 201, given.text
        client = self.client()
        client.headers["Authorization"] = f"Bearer {given.json()['access_token']}"
        return client

    def as_(self, name: str) -> httpx.Client:
        """A client of this person, or of nobody in particular."""
        if name not in self.people:
            anonymous = name == "anonymous"
            made = self.client() if anonymous else self.logged_in(name, self.passwords[name])
            self.people[name] = made
        return self.people[name]

    def login_page(self, name: str, password: str) -> tuple[httpx.Client, httpx.Response]:
        """What the form of the login page answers, and the client with its cookies."""
        client = self.client()
        page = client.get("/auth/login/").text
        token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
        assert token is not None, page
        form = {"username": name, "password": password, "csrf_token": token.group(1)}
        return client, client.post("/auth/login/", data=form)

    def run(self, run_id: str) -> str:
        """A new run that waits in the queue: nothing here runs tasks."""
        body: dict[str, Any] = {"logical_date": None, "dag_run_id": run_id, "conf": {}}
        made = self.as_("alma").post(f"/api/v2/dags/{DAG}/dagRuns", json=body)
        assert made.status_code == 200, made.text
        return run_id

    def ask(self, run_id: str) -> str:
        """The address of a question of the task `approve`, put as the operator puts it."""
        address = f"/api/v2/dags/{DAG}/dagRuns/{run_id}/taskInstances/approve"
        key = uuid.UUID(self.as_("alma").get(address).json()["id"]).hex
        with sqlite3.connect(self.database, timeout=PATIENCE) as database:
            _question(database, key)
        return f"{address}/-1/hitlDetails"


def _question(database: sqlite3.Connection, key: str) -> None:
    values: dict[str, Any] = {
        "ti_id": key,
        "options": '["Approve", "Reject"]',
        "subject": "Shall this model ship?",
        "defaults": '["Reject"]',
        "multiple": 0,
        "params": '{"reason": {"value": "", "schema": {"type": "string"}}}',
        "params_input": "{}",
        "assignees": "[]",
        "created_at": "2026-01-02 03:04:05.000000",
    }
    names, marks = ", ".join(values), ", ".join("?" * len(values))
    database.execute(f"INSERT INTO hitl_detail ({names}) VALUES ({marks})", list(values.values()))
    database.execute("UPDATE task_instance SET state = 'awaiting_input' WHERE id = ?", [key])


def new_passwords() -> dict[str, str]:
    """Another password for everybody who has a login."""
    return {name: secrets.token_urlsafe(16) for name in (*PEOPLE, NOBODY, "admin")}
