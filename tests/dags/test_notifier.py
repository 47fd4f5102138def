"""Notices by mail and webhook: off by default, sent by connection, never the end of a task."""

from __future__ import annotations

import asyncio
import importlib
import logging
from datetime import timedelta
from email import message_from_string
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml
from airflow.sdk import Connection
from airflow.triggers.callback import CallbackTrigger

from ml_tasks.local_stack.airflow import AirflowSettings, write_environment
from tests.dags.described import DAGS, describe
from tests.dags.receivers import mail_server, webhook

RUN = SimpleNamespace(dag_id="mammography_retraining", run_id="manual__1")
FAILED = {
    "dag_run": RUN,
    "ti": SimpleNamespace(task_id="train"),
    "exception": Exception("StorageError: /data/raw/Positive/Jane_Doe.png cannot be written"),
}
LATE = {
    "dag_run": {"dag_id": "mammography_retraining", "dag_run_id": "manual__1"},
    "deadline": {"id": "1", "deadline_time": "2026-01-05T03:00:00+00:00"},
}


@pytest.fixture
def notifier(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The module as Airflow imports it, with a config.yaml that names the connection `notices`."""
    monkeypatch.syspath_prepend(DAGS)
    monkeypatch.setenv("MAMMO_CONFIG", str(tmp_path / "config.yaml"))
    configure(tmp_path, "{connection: notices, to: [a@example.org, b@example.org]}")
    return importlib.import_module("operators.notifier")


def configure(folder: Path, section: str) -> None:
    (folder / "config.yaml").write_text(f"notifications: {section}\n")


def connect(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_NOTICES", address)


def test_a_failure_is_posted_without_what_the_error_says(
    notifier: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    with webhook() as received:
        connect(monkeypatch, f"http://127.0.0.1:{received.port}/services/secret")
        notifier.MammoNotifier("failure")(dict(FAILED))
    (post,) = received.posts
    assert received.paths == ["/services/secret"]
    assert post["event"] == "failure" and post["run"] == "manual__1"
    assert post["link"].endswith("/dags/mammography_retraining/runs/manual__1/tasks/train")
    assert "train failed (StorageError)" in post["text"]
    assert "Jane" not in str(post) and "/data" not in str(post)


def test_a_deadline_is_told_from_its_short_context(
    notifier: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    with webhook() as received:
        connect(monkeypatch, f"http://127.0.0.1:{received.port}")
        notifier.MammoNotifier("late")(dict(LATE))
    (post,) = received.posts
    assert "has not come to its end by 2026-01-05 03:00 UTC" in post["text"]
    assert post["link"].endswith("/runs/manual__1")


def test_drift_takes_its_line(notifier: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    with webhook() as received:
        connect(monkeypatch, f"http://127.0.0.1:{received.port}")
        notifier.MammoNotifier("drift", line="4 of 9 figures drifted")({"dag_run": RUN})
    assert "4 of 9 figures drifted" in received.posts[0]["text"]


def test_a_mail_goes_to_everybody_named(
    notifier: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mail_server() as received:
        options = "disable_ssl=true&disable_tls=true&from_email=pipeline%40example.org"
        connect(monkeypatch, f"smtp://127.0.0.1:{received.port}/?{options}")
        notifier.MammoNotifier("failure")(dict(FAILED))
    ((to, text),) = received.mails
    assert to == ["a@example.org", "b@example.org"]
    mail = message_from_string(text)
    assert mail["From"] == "pipeline@example.org"
    assert mail["Subject"] == "Mammography pipeline: a task failed"
    body = mail.get_payload(0).get_payload(decode=True).decode()  # type: ignore[union-attr]
    assert "train failed (StorageError)" in body and "Jane" not in body


@pytest.mark.parametrize("section", ["{}", "{connection: notices, events: [verdict]}"])
def test_it_is_off_by_default_and_for_other_events(
    notifier: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    section: str,
) -> None:
    configure(tmp_path, section)
    with webhook() as received:
        connect(monkeypatch, f"http://127.0.0.1:{received.port}")
        notifier.MammoNotifier("failure")(dict(FAILED))
    assert received.posts == [] and caplog.text == ""


def test_the_settings_are_read_when_there_is_something_to_tell(
    notifier: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The DAG was parsed long before somebody switched notices on."""
    configure(tmp_path, "{}")
    made = notifier.MammoNotifier("failure")
    # A mistake elsewhere in the file is what this notice may be about.
    text = "trainig: {}\nnotifications: {connection: notices}\n"
    (tmp_path / "config.yaml").write_text(text)
    with webhook() as received:
        connect(monkeypatch, f"http://127.0.0.1:{received.port}")
        made(dict(FAILED))
    assert len(received.posts) == 1


def test_what_cannot_be_sent_is_a_warning_without_the_secret(
    notifier: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "operators.notifier")
    with webhook() as received:
        received.status = 403
        connect(monkeypatch, f"http://127.0.0.1:{received.port}/services/secret")
        notifier.MammoNotifier("failure")(dict(FAILED))
    assert "the webhook answered 403" in caplog.text
    connect(monkeypatch, f"http://127.0.0.1:{received.port}/services/secret")  # now it is gone
    notifier.MammoNotifier("failure")(dict(FAILED))
    assert "ConnectError" in caplog.text
    connect(monkeypatch, "ssh://somewhere")
    notifier.MammoNotifier("failure")(dict(FAILED))
    assert "a connection of type ssh sends no notices" in caplog.text
    monkeypatch.delenv("AIRFLOW_CONN_NOTICES")
    notifier.MammoNotifier("failure")(dict(FAILED))
    assert caplog.text.count("was not sent") == 4
    assert caplog.text.count("notifications.connection") == 4
    assert "secret" not in caplog.text


def test_what_others_say_of_an_address_is_not_logged(notifier: ModuleType) -> None:
    quoted = ValueError("Port could not be cast to integer value as 'secret'")
    assert notifier._kind(quoted) == "ValueError"


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        (
            {"conn_type": "slackwebhook", "password": "T0/B0/x"},
            "https://hooks.slack.com/services/T0/B0/x",
        ),
        (
            {"conn_type": "slackwebhook", "password": "https://hooks.slack.com/services/T0/B0/x"},
            "https://hooks.slack.com/services/T0/B0/x",
        ),
        (
            {"conn_type": "http", "host": "hooks.example.org", "schema": "https", "port": 8443},
            "https://hooks.example.org:8443",
        ),
        (
            {"conn_type": "http", "host": "https://example.org/", "extra": '{"endpoint": "/a/b"}'},
            "https://example.org/a/b",
        ),
        ({"conn_type": "https", "host": "example.org", "schema": "a/b"}, "https://example.org/a/b"),
    ],
)
def test_a_connection_means_one_address(
    notifier: ModuleType, fields: dict[str, Any], address: str
) -> None:
    assert notifier.webhook_address(Connection(conn_id="notices", **fields)) == address


