"""Which profiles `make up` takes: one that trains is always among them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from docker import DockerClient

from ml_tasks.deployment import profiles
from ml_tasks.deployment.compose import Compose
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


def test_the_stand_in_ends_when_the_gpu_came(
    engine: DockerClient, base_images: object, tmp_path: Path
) -> None:
    """Compose leaves it running; it would train beside the GPU, in the image of then."""
    name = f"mammoprofiles{tmp_path.parent.name}"
    started = {
        service: engine.containers.run(
            "mammography-redis:7", ["sleep", "600"], entrypoint=[], detach=True, init=True,
            labels={
                "com.docker.compose.project": name, "com.docker.compose.service": service
            },
        )
        for service in ("cpu-worker", "gpu-worker", "worker")
    }  # fmt: skip
    try:
        compose = Compose(tmp_path, {"COMPOSE_PROJECT_NAME": name}, ("gpu", "metrics"))
        assert profiles.end_others(compose) == ["cpu-worker"]
        left = engine.containers.list(filters={"label": f"com.docker.compose.project={name}"})
        assert {each.id for each in left} == {
            started[service].id for service in ("gpu-worker", "worker")
        }
        assert profiles.end_others(compose) == []
    finally:
        for each in started.values():
            for found in engine.containers.list(all=True, filters={"id": str(each.id)}):
                found.remove(force=True)
