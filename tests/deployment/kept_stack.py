"""A stack with two releases and its backup, and what there was when that was made."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from docker import DockerClient

from ml_tasks.deployment.backup import Kept, back_up
from ml_tasks.records import ReleaseRecord
from tests.deployment.small_stack import (
    SmallStack,
    end_small_stack,
    set_up_here,
    start_small_stack,
)

SECRETS = ("AIRFLOW_FERNET_KEY", "POSTGRES_PASSWORD", "MAMMO_PSEUDONYM_KEY")
# Of Airflow's tables what a restore changes.
_TABLES = (
    "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n",
    "CREATE TABLE task_instance AS SELECT * FROM (VALUES ('queued', 'a'), ('running', 'b')) "
    "AS t (state, external_executor_id)",
    "CREATE TABLE dag AS SELECT false AS is_paused",
    "CREATE TABLE deadline AS SELECT false AS missed",
)


@dataclass(frozen=True)
class KeptStack:
    """It is shared by the tests, which all leave it as it was."""

    running: SmallStack
    kept: Kept
    releases: list[ReleaseRecord]
    files: dict[str, str]
    secrets: dict[str, str]
    port: int

    def lose(self) -> None:
        """Everything but the archive is gone."""
        self.running.destroy()
        set_up_here(self.running.project, self.port)

    def check(self) -> None:
        """All is as it was."""
        assert files_of(self.running.shared) == self.files
        assert secrets_of(self.running) == self.secrets
        assert self.running.sql("airflow", "SELECT count(*), sum(n) FROM kept") == "1000|500500"
        assert self.running.sql("mlflow", "SELECT words FROM kept") == "Größe"


def files_of(shared: Path) -> dict[str, str]:
    """What must come back: hash of each file, by name."""
    return {
        str(path.relative_to(shared)): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in ("releases", "splits", "snapshots", "statistics", "runs")
        for path in sorted((shared / folder).rglob("*"))
        if path.is_file() and not path.name.endswith(".lock")
    }


def secrets_of(running: SmallStack) -> dict[str, str]:
    """Those that data depend on."""
    return {name: running.compose.settings[name] for name in SECRETS}


@contextmanager
def backed_up_stack(project: Path, engine: DockerClient) -> Iterator[KeptStack]:
    """Up in the empty folder `project`, and ended after the block."""
    running = start_small_stack(project)
    try:
        for statement in _TABLES:
            running.sql("airflow", statement)
        running.sql("mlflow", "CREATE TABLE kept AS SELECT 'Größe' AS words")
        releases = running.release(engine, 2)
        (running.shared / "splits" / "ledger.csv").write_text("patient,split\n")
        (running.shared / "statistics" / "day.jsonl").write_text("{}\n")
        running.compose.exec("mlflow", ["sh", "-c", "echo model > /opt/airflow/mlflow/model"])
        said: list[str] = []
        kept = back_up(project, project.parent / "backups", said.append)
        assert said[-1].startswith("it holds every secret")
        port = int(running.compose.settings["REGISTRY_PORT"])
        files, secrets = files_of(running.shared), secrets_of(running)
        yield KeptStack(running, kept, releases, files, secrets, port)
    finally:
        end_small_stack(running)
