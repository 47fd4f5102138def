"""The part of the stack that keeps data, with real Postgres, registry and volumes.

Airflow's roles are replaced by containers that only wait: `mammo` runs in them for real. The whole
stack, and a whole run in it, are those of tests/stack.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from docker import DockerClient

from ml_tasks.config import Config, save_config
from ml_tasks.deployment import databases, stack
from ml_tasks.deployment.compose import Compose, docker
from ml_tasks.deployment.settings_file import change_settings
from ml_tasks.deployment.streams import output_of
from ml_tasks.records import ReleaseRecord
from tests.docker.light_release import shipped
from tests.free_ports import free_ports

CHECKOUT = Path(__file__).resolve().parents[2]
IMAGE = "mammography-kept-test"
_KEPT = ("postgres", "registry", "registry-read")
_WAITING = ("worker", "builder", "scheduler", "mlflow")


@dataclass(frozen=True)
class SmallStack:
    """A project of its own, up."""

    project: Path

    @property
    def compose(self) -> Compose:
        return stack.stack(self.project)

    @property
    def shared(self) -> Path:
        return Path(self.compose.settings["MAMMO_SHARED"])

    @property
    def registry(self) -> str:
        return f"localhost:{self.compose.settings['REGISTRY_PORT']}"

    def sql(self, database: str, words: str) -> str:
        """What a statement gives."""
        command = databases.inside(self.compose, "psql", "--dbname", database, "-tAc", words)
        return b"".join(output_of(command, words)).decode().strip()

    def release(self, engine: DockerClient, days: int) -> list[ReleaseRecord]:
        """So many releases, really built and pushed, in the stack's folders and registry."""
        done = shipped(self.shared, engine, self.registry, IMAGE, days)
        _save_config(self.shared, done[-1][0].config)
        return [record for _, record in done]

    def destroy(self) -> None:
        """As a disk that is gone: containers, volumes, settings and shared volume."""
        self.compose.output("down", "--volumes", "--remove-orphans")
        shutil.rmtree(self.shared)
        (self.project / ".env").unlink()


def start_small_stack(project: Path) -> SmallStack:
    """Brings it up in an empty folder."""
    content = yaml.safe_load((CHECKOUT / "docker-compose.yaml").read_text())
    services = {name: _quick(content["services"][name]) for name in _KEPT}
    services |= {name: _waiting(content["services"][name]) for name in _WAITING}
    content["services"] = services
    (project / "docker-compose.yaml").write_text(yaml.safe_dump(content))
    shutil.copy(CHECKOUT / "config.yaml", project / "config.yaml")
    shutil.copytree(CHECKOUT / "docker", project / "docker")
    set_up_here(project, free_ports(1)[0])
    stack.up(project, lambda _: None)
    return SmallStack(project)


def set_up_here(project: Path, port: int) -> None:
    """What a machine sets of its own."""
    own = {
        "COMPOSE_PROJECT_NAME": f"mammokept{os.getpid()}",
        "MAMMO_SHARED": str(project / "shared"),
        "MAMMO_PROFILES": "cpu",
        "REGISTRY_PORT": str(port),
    }
    change_settings(project, own)


def end_small_stack(running: SmallStack) -> None:
    """Ends it and removes its volumes."""
    running.compose.output("down", "--volumes", "--remove-orphans")
    for image in docker("images", "--quiet", f"*/{IMAGE}").split():
        docker("image", "rm", "--force", image)


def _quick(service: dict[str, Any]) -> dict[str, Any]:
    """Without what no backup depends on: login, certificate, patience."""
    environment = service.get("environment", {})
    kept = {name: value for name, value in environment.items() if "REGISTRY_" not in name}
    health = {**service["healthcheck"], "interval": "1s"}
    return {**service, "environment": kept, "depends_on": {}, "healthcheck": health}


def _waiting(service: dict[str, Any]) -> dict[str, Any]:
    """Its image, user, volumes and settings; it waits, and `airflow` in it does nothing."""
    left = ("healthcheck", "depends_on", "scale", "ports", "stop_grace_period")
    environment = {**service["environment"], "MAMMO_REGISTRY_URL": "http://registry-read:5000"}
    # Its images are too light to serve; a test lets it try.
    environment["MAMMO_SERVICE_NETWORK"] = "${SERVICE_NETWORK:-}"
    environment.pop("SSL_CERT_FILE", None)
    volumes = [*service.get("volumes", []), "/bin/true:/opt/venv/bin/airflow:ro"]
    return {
        **{name: value for name, value in service.items() if name not in left},
        "environment": environment,
        "command": ["sleep", "infinity"],
        "volumes": volumes,
    }


def _save_config(shared: Path, config: Config) -> None:
    save_config(config, shared / "config.yaml")
    content = yaml.safe_load((shared / "config.yaml").read_text())
    content["paths"] = yaml.safe_load((CHECKOUT / "config.yaml").read_text())["paths"]
    (shared / "config.yaml").write_text(yaml.safe_dump(content))
