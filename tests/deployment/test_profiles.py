"""Which profiles `make up` takes: one that trains is always among them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from docker import DockerClient
from docker.models.containers import Container

from ml_tasks.deployment import profiles, stack, worker_host
from ml_tasks.deployment.compose import Compose
from ml_tasks.deployment.settings_file import change_settings, ensure_settings
from ml_tasks.deployment.shared_volume import CONFIG
from tests.deployment.small_stack import CHECKOUT


@pytest.mark.parametrize("runtimes", ['{"runc": {}, "nvidia": {}}', '{"runc": {}}'])
@pytest.mark.parametrize(
    ("named", "others"), [("", ()), ("metrics", ("metrics",)), (" metrics, ", ("metrics",))]
)
def test_the_engine_decides_where_nobody_does(
    runtimes: str, named: str, others: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiles, "docker", lambda *_: runtimes)
    trains = "gpu" if "nvidia" in runtimes else "cpu"
    assert profiles.profiles({"MAMMO_PROFILES": named}) == (*others, trains)


@pytest.mark.parametrize("named", ["cpu", "gpu,metrics", "metrics cpu"])
def test_what_is_named_counts(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "docker", lambda *_: pytest.fail("asked the engine"))
    assert set(profiles.profiles({"MAMMO_PROFILES": named})) == set(named.replace(",", " ").split())


def test_each_profile_of_the_file_is_known() -> None:
    services = yaml.safe_load((CHECKOUT / "docker-compose.yaml").read_text())["services"]
    found = {name: each["profiles"] for name, each in services.items() if "profiles" in each}
    assert found == {service: [profile] for profile, service in profiles.SERVICES.items()}


@pytest.fixture
def running(
    engine: DockerClient, base_images: object, tmp_path: Path
) -> Iterator[dict[str, Container]]:
    """Containers that compose would have started, by service, of the project of that name."""
    started = {
        service: engine.containers.run(
            "mammography-redis:7", ["sleep", "600"], entrypoint=[], detach=True, init=True,
            labels={
                "com.docker.compose.project": _name(tmp_path),
                "com.docker.compose.service": service,
            },
        )
        for service in ("cpu-worker", "gpu-worker", "worker")
    }  # fmt: skip
    yield started
    for each in started.values():
        for found in engine.containers.list(all=True, filters={"id": str(each.id)}):
            found.remove(force=True)


def _name(folder: Path) -> str:
    return f"mammoprofiles{folder.parent.name}"


def _left(engine: DockerClient, folder: Path) -> set[str | None]:
    label = f"com.docker.compose.project={_name(folder)}"
    return {each.id for each in engine.containers.list(filters={"label": label})}


def test_the_stand_in_ends_when_the_gpu_came(
    engine: DockerClient, running: dict[str, Container], tmp_path: Path
) -> None:
    """Compose leaves it running; it would train beside the GPU, in the image of then."""
    compose = Compose(tmp_path, {"COMPOSE_PROJECT_NAME": _name(tmp_path)}, ("gpu", "metrics"))
    said: list[str] = []
    profiles.end_unchosen(compose, said.append)
    assert said == ["ended, for its profile is not chosen any more: cpu-worker"]
    assert _left(engine, tmp_path) == {running[each].id for each in ("gpu-worker", "worker")}
    profiles.end_unchosen(compose, said.append)
    assert len(said) == 1


@pytest.mark.parametrize("verb", ["down", "up on a box"])
def test_it_ends_whichever_verb_comes_first_after_that(
    verb: str,
    engine: DockerClient,
    running: dict[str, Container],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Compose itself, which would end more or start another, does nothing here."""
    place = {"COMPOSE_PROJECT_NAME": _name(tmp_path), "MAMMO_SHARED": str(tmp_path)}
    change_settings(tmp_path, {**place, "MAMMO_PROFILES": "gpu"})
    settings = ensure_settings(tmp_path)
    (tmp_path / CONFIG).touch()
    monkeypatch.setattr(Compose, "run", lambda *_: None)
    if verb == "down":
        stack.down(tmp_path, lambda _: None)
    else:
        monkeypatch.setattr(worker_host, "ensure_images", lambda *_: None)
        monkeypatch.setattr(worker_host, "wait_until_healthy", lambda *_, **__: None)
        settings |= {"MAMMO_MAIN_HOST": "10.0.0.1"}
        worker_host.up_workers(tmp_path, settings, lambda _: None)
    assert running["cpu-worker"].id not in _left(engine, tmp_path)
    assert {running[each].id for each in ("gpu-worker", "worker")} <= _left(engine, tmp_path)
