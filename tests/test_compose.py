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

from ml_tasks.release.service_place import HANDED_ON

PROJECT = Path(__file__).resolve().parents[1]
FILE = PROJECT / "docker-compose.yaml"
ROLES = {"api-server", "scheduler", "dag-processor", "triggerer", "init"}
WORKERS = {"worker": "default", "builder": "build", "gpu-worker": "gpu", "cpu-worker": "gpu"}


def variables_that_must_be_set() -> set[str]:
    """Without which compose refuses the file."""
    return set(re.findall(r"\$\{(\w+):\?", FILE.read_text()))


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return content


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = compose["services"]
    return found


def test_every_part_is_there(services: dict[str, Any]) -> None:
    others = {
        "postgres",
        "redis",
        "registry",
        "registry-read",
        "mlflow",
        "tensorboard",
        "inference",
    }
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


def test_only_the_builder_holds_the_docker_socket(services: dict[str, Any]) -> None:
    """The socket is root on the host, and the password moves `production`."""
    holders = [name for name, service in services.items() if "docker.sock" in str(service)]
    assert holders == ["builder"]
    # Besides the registry itself and who writes its file of passwords.
    knows = {name for name, service in services.items() if "REGISTRY_PASSWORD" in str(service)}
    assert knows == {"builder", "registry-keys"}


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
        waits = services[name]["depends_on"]
        assert waits["init"] == {"condition": "service_completed_successfully"}


def test_every_worker_knows_where_it_reaches_the_registry(services: dict[str, Any]) -> None:
    """At localhost:5000, which the host's engine uses, a container finds nothing."""
    for name in WORKERS:
        address = services[name]["environment"]["MAMMO_REGISTRY_URL"]
        only_reads = name != "builder"
        assert address == ("http://registry-read:5000" if only_reads else "https://registry:5000")


def test_what_only_reads_the_registry_cannot_write(services: dict[str, Any]) -> None:
    reader = services["registry-read"]
    (file,) = [each.split(":")[0] for each in reader["volumes"] if each.endswith("registry.yml:ro")]
    storage = yaml.safe_load((PROJECT / file).read_text())["storage"]
    assert storage["maintenance"] == {"readonly": {"enabled": True}}
    assert "registry-data:/var/lib/registry:ro" in reader["volumes"]
    assert "ports" not in reader


def test_another_host_finds_all_that_the_main_host_opens_to_it(services: dict[str, Any]) -> None:
    main, box = (
        yaml.safe_load((PROJECT / "docker" / f"{name}-host.yaml").read_text())
        for name in ("main", "gpu")
    )
    opened = {name for name, service in main["services"].items() if service["ports"]}
    assert opened <= set(services)
    for name, worker in box["services"].items():
        assert services[name]["command"][1:3] == ["celery", "worker"]
        assert {each.split(":")[0] for each in worker["extra_hosts"]} == opened


