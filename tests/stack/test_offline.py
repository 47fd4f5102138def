"""A machine without a network: a second engine with no image and no way out, and a bundle."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import docker
import pytest

from ml_tasks.deployment.bundle import make_bundle
from ml_tasks.deployment.settings_file import change_settings
from ml_tasks.deployment.stack import stack
from tests.stack.running_stack import CHECKOUT
from tests.stack.second_host import lone_engine

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root starts a second engine"),
]


@pytest.fixture
def engine_offline(short_folder: Path) -> Iterator[str]:
    """An engine with folders and a network of its own: no address but that of itself."""
    with lone_engine(short_folder) as engine:
        yield engine.host


def unpacked(bundle: Path, folder: Path) -> Path:
    """As the page says it, with tar alone."""
    folder.mkdir()
    words = f"tar -xOf {bundle} checkout.tar | tar -xC {folder}"
    subprocess.run(["sh", "-ec", words], check=True)
    return folder


def test_the_stack_comes_up_from_the_bundle_alone(
    compose_installed: None, stack_images: object, base_images: object, serving_base: str,
    engine_offline: str, tmp_path: Path,
) -> None:  # fmt: skip
    """Nothing is built, fetched or asked: there is no environment and no network to do it with."""
    said: list[str] = []
    identity = make_bundle(CHECKOUT, tmp_path / "bundle.tar", said.append)
    project = unpacked(tmp_path / "bundle.tar", tmp_path / "offline")
    assert not (project / ".venv").exists()
    change_settings(
        project,
        {
            "COMPOSE_PROJECT_NAME": "mammooffline",
            "MAMMO_SHARED": str(project / "shared"),
            "DOCKER_SOCKET": engine_offline.removeprefix("unix://"),
        },
    )
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(tmp_path),
        "DOCKER_HOST": engine_offline,
    }
    command = ["make", "install-bundle", "FROM=../bundle.tar"]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert identity in done.stdout
    assert "every part is healthy" in done.stdout
    assert "Downloading" not in done.stdout + done.stderr
    try:
        with closing(docker.DockerClient(base_url=engine_offline)) as client:
            _check(client)
    finally:
        command = [*stack(project).command("down", "--volumes")]
        subprocess.run(command, cwd=project, env=environment, capture_output=True)


def _check(client: docker.DockerClient) -> None:
    """Airflow answers, every DAG is there, and releases can be built: their base is there too."""
    running = {each.labels["com.docker.compose.service"]: each for each in client.containers.list()}
    assert {"api-server", "scheduler", "worker", "builder", "cpu-worker"} <= set(running)
    code, listed = running["scheduler"].exec_run(["airflow", "dags", "list", "--output", "plain"])
    assert code == 0 and b"mammography_retraining" in listed, listed
    words = ["mammo", "serving-base", "--config", "/mammo/config.yaml"]
    code, told = running["builder"].exec_run(words)
    assert code == 0 and b"mammography-serving-base:" in told, told
