"""What the demo says once a run has ended: tasks, verdict, image, and where everything is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ml_tasks.errors import MammoError
from ml_tasks.local_stack.airflow_api import AirflowApi, DagRun, TaskInstance
from ml_tasks.local_stack.follow import in_order, outcome
from ml_tasks.local_stack.terminal import heading, in_words, say
from ml_tasks.records import Decision, ReleaseRecord, Verdict
from ml_tasks.release.approval import ApprovalRecord
from ml_tasks.run_paths import RunPaths

_LAST_LINES = 20
_SHOWN = {Verdict.PASS: "ok ", Verdict.INCONCLUSIVE: "?  ", Verdict.FAIL: "NOT"}


@dataclass(frozen=True)
class Addresses:
    """Where a person looks next; None where there is no such thing."""

    airflow: str
    user: str
    password: str
    tensorboard: str | None
    mlflow: str | None
    service: str | None
    curl: str | None


def print_summary(
    api: AirflowApi, dag_id: str, run: DagRun, paths: RunPaths, addresses: Addresses, home: Path
) -> None:
    """Prints the end of a run; `home` is AIRFLOW_HOME, where the whole logs are."""
    tasks = in_order(api.tasks(dag_id, run.dag_run_id))
    _print_tasks(api, dag_id, run, tasks)
    for task in tasks:
        if task.state == "failed":
            _print_failure(api, dag_id, run, task, home)
    _print_verdict(paths)
    _print_addresses(paths, addresses)


def log_file(home: Path, dag_id: str, run_id: str, task: TaskInstance) -> Path:
    """Where Airflow keeps the whole log of a task's latest try."""
    folder = home / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={task.task_id}"
    if task.map_index >= 0:
        folder /= f"map_index={task.map_index}"
    return folder / f"attempt={task.try_number}.log"


def _print_tasks(api: AirflowApi, dag_id: str, run: DagRun, tasks: list[TaskInstance]) -> None:
    heading(f"Run {run.dag_run_id}: {run.state}")
    for task in tasks:
        took = in_words(task.duration) if task.duration and task.try_number else "-"
        note = ""
        if task.state in ("skipped", "failed"):
            note = outcome(api.log(dag_id, run.dag_run_id, task), task)
        say(f"  {task.name:<20} {task.state or 'not run':<16} {took:>12}  {note}".rstrip())
    if run.start_date is not None and run.end_date is not None:
        total = in_words((run.end_date - run.start_date).total_seconds())
        say(f"  {'all':<20} {run.state:<16} {total:>12}")


def _print_failure(
    api: AirflowApi, dag_id: str, run: DagRun, task: TaskInstance, home: Path
) -> None:
    heading(f"{task.name} failed; the end of its log")
    text = "\n".join(str(line) for line in api.log(dag_id, run.dag_run_id, task))
    for line in text.splitlines()[-_LAST_LINES:]:
        say(f"  {line}")
    say(f"  the whole log: {log_file(home, dag_id, run.dag_run_id, task)}")


def _print_verdict(paths: RunPaths) -> None:
    if not paths.has(Decision):
        return
    decision = paths.load(Decision)
    heading(f"Verdict: {decision.verdict.value}")
    for rule in decision.rules:
        say(f"  {_SHOWN[rule.verdict]}  {rule.sentence}")
    if paths.has(ApprovalRecord):
        say(f"  {paths.load(ApprovalRecord).summary()}")
    try:
        release = paths.load(ReleaseRecord)
    except MammoError:
        say("  image: none was pushed in this run")
        return
    say(f"  image: {release.reference}@{release.digest}")
    say(f"  also as: {release.production}")


def _print_addresses(paths: RunPaths, addresses: Addresses) -> None:
    heading("Where to look")
    airflow = f"{addresses.airflow}  (user {addresses.user}, password {addresses.password})"
    rows = {
        "Airflow": airflow,
        "Data report": _if_there(paths.stage("validate_data") / "report.html"),
        "Data Docs": _if_there(paths.stage("validate_data") / "data_docs" / "index.html"),
        "Cleaning": _if_there(paths.stage("preprocess") / "report.html"),
        "Leakage": _if_there(paths.stage("preprocess") / "leakage.html"),
        "Model report": _if_there(paths.stage("evaluate") / "report.html"),
        "Run's files": _if_there(paths.root),
        "TensorBoard": addresses.tensorboard,
        "MLflow": addresses.mlflow,
        "Service": addresses.service and f"{addresses.service}  (drop a film there)",
        "Try it": addresses.curl,
        "End it all": "make stop",
    }
    for name, value in rows.items():
        if value:
            say(f"  {name:<13} {value}")


def _if_there(path: Path) -> str | None:
    return path.absolute().as_uri() if path.exists() else None