def test_nothing_runs_as_root(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert re.match(r"(999|\$\{MAMMO_UID:-50000\}|65534):", service["user"]), name
        rights = service.get("security_opt", [])
        assert "no-new-privileges:true" in rights or service["restart"] == "no", name


def test_every_part_that_stays_has_a_health_check_and_is_started_again(
    services: dict[str, Any],
) -> None:
    for name, service in services.items():
        if service["restart"] == "no":
            continue
        assert service["restart"] == "unless-stopped", name
        assert service["healthcheck"]["test"], name


def test_the_broker_keeps_what_is_queued(services: dict[str, Any]) -> None:
    assert "--appendonly yes" in services["redis"]["command"][0]
    assert "redis-data:/data" in services["redis"]["volumes"]


def test_who_only_shows_cannot_write_the_shared_volume(services: dict[str, Any]) -> None:
    for name in ("api-server", "scheduler", "dag-processor", "tensorboard"):
        (mount,) = [each for each in services[name]["volumes"] if ":/mammo" in each]
        assert mount.endswith(":/mammo:ro"), name


def test_mlflow_answers_under_the_name_that_the_workers_call(services: dict[str, Any]) -> None:
    """It refuses a Host header that it was not told of, and every run would go unnoted."""
    hosts = next(word for word in services["mlflow"]["command"] if "--allowed-hosts" in word)
    for name in WORKERS:
        address = services[name]["environment"]["MLFLOW_TRACKING_URI"]
        assert address == "http://mlflow:5000"
        assert address.removeprefix("http://") in hosts.partition("=")[2].split(",")
        assert "mlflow" not in services[name]["depends_on"]


@pytest.mark.parametrize("name", ["localhost", "films.example.org"])
def test_browsers_may_ask_mlflow_under_the_name_that_was_set(
    services: dict[str, Any], name: str
) -> None:
    """Its page asks by POST, and MLflow blocks those of an origin that it was not told of."""
    from mlflow.server.security_utils import should_block_cors_request

    def told(option: str) -> list[str]:
        (word,) = [each for each in services["mlflow"]["command"] if each.startswith(option)]
        value = word.partition("=")[2].replace("${MLFLOW_PORT:-5001}", "5001")
        return value.replace("${MAMMO_MLFLOW_HOST:-localhost}", name).split(",")

    origins = told("--cors-allowed-origins")
    assert f"{name}:5001" in told("--allowed-hosts")
    assert not should_block_cors_request(f"http://{name}:5001", "POST", origins)
    assert should_block_cors_request("http://elsewhere.example.org", "POST", origins)


def test_mlflow_reports_to_nobody(services: dict[str, Any]) -> None:
    for name in ("mlflow", *WORKERS):
        assert services[name]["environment"]["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_what_mlflow_keeps_lies_in_postgres_and_on_its_volume(compose: dict[str, Any]) -> None:
    service = compose["services"]["mlflow"]
    assert service["environment"]["MLFLOW_BACKEND_STORE_URI"].startswith("postgresql+psycopg2://")
    volume, _, folder = service["volumes"][0].partition(":")
    assert volume in compose["volumes"]
    assert f"--artifacts-destination=file://{folder}" in service["command"]


def test_pages_are_published_on_localhost_only(services: dict[str, Any]) -> None:
    for service in services.values():
        for port in service.get("ports", ()):
            assert port.startswith(("127.0.0.1:", "${MAMMO_BIND:-", "${MAMMO_UNGUARDED_BIND:-")), (
                port
            )
            assert "127.0.0.1" in port


def test_what_asks_for_no_login_is_not_opened_with_the_rest(services: dict[str, Any]) -> None:
    for name in ("mlflow", "prometheus", "tensorboard"):
        (port,) = services[name]["ports"]
        assert port.startswith(("127.0.0.1:", "${MAMMO_UNGUARDED_BIND:-127.0.0.1}:")), port


def test_every_setting_of_the_service_can_be_made_in_the_file(services: dict[str, Any]) -> None:
    environment = services["builder"]["environment"]
    assert {name: environment.get(name) for name in HANDED_ON} == {
        name: f"${{{name}:-}}" for name in HANDED_ON
    }


def test_what_containers_write_does_not_fill_the_disk(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}, name


def test_no_secret_has_a_default() -> None:
    text = FILE.read_text()
    secrets = set(re.findall(r"\$\{(\w*(?:PASSWORD|SECRET|KEY)\w*)", text))
    assert secrets
    secrets.remove("MAMMO_API_KEY")  # empty, the service asks for none: docs/service.md
    for name in secrets:
        assert not re.search(rf"\$\{{{name}(?!:\?run make up)", text), name


@pytest.mark.parametrize("program", [("docker-compose",), ("docker", "compose")], ids=" ".join)
def test_docker_compose_accepts_it(tmp_path: Path, program: tuple[str, ...]) -> None:
    """1.29 and v2, of which Debian 12 has the first."""
    if not is_there(program):
        pytest.skip(f"`{' '.join(program)}` is not installed")
    shutil.copytree(PROJECT / "docker", tmp_path / "docker")  # it reads a file of there
    command = [*program, "--file", str(FILE), "--project-directory", str(tmp_path)]
    command += ["--profile", "gpu", "--profile", "cpu", "config", "--quiet"]
    missing = subprocess.run(command, capture_output=True, text=True)
    assert missing.returncode != 0
    assert "run make up, which makes .env" in missing.stderr
    environment = {**os.environ, **dict.fromkeys(variables_that_must_be_set(), "/1")}
    given = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert given.returncode == 0, given.stderr


def is_there(program: tuple[str, ...]) -> bool:
    if shutil.which(program[0]) is None:
        return False
    return subprocess.run([*program, "version"], capture_output=True).returncode == 0
