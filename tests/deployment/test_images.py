"""The stack's images: one set of versions, no root, nothing of their making left in a layer."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from ml_tasks.deployment.image_sources import image_sources
from ml_tasks.deployment.images.base_images import BASES, BaseImage, check_nothing_runs, make_ready
from ml_tasks.deployment.images.image_ref import ImageRef
from ml_tasks.deployment.images.package_layer import AIRFLOW, CPU, GPU, KUBERNETES, layer_reference
from ml_tasks.deployment.images.stack_images import ensure_stack_images, made_of
from ml_tasks.errors import ReleaseError
from ml_tasks.release.locks import read_lock
from ml_tasks.release.python_base import ensure_python_base
from ml_tasks.release.serving_base import checkout_file
from tests.conftest import PROJECT, WHEELS

VERSIONS = """
import importlib.metadata as m, json, re
name = lambda found: re.sub("[-_.]+", "-", found.metadata["Name"]).lower()
print(json.dumps({name(found): found.version for found in m.distributions()}))
"""
ANSWERS = {
    "mammography-postgres:15": (["postgres", "--version"], "PostgreSQL) 15."),
    "mammography-redis:7": (["redis-server", "--version"], "v=7."),
    "mammography-registry:2": (["registry", "--version"], " 2."),
    "mammography-nginx:1": (["nginx", "-v"], "nginx/1."),
    "mammography-prometheus:2": (["promtool", "--version"], "version 2."),
}


def _run(engine: docker.DockerClient, image: str, *command: str, user: str = "") -> str:
    output = engine.containers.run(
        image, list(command), entrypoint=[], remove=True, stderr=True, user=user or None,
        network_mode="none", read_only=True, tmpfs={"/tmp": ""},
    )  # fmt: skip
    return bytes(output).decode()


@pytest.fixture(scope="module")
def versions(
    engine: docker.DockerClient, stack_images: tuple[ImageRef, ...]
) -> dict[str, dict[str, str]]:
    """Image -> package -> version, as the image's own Python finds them."""
    return {
        image.name: json.loads(_run(engine, image.name, "python", "-c", VERSIONS))
        for image in stack_images
    }


def _files(engine: docker.DockerClient, image: str, folder: Path) -> Iterator[str]:
    """The names in every layer, those that a later layer removed too."""
    path = folder / "image.tar"
    with path.open("wb") as stream:
        for chunk in engine.images.get(image).save():
            stream.write(chunk)
    with tarfile.open(path) as outer:
        for entry in (member for member in outer if member.name.endswith("layer.tar")):
            with tarfile.open(fileobj=outer.extractfile(entry)) as layer:
                yield from layer.getnames()
    path.unlink()


def test_every_version_is_that_of_the_locks(versions: dict[str, dict[str, str]]) -> None:
    pinned = {
        (entry.name, entry.version)
        for name in ("bootstrap", "airflow", "cpu")
        for entry in read_lock(checkout_file(f"requirements/{name}.txt"))
    }
    for image, found in versions.items():
        strays = set(found.items()) - pinned - {("ml-tasks", found["ml-tasks"])}
        assert not strays, f"{image} holds what no lock names"


def test_the_images_agree_on_every_version(versions: dict[str, dict[str, str]]) -> None:
    light, heavy = versions["mammography-airflow"], versions["mammography-cpu"]
    assert light.items() <= heavy.items()


def test_tensorflow_is_only_where_training_is(versions: dict[str, dict[str, str]]) -> None:
    assert "tensorflow" not in versions["mammography-airflow"]
    assert "tensorflow" in versions["mammography-cpu"]
    assert versions["mammography-airflow"]["apache-airflow"]


def test_any_user_of_group_0_runs_them(
    engine: docker.DockerClient, stack_images: tuple[ImageRef, ...]
) -> None:
    code = "import getpass, ml_tasks, ml_tasks.cli; print(getpass.getuser(), ml_tasks.__file__)"
    for image in stack_images:
        assert engine.images.get(image.name).attrs["Config"]["User"] == "50000:0"
        said = _run(engine, image.name, "python", "-c", code, user="12345:0")
        assert said.split() == ["airflow", "/opt/mammo/ml_tasks/__init__.py"]


