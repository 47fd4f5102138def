"""Where MLflow is: a database file beside the runs, or what MLFLOW_TRACKING_URI names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ml_tasks.config import Config
from ml_tasks.config_tracking import without_login
from ml_tasks.records import Record

URI = "MLFLOW_TRACKING_URI"
_SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
_SQLITE = "sqlite:///"
_DATABASE = "mlflow.db"

# Seconds that MLflow may take to answer one request. A server that is down must cost seconds.
ANSWER_SECONDS = 8

QUIET: Mapping[str, str] = {
    # MLflow 3.17 sends usage figures to its makers unless one of these says no
    # (mlflow/telemetry/utils.py, is_telemetry_disabled).
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "false",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
}


class Place(Record):
    """One MLflow; `artifacts` is the folder for a database without a server, None for a server."""

    uri: str
    artifacts: Path | None
    experiment: str

    @property
    def shown(self) -> str:
        """The address for people: without user and password."""
        return without_login(self.uri)

    @property
    def database(self) -> Path | None:
        """The file, if it is an SQLite file."""
        found = self.uri.startswith(_SQLITE)
        return Path(self.uri.removeprefix(_SQLITE)) if found else None


def place_of(config: Config, environment: Mapping[str, str]) -> Place:
    """Where runs under these settings are noted; the environment variable wins."""
    folder = config.paths.tracking
    uri = environment.get(URI) or config.tracking.uri or f"{_SQLITE}{folder / _DATABASE}"
    artifacts: Path | None = folder / "artifacts"
    if uri.startswith(_SQLITE):
        database = Path(uri.removeprefix(_SQLITE)).absolute()
        uri, artifacts = f"{_SQLITE}{database}", database.parent / "artifacts"
    elif uri.startswith("http"):
        artifacts = None  # the server keeps them
    return Place(uri=uri, artifacts=artifacts, experiment=config.tracking.experiment)


def environment_for_mlflow(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for a process that speaks to MLflow: quiet, and soon at its end."""
    bounds = {
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(ANSWER_SECONDS),
        # Not by MLflow: it repeats a request that makes a run as well, and there would be two.
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    }
    here = ",".join(filter(None, (environment.get("NO_PROXY"), "localhost,127.0.0.1,::1")))
    return {**bounds, **environment, **QUIET, "NO_PROXY": here, "no_proxy": here}


def without_secrets(text: str, environment: Mapping[str, str]) -> str:
    """The text for a log: no user and password of an address, no password or token of MLflow's."""
    for name in _SECRETS:
        if secret := environment.get(name):
            text = text.replace(secret, "***")
    return without_login(text)
