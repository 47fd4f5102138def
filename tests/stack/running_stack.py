"""The real stack of docker-compose.yaml, in a project of its own, with settings made for tests."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ml_tasks.config import Config, load_config, save_config
from ml_tasks.deployment import stack
from ml_tasks.deployment.compose import Compose, docker
from ml_tasks.deployment.settings_file import change_settings, ensure_settings
from ml_tasks.local_stack.airflow_api import AirflowApi, DagRun, LogLine, TaskInstance
from ml_tasks.local_stack.demo import DAG_ID
from ml_tasks.run_paths import RunPaths
from tests.free_ports import free_ports

CHECKOUT = Path(__file__).resolve().parents[2]
AIRFLOW_ROLES = (
    "api-server", "scheduler", "dag-processor", "triggerer", "worker", "builder", "cpu-worker",
)  # fmt: skip
PORTS = (
    "AIRFLOW_PORT", "REGISTRY_PORT", "MLFLOW_PORT", "TENSORBOARD_PORT", "SERVICE_PORT",
    "PROMETHEUS_PORT",
)  # fmt: skip
# Waiting that a team's stack does in minutes: a test does it in seconds. A dead worker is noticed
# so soon only where workers are killed: elsewhere a busy one would be taken for dead.
HEARTBEAT_TIMEOUT = 30
RETRY_SECONDS = 3
QUEUE_TIMEOUT = 30
# As docker-compose.yaml has MAMMO_HEARTBEAT_TIMEOUT and MAMMO_QUEUE_TIMEOUT.
TEAM_HEARTBEAT_TIMEOUT, TEAM_QUEUE_TIMEOUT = 240, 1800
RUN_SECONDS = 2700  # a training on two slow cores takes half of it


@dataclass(frozen=True)
class RunningStack:
    """A stack that is up; `config` has the host's paths of what the workers see below /mammo."""

    compose: Compose
    config: Config
    api: AirflowApi = field(repr=False)

    @property
    def project(self) -> Path:
        return self.compose.project

    @property
    def shared(self) -> Path:
        return Path(self.compose.settings["MAMMO_SHARED"])

    def url(self, variable: str, scheme: str = "http") -> str:
        """Where one of PORTS is published."""
        return f"{scheme}://localhost:{self.compose.settings[variable]}"

    def paths(self, run_id: str) -> RunPaths:
        """The folder of a run, on the host."""
        return RunPaths(self.config.paths.runs, run_id)

    def on_host(self, path: str) -> Path:
        """Where a path of the workers, below /mammo, lies on this machine."""
        return self.shared / Path(path).relative_to("/mammo")

    def trigger(self, conf: dict[str, Any]) -> str:
        """Starts a retraining as the web page does; gives the run's id."""
        self.api.wait_for_dag(DAG_ID, RUN_SECONDS)
        self.api.pause(DAG_ID, False)
        return self.api.trigger(DAG_ID, {"force": True, **conf}).dag_run_id

    def tasks(self, run_id: str) -> dict[str, TaskInstance]:
        return {task.name: task for task in self.api.tasks(DAG_ID, run_id)}

    def wait_for_task(self, run_id: str, task: str, state: str) -> TaskInstance:
        """Returns once a task of the run has the state."""
        deadline = time.monotonic() + RUN_SECONDS
        while True:
            found = self.tasks(run_id).get(task)
            if found is not None and found.state == state:
                return found
            now = None if found is None else found.state
            assert time.monotonic() < deadline, f"{task} is {now}, not {state}"
            time.sleep(0.3)

    def wait_for_log(self, run_id: str, task: str, pattern: str) -> str:
        """Returns the first line of a task's newest try that the pattern matches."""
        deadline = time.monotonic() + RUN_SECONDS
        while True:
            found = self.tasks(run_id).get(task)
            lines = [] if found is None else self.log(run_id, found)
            for line in lines:
                if re.search(pattern, line.event):
                    return line.event
            assert time.monotonic() < deadline, f"no {pattern!r} in the log of {task}"
            time.sleep(0.5)

    def log(self, run_id: str, task: TaskInstance) -> list[LogLine]:
        return self.api.log(DAG_ID, run_id, task)

    def finish(self, run_id: str) -> DagRun:
        """Waits until a run has ended."""
        deadline = time.monotonic() + RUN_SECONDS
        while not (run := self.api.run(DAG_ID, run_id)).ended:
            states = {name: task.state for name, task in self.tasks(run_id).items()}
            assert time.monotonic() < deadline, f"{run_id} is still {run.state}: {states}"
            time.sleep(1)
        return run

    def hostname(self, container: str) -> str:
        """What a worker calls itself: Airflow notes it with each task."""
        return docker("inspect", "--format", "{{.Config.Hostname}}", container).strip()

    def containers_by_hostname(self, service: str) -> dict[str, str]:
        """The running containers of a service by what they call themselves."""
        return {self.hostname(each): each for each in self.compose.containers(service)}


