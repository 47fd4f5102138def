"""docker-compose.yaml: complete, without default secrets, the Docker socket in one place only."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[1]
FILE = PROJECT / "docker-compose.yaml"
EXAMPLE = PROJECT / "docker" / "compose.env.example"
ROLES = {"api-server", "scheduler", "dag-processor", "triggerer", "init"}
WORKERS = {"worker": "default", "builder": "build", "gpu-worker": "gpu", "cpu-worker": "gpu"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return content


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = compose["services"]
    return found


def test_every_part_is_there(services: dict[str, Any]) -> None:
    others = {"postgres", "redis", "registry", "mlflow", "tensorboard"}
    assert ROLES | set(WORKERS) | others <= set(services)


def test_docker_compose_1_29_can_read_it(compose: dict[str, Any]) -> None:
    """It refuses a top-level name and `depends_on.required`."""
    assert "name" not in compose
    for service in compose["services"].values():
        depends = service.get("depends_on", {})
        for condition in depends.values() if isinstance(depends, dict) else ():
            assert set(condition) == {"condition"}


@pytest.mark.parametrize(("name", "queue"), WORKERS.items())
def test_each_worker_has_its_queue(services: dict[str, Any], name: str, queue: str) -> None:
    command = services[name]["command"]
    assert command[:3] == ["airflow", "celery", "worker"]
    assert command[command.index("--queues") + 1] == queue


def test_the_pools_are_made_with_one_slot_before_anything_runs(services: dict[str, Any]) -> None:
    """Two slots in `production` would let two releases move it at once; none, no release at all."""
    script = services["init"]["command"][-1]
    for name in ("gpu", "production"):
        assert re.search(rf"^airflow pools set {name} 1 ", script, re.M)


def test_only_the_builder_holds_the_docker_socket(services: dict[str, Any]) -> None:
    """The socket is root on the host."""
    holders = [name for name, service in services.items() if "docker.sock" in str(service)]
    assert holders == ["builder"]


def test_the_gpu_worker_reserves_a_gpu_under_its_profile(services: dict[str, Any]) -> None:
    worker = services["gpu-worker"]
    assert worker["profiles"] == ["gpu"]
    devices = worker["deploy"]["resources"]["reservations"]["devices"]
    assert devices == [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]
    assert services["cpu-worker"]["profiles"] == ["cpu"]
    assert "deploy" not in services["cpu-worker"]


def test_the_roles_use_celery_and_wait_for_the_tables(services: dict[str, Any]) -> None:
    for name in (ROLES | set(WORKERS)) - {"init"}:
        assert services[name]["environment"]["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
        assert services[name]["depends_on"] == {
            "init": {"condition": "service_completed_successfully"}
        }


def test_every_worker_knows_where_it_reaches_the_registry(services: dict[str, Any]) -> None:
    """At localhost:5000, which the host's engine uses, a container finds nothing."""
    for name in WORKERS:
        assert services[name]["environment"]["MAMMO_REGISTRY_URL"] == "http://registry:5000"


def test_mlflow_answers_under_the_name_that_the_workers_call(services: dict[str, Any]) -> None:
    """It refuses a Host header that it was not told of, and every run would go unnoted."""
    hosts = next(word for word in services["mlflow"]["command"] if "--allowed-hosts" in word)
    for name in WORKERS:
        address = services[name]["environment"]["MLFLOW_TRACKING_URI"]
        assert address == "http://mlflow:5000"
        assert address.removeprefix("http://") in hosts.partition("=")[2].split(",")
        assert "mlflow" not in services[name]["depends_on"]


def test_mlflow_reports_to_nobody(services: dict[str, Any]) -> None:
    for name in ("mlflow", *WORKERS):
        assert services[name]["environment"]["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_what_mlflow_keeps_lies_on_its_volume(compose: dict[str, Any]) -> None:
    service = compose["services"]["mlflow"]
    volume, _, folder = service["volumes"][0].partition(":")
    assert volume in compose["volumes"]
    for option in ("--backend-store-uri=sqlite:///", "--artifacts-destination=file://"):
        word = next(word for word in service["command"] if word.startswith(option))
        assert word.removeprefix(option).startswith(f"{folder}/")


def test_pages_are_published_on_localhost_only(services: dict[str, Any]) -> None:
    for service in services.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_the_images_are_built_from_files_and_locks_that_exist(services: dict[str, Any]) -> None:
    for service in services.values():
        if "build" in service:
            dockerfile = PROJECT / service["build"]["dockerfile"]
            lock = service["build"].get("args", {}).get("LOCK", "gpu")
            text = dockerfile.read_text().replace("${LOCK}", lock)
            for name in re.findall(r"requirements/[a-z]+\.txt", text):
                assert (PROJECT / name).is_file(), f"{dockerfile.name} needs {name}"


def test_the_service_writes_its_statistics_where_drift_reads_them(
    services: dict[str, Any],
) -> None:
    service = services["inference"]
    file = Path(service["environment"]["MAMMO_STATISTICS"])
    mounts = dict(volume.split(":")[:2] for volume in service["volumes"])
    assert mounts == {"./statistics": str(file.parent)}
    assert "./statistics:/opt/mammo/statistics:ro" in services["worker"]["volumes"]
    assert "./drift:/opt/mammo/drift" in services["worker"]["volumes"]
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"]


def test_no_secret_has_a_default() -> None:
    text = FILE.read_text()
    secrets = set(re.findall(r"\$\{(\w*(?:PASSWORD|SECRET|KEY)\w*)", text))
    assert secrets
    for name in secrets:
        assert re.search(rf"\$\{{{name}:\?set {name}", text)
        assert not re.search(rf"\$\{{{name}(?!:\?)", text)


def test_the_example_names_every_variable_that_must_be_set() -> None:
    needed = set(re.findall(r"\$\{(\w+):\?", FILE.read_text()))
    named = dict(re.findall(r"^(\w+)=(.*)$", EXAMPLE.read_text(), re.M))
    assert set(named) == needed
    assert set(named.values()) == {""}


def test_docker_compose_accepts_it(tmp_path: Path) -> None:
    program = shutil.which("docker-compose")
    if program is None:
        pytest.skip("docker-compose is not installed")
    needed = re.findall(r"\$\{(\w+):\?", FILE.read_text())
    command = [program, "--file", str(FILE), "--project-directory", str(tmp_path)]
    command += ["--profile", "gpu", "--profile", "cpu", "config", "--quiet"]
    missing = subprocess.run(command, capture_output=True, text=True)
    assert missing.returncode != 0
    assert "see docker/compose.env.example" in missing.stderr
    environment = {**os.environ, **dict.fromkeys(needed, "x")}
    given = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert given.returncode == 0, given.stderr
