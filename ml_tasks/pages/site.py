"""Where the Airflow pages stand: their addresses, the settings and what else runs beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from ml_tasks.config import Config
from ml_tasks.tracking.place import place_of

PREFIX = "/mammography"  # below which Airflow serves the pages
ROUTE = "models"  # their entry in Airflow's navigation
RETRAINING = "mammography_retraining"
ROLLBACK = "mammography_rollback"
TENSORBOARD = "MAMMO_TENSORBOARD"  # address of the process, as the api-server reaches it
MLFLOW = "MAMMO_MLFLOW"  # address of MLflow's page, as a browser reaches it


@dataclass(frozen=True)
class Site:
    """One request's view: the settings as they are now, and below which path the pages stand."""

    config: Config
    environment: Mapping[str, str]
    root: str = PREFIX

    def to(self, *parts: str) -> str:
        """The address of a page; each part is one step of the path, whatever signs it holds."""
        # A folder's name need not be Unicode: such a one has no address, and no page fails for it.
        return "/".join([self.root, *(quote(part, safe="", errors="replace") for part in parts)])

    @property
    def airflow(self) -> str:
        """The path below which Airflow itself stands; empty where that is the host's root."""
        return self.root.removesuffix(PREFIX)

    def to_dag(self, dag_id: str) -> str:
        """The address of a DAG in Airflow's page."""
        return f"{self.airflow}/dags/{quote(dag_id, safe='')}"

    def to_dag_run(self, dag_id: str, run_id: str) -> str:
        """The address of a run in Airflow's page."""
        return f"{self.to_dag(dag_id)}/runs/{quote(run_id, safe='')}"

    def framed(self, path: str) -> str:
        """The address of a page within Airflow's own frame."""
        return f"{self.airflow}/plugin/{ROUTE}{path}"

    @property
    def mlflow(self) -> str | None:
        """MLflow's page; None where no address is known."""
        if not self.config.tracking.enabled:
            return None
        told = self.environment.get(MLFLOW)
        if told:
            return told
        place = place_of(self.config, self.environment)
        return place.shown if place.artifacts is None else None

    @property
    def tensorboard(self) -> str | None:
        """The TensorBoard process; None where none was named."""
        return self.environment.get(TENSORBOARD, "").rstrip("/") or None