def test_the_retraining_tells_of_failures_and_lateness() -> None:
    dag = describe(DAGS / "mammography_retraining.py")
    assert all(told == ["MammoNotifier"] for told in dag["on_failure"].values())
    (late,) = dag["deadlines"]
    week, longest = 7 * 86400, max(dag["timeouts"].values())
    assert longest < late < week, "told of before the next run of the schedule must wait"


def test_the_triggerer_can_send_the_notice_of_a_deadline(
    notifier: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By Airflow's own trigger: it imports the path that the DAG names."""
    alert = importlib.import_module("operators.lateness").late_after(timedelta(days=6))
    kwargs = {**alert.callback.kwargs, "context": dict(LATE)}
    trigger = CallbackTrigger(alert.callback.path, kwargs)

    async def ran() -> list[str]:
        return [event.payload["state"] async for event in trigger.run()]

    with webhook() as received:
        connect(monkeypatch, f"http://127.0.0.1:{received.port}")
        states = asyncio.run(ran())
    assert states == ["running", "success"]
    assert [post["event"] for post in received.posts] == ["late"]


def test_every_process_of_airflow_finds_the_notifier(tmp_path: Path) -> None:
    """The triggerer alone does not look into the DAG folder by itself."""
    compose = yaml.safe_load((DAGS.parent / "docker-compose.yaml").read_text())
    several = compose["services"]["triggerer"]["environment"]
    assert several["PYTHONPATH"] == several["AIRFLOW__CORE__DAGS_FOLDER"]
    settings = AirflowSettings(tmp_path, 1, tmp_path, tmp_path / "config.yaml")
    alone = write_environment(settings)
    assert alone["PYTHONPATH"].split(":")[0] == alone["AIRFLOW__CORE__DAGS_FOLDER"]
