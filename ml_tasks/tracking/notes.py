"""What tracking keeps in a run's directory: facts of the moment, and what MLflow still lacks."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from pydantic import Field

from ml_tasks.records import Record
from ml_tasks.run_paths import RunPaths
from ml_tasks.storage import write_bytes

_FOLDER = "tracking"
_FACTS = "facts.json"
_PENDING = "pending.json"
R = TypeVar("R", bound=Record)


class Facts(Record):
    """What only the moment knows, so that a later registration tells the same as one at once."""

    run_id: str
    code_sha256: dict[str, str] = Field(default_factory=dict)  # by stage: what it ran with
    dag_id: str = ""  # in Airflow
    airflow_run_id: str = ""
    failed_stage: str = ""
    failure: str = ""


class Pending(Record):
    """A run that MLflow does not know, or not up to its end."""

    run_id: str
    since: str
    reason: str


def facts_of(run: RunPaths) -> Facts:
    """What was written down of this run; of a run from before tracking, its id alone."""
    path = run.root / _FOLDER / _FACTS
    return _read(path, Facts) if path.exists() else Facts(run_id=run.run_id)


def keep_facts(run: RunPaths, facts: Facts) -> None:
    """Writes the facts down."""
    write_bytes(run.root / _FOLDER / _FACTS, facts.model_dump_json(indent=2).encode())


def keep_pending(run: RunPaths, reason: str) -> None:
    """Notes that MLflow lacks this run, and why; the time stays that of the first attempt."""
    path = run.root / _FOLDER / _PENDING
    now = datetime.now(UTC).isoformat("T", "seconds")
    since = _read(path, Pending).since if path.exists() else now
    pending = Pending(run_id=run.run_id, since=since, reason=reason)
    write_bytes(path, pending.model_dump_json(indent=2).encode())


def clear_pending(run: RunPaths) -> None:
    """MLflow knows all of this run."""
    (run.root / _FOLDER / _PENDING).unlink(missing_ok=True)


def pending_runs(runs: Path) -> list[Pending]:
    """The runs that MLflow lacks, the longest waiting first."""
    found = [_read(path, Pending) for path in runs.glob(f"*/{_FOLDER}/{_PENDING}")]
    return sorted(found, key=lambda pending: (pending.since, pending.run_id))


def _read(path: Path, kind: type[R]) -> R:
    return kind.model_validate_json(path.read_bytes())