def test_what_is_there_is_not_made_again(
    engine: docker.DockerClient,
    stack_images: tuple[ImageRef, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    again = ensure_stack_images(engine, WHEELS)
    assert [(image.id, image.seconds) for image in again] == [(i.id, 0.0) for i in stack_images]
    with capsys.disabled():
        print("", *(image.summary() for image in again), sep="\n")  # noqa: T201


def test_other_code_or_another_layer_is_another_image(tmp_path: Path) -> None:
    sources = image_sources(PROJECT)
    assert "dags/mammography_retraining.py" in sources
    changed = tmp_path / "changed.py"
    changed.write_text("# changed\n")
    first = made_of("layer:1", sources)
    assert first == made_of("layer:1", dict(reversed(sources.items())))
    assert first != made_of("layer:2", sources)
    assert first != made_of("layer:1", sources | {"dags/mammography_retraining.py": changed})


def test_the_layers_of_the_roles_rest_on_one() -> None:
    """The wheels of CUDA come on top of what the others have, in the same versions."""
    tags = {layer_reference(layer, "base:1") for layer in (AIRFLOW, CPU, GPU, KUBERNETES)}
    assert len(tags) == 4
    assert layer_reference(CPU, "base:1") != layer_reference(CPU, "base:2")
    names = {entry.name for entry in GPU.pinned()}
    assert {"tensorflow", "nvidia-cudnn-cu12"} <= names
    assert not names & {entry.name for entry in AIRFLOW.pinned()}
    provider = {entry.name for entry in KUBERNETES.pinned()}
    assert {"apache-airflow-providers-cncf-kubernetes", "kubernetes"} <= provider


@pytest.mark.full
def test_no_layer_keeps_what_it_was_made_with(
    engine: docker.DockerClient, stack_images: tuple[ImageRef, ...], tmp_path: Path
) -> None:
    base = set(_files(engine, ensure_python_base(engine), tmp_path))  # Debian's Python has wheels
    names = [name for name in _files(engine, "mammography-airflow", tmp_path) if name not in base]
    assert any(name.endswith("airflow/__init__.py") for name in names)
    for name in names:
        assert not f"/{name}".endswith((".whl", "/lock.txt", "/.env")), name
        assert "/.cache/" not in f"/{name}" and not name.startswith("tmp/"), name


@pytest.mark.parametrize("name", ANSWERS)
def test_each_service_answers_as_user_999(
    engine: docker.DockerClient, base_images: tuple[ImageRef, ...], name: str
) -> None:
    command, expected = ANSWERS[name]
    folder = next(base.folder for base in BASES if base.name == name)
    assert name in {image.name for image in base_images}
    assert expected in _run(engine, name, *command, user="999:999")
    assert _run(engine, name, "stat", "-c", "%u:%g", folder).strip() == "999:999"
    assert _run(engine, name, "id", "-u", user="999:999").strip() == "999"


def test_upstreams_image_is_made_to_run_as_user_999(
    engine: docker.DockerClient, base_images: tuple[ImageRef, ...], tmp_path: Path
) -> None:
    """Upstream declares its data a volume of root, which a Dockerfile FROM it could not change."""
    (tmp_path / "Dockerfile").write_text(
        f"FROM {ensure_python_base(engine)}\nVOLUME /var/lib/registry\n"
    )
    upstream, _ = engine.images.build(path=str(tmp_path), rm=True)
    base = BaseImage("mammography-made-ready:test", "none", "/var/lib/registry")
    try:
        make_ready(engine, base, str(upstream.id))
        config = engine.images.get(base.name).attrs["Config"]
        assert (config["User"], config["Volumes"]) == ("999:999", None)
        assert _run(engine, base.name, "stat", "-c", "%u:%g %a", base.folder) == "999:999 700\n"
        assert _run(engine, base.name, "id", "-un").strip() == "service"
    finally:
        engine.images.remove(base.name, force=True)
        engine.images.remove(str(upstream.id), force=True)


def test_a_service_that_a_package_started_is_noticed(tmp_path: Path) -> None:
    check_nothing_runs(tmp_path)  # nothing runs in an empty folder
    with pytest.raises(ReleaseError, match="has started its service"):
        check_nothing_runs(Path("/"))