def kill(container: str) -> None:
    """SIGKILL, as the kernel sends it when memory runs out: the engine then starts it again.

    `docker kill` would count as stopped by hand.
    """
    state = json.loads(docker("inspect", "--format", "{{json .State}}", container))
    os.kill(int(state["Pid"]), signal.SIGKILL)


def notice_dead_workers_after(running: RunningStack, seconds: int) -> None:
    """Starts the scheduler anew with this patience; runs go on meanwhile."""
    _scheduler_with(running, "MAMMO_HEARTBEAT_TIMEOUT", seconds)


def queue_again_after(running: RunningStack, seconds: int) -> None:
    """The same for what waits in a queue."""
    _scheduler_with(running, "MAMMO_QUEUE_TIMEOUT", seconds)


def _scheduler_with(running: RunningStack, setting: str, seconds: int) -> None:
    change_settings(running.project, {setting: str(seconds)})
    running.compose.output("up", "--detach", "--no-deps", "scheduler")


def start_stack(root: Path, overrides: dict[str, Any], settings: dict[str, str]) -> RunningStack:
    """Brings a stack up in the empty folder `root`, two default workers and the CPU stand-in.

    The retraining's tries follow one another at once.
    """
    for name in ("docker-compose.yaml", "config.yaml"):
        shutil.copy(CHECKOUT / name, root / name)
    shutil.copytree(CHECKOUT / "docker", root / "docker")
    ports = dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))
    own = {
        "COMPOSE_PROJECT_NAME": f"mammotest{os.getpid()}",
        "MAMMO_SHARED": str(root / "shared"),
        "MAMMO_PROFILES": "cpu",
        "MAMMO_WORKERS": "2",
        "MAMMO_HEARTBEAT_TIMEOUT": str(TEAM_HEARTBEAT_TIMEOUT),
        "AIRFLOW_BASE_URL": f"http://localhost:{ports['AIRFLOW_PORT']}",
        **ports,
        **settings,
    }
    change_settings(root, own)
    settings = ensure_settings(root)
    shared = Path(settings["MAMMO_SHARED"])
    shared.mkdir(exist_ok=True)
    config = load_config(CHECKOUT / "config.yaml", overrides)
    _save_relative(config, shared / "config.yaml")
    _quick_dags(root)
    said: list[str] = []
    stack.up(root, said.append)
    compose = stack.stack(root)
    api = AirflowApi(own["AIRFLOW_BASE_URL"], "admin", settings["AIRFLOW_ADMIN_PASSWORD"])
    return RunningStack(compose, load_config(shared / "config.yaml"), api)


def stop_stack(running: RunningStack) -> None:
    """Ends the stack and removes its volumes."""
    running.api.close()
    stack.down(running.project, lambda _: None)
    running.compose.output("down", "--volumes", "--remove-orphans")


def _save_relative(config: Config, path: Path) -> None:
    """The settings with the paths that they have by default, below whatever folder they lie in."""
    save_config(config, path)
    content = yaml.safe_load(path.read_text())
    content["paths"] = yaml.safe_load((CHECKOUT / "config.yaml").read_text())["paths"]
    path.write_text(yaml.safe_dump(content))


def _quick_dags(root: Path) -> None:
    """The checkout's DAGs, mounted over those in the images; but the next try starts at once."""
    dags = root / "dags"
    shutil.copytree(CHECKOUT / "dags", dags, ignore=shutil.ignore_patterns("__pycache__"))
    file = dags / "mammography_retraining.py"
    text, count = re.subn(
        r'(retry_delay"?[=:] ?)timedelta\(minutes=\d+\)',
        rf"\1timedelta(seconds={RETRY_SECONDS})",
        file.read_text(),
    )
    assert count == 2, "the retraining's retry_delay is written otherwise"
    file.write_text(text)
    mount = {"volumes": [f"{dags}:/opt/mammo/dags:ro"]}
    override = {"services": dict.fromkeys(AIRFLOW_ROLES, mount)}
    (root / "docker-compose.override.yaml").write_text(yaml.safe_dump(override))
