"""The bundle for a machine without a network: what is in it, and what is refused."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docker import DockerClient

from ml_tasks.deployment import bundle
from ml_tasks.deployment import install_bundle as installing
from ml_tasks.deployment.archive import BUNDLE, new_archive, open_archive
from ml_tasks.deployment.bundle import make_bundle
from ml_tasks.deployment.bundle_images import image_stream, images_to_carry
from ml_tasks.deployment.folder_stream import packed_as
from ml_tasks.deployment.image_sources import image_sources, sources_hash, stale_images
from ml_tasks.deployment.install_bundle import install_bundle
from ml_tasks.deployment.needed_images import images_of
from ml_tasks.deployment.pretrained_weights import IMAGENET, weights_here
from ml_tasks.deployment.settings_file import change_settings
from ml_tasks.deployment.streams import feed
from ml_tasks.errors import ArchiveRefused, StackError
from ml_tasks.local_stack.engine import Engine
from ml_tasks.release.base_labels import base_labels

CHECKOUT = Path(__file__).resolve().parents[2]


def small_image(engine: DockerClient, tag: str, *layers: bytes, **labels: str) -> str:
    """An image of so many small layers, under a name that no stack has."""
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        lines = ["FROM scratch", *(f"COPY {number} /{number}" for number in range(len(layers)))]
        parts = {"Dockerfile": "\n".join(lines).encode()}
        parts |= {str(number): layer for number, layer in enumerate(layers)}
        for name, data in parts.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    context.seek(0)
    image, _ = engine.images.build(
        fileobj=context, custom_context=True, tag=tag, labels=labels, rm=True
    )
    return str(image.id)


@pytest.fixture
def images(engine: DockerClient) -> Iterator[dict[str, str]]:
    """Two images, one built on the other, and one beside them."""
    tags = {
        name: f"mammography-carry-{os.getpid()}-{name}:1" for name in ("base", "service", "other")
    }
    base, more, other = (os.urandom(20) for _ in range(3))
    made = {
        tags["base"]: small_image(engine, tags["base"], base),
        tags["service"]: small_image(engine, tags["service"], base, more),
        tags["other"]: small_image(engine, tags["other"], other),
    }
    yield made
    for tag in made:
        engine.images.remove(tag, force=True)


def test_every_image_that_compose_names_is_carried_and_what_it_rests_on(
    images: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, service, other = images
    monkeypatch.setattr("ml_tasks.deployment.bundle_images.serving_base", lambda _: service)
    lines = [
        "services:",
        "  a:",
        f"    image: {service}",
        "  b:",
        "    image: mammography-gpu:none",
    ]
    (tmp_path / "docker-compose.yaml").write_text("\n".join(lines))
    said: list[str] = []
    found = images_to_carry(tmp_path, said.append)
    assert found == {base: images[base], service: images[service]}
    assert other not in found
    assert said == ["mammography-gpu:none is not in this engine, and will not be in the bundle"]


def test_an_image_that_is_missing_is_named(
    engine: DockerClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml_tasks.deployment.bundle_images.serving_base", lambda _: "other")
    (tmp_path / "docker-compose.yaml").write_text("  image: mammography-nothing:1\n")
    with pytest.raises(StackError, match="mammography-nothing:1 is not there"):
        images_to_carry(tmp_path, lambda _: None)


def test_images_come_back_as_they_were(
    engine: DockerClient, images: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "bundle.tar"
    with new_archive(path, BUNDLE) as writer:
        writer.add("images.tar.gz", image_stream(images))
    for tag in images:
        engine.images.remove(tag, force=True)
    feed(["docker", "load"], open_archive(path, BUNDLE).chunks("images.tar.gz"), "loading")
    assert {tag: str(engine.images.get(tag).id) for tag in images} == images


def test_the_engines_failure_is_quoted(engine_place: Engine) -> None:
    with pytest.raises(StackError, match=r"writing out the images failed .*\n.*no-such-image"):
        list(image_stream(["no-such-image-of-mammography"]))
    with pytest.raises(StackError, match="loading the images failed"):
        feed(["docker", "load"], [b"no images"], "loading the images")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clone of a small project with all that the images hold."""
    project = tmp_path / "checkout"
    for name in ("ml_tasks/a.py", "dags/b.py", "plugins/c.py", "docker/d", "pyproject.toml",
                 "LICENSE", "requirements/serving.txt", "requirements/airflow.txt",
                 "requirements/cpu.txt"):  # fmt: skip
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(name)
    return project


def test_an_image_of_another_version_of_the_code_is_noticed(
    engine: DockerClient, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tag = f"mammography-carry-{os.getpid()}-labels:1"
    monkeypatch.setattr(
        "ml_tasks.deployment.image_sources.LOCKS", {tag: "requirements/airflow.txt"}
    )
    labels = base_labels(image_sources(checkout), checkout / "requirements/airflow.txt")
    small_image(engine, tag, b"code", **labels)
    try:
        assert stale_images(checkout, [tag]) == []
        (checkout / "ml_tasks" / "a.py").write_text("changed")
        assert stale_images(checkout, [tag]) == [tag]
        (checkout / "ml_tasks" / "a.py").write_text("ml_tasks/a.py")
        (checkout / "requirements" / "airflow.txt").write_text("another package")
        assert stale_images(checkout, [tag]) == [tag]
        assert stale_images(checkout / "docker", [tag]) == [], "a folder of settings alone"
    finally:
        engine.images.remove(tag, force=True)


def test_a_checkout_with_changes_is_not_bundled(checkout: Path, engine: DockerClient) -> None:
    git = ["git", "-C", str(checkout), "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
        subprocess.run([*git, *command], check=True)
    (checkout / "ml_tasks" / "a.py").write_text("changed")
    with pytest.raises(StackError, match=r"has changes; commit or revert .*\n.*ml_tasks/a.py"):
        make_bundle(checkout, checkout.parent / "bundle.tar", lambda _: None)
    assert not (checkout.parent / "bundle.tar").exists()


def test_of_a_checkout_without_git_nothing_of_the_teams_is_packed(
    checkout: Path, tmp_path: Path
) -> None:
    """It may have been worked in: films, keys, backups, another bundle, the bundle being made."""
    for name in ("data/raw/Positive/a.png", "releases/signing_key.pem", "mammography-2026.tar",
                 "volume/runs/a", ".env", ".bundle.tar.tmp", "shared/config.yaml"):  # fmt: skip
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text("of the team")
    packed = io.BytesIO(b"".join(bundle._checkout(checkout)))
    with tarfile.open(fileobj=packed) as tar:
        tops = {name.partition("/")[0] for name in tar.getnames()}
    here = {"ml_tasks", "dags", "plugins", "docker", "pyproject.toml", "LICENSE", "requirements"}
    assert tops == here


def test_the_whole_checkout_is_packed_without_git_too() -> None:
    listed = subprocess.run(
        ["git", "-C", str(CHECKOUT), "ls-files"], capture_output=True, text=True, check=True
    )
    tops = {name.partition("/")[0] for name in listed.stdout.split("\n") if name}
    hidden = {name for name in tops if name.startswith(".")} - {".gitignore"}
    assert set(bundle._PARTS) == tops - hidden


@pytest.mark.parametrize("kind", ["gpu", "cpu"])
def test_an_image_for_gpus_that_is_carried_is_made_anew_first(
    kind: str, tmp_path: Path, engine: DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of an older version of the code would be refused where the bundle is installed."""
    asked: list[tuple[str, ...]] = []

    def made(_: Path, wanted: tuple[str, ...], __: object) -> None:
        asked.append(wanted)
        raise StackError("far enough")

    monkeypatch.setattr(bundle, "inspected", lambda _: {} if kind == "gpu" else None)
    monkeypatch.setattr(bundle, "ensure_images", made)
    with pytest.raises(StackError, match="far enough"):
        make_bundle(tmp_path, tmp_path / "bundle.tar", lambda _: None)
    assert asked == [images_of([kind])]


def bundle_of(path: Path, **about: Any) -> Path:
    with new_archive(path, BUNDLE) as writer:
        writer.about |= about
        writer.add("images.tar.gz", [b"no images"])
    return path


def test_a_bundle_for_another_machine_or_version_is_refused_untouched(
    checkout: Path, engine: DockerClient, compose_installed: None, tmp_path: Path
) -> None:
    machine, sources = os.uname().machine, sources_hash(checkout)
    other = bundle_of(tmp_path / "a.tar", machine="riscv", sources=sources, revision="", images={})
    with pytest.raises(ArchiveRefused, match="is for riscv, this machine is"):
        install_bundle(checkout, other, lambda _: None)
    older = bundle_of(tmp_path / "b.tar", machine=machine, sources="a", revision="abc", images={})
    with pytest.raises(ArchiveRefused, match=r"another version of the code \(revision abc\)"):
        install_bundle(checkout, older, lambda _: None)
    assert not (checkout / ".env").exists()


def test_a_box_is_told_before_anything_that_the_bundle_has_no_worker_for_it(
    checkout: Path, engine: DockerClient, compose_installed: None, tmp_path: Path
) -> None:
    """The main host takes the other worker; a box that is to train has that one task."""
    own = {"MAMMO_MAIN_HOST": "10.0.0.1", "MAMMO_PROFILES": "gpu", "POSTGRES_PASSWORD": "theirs"}
    change_settings(checkout, own)
    machine, sources = os.uname().machine, sources_hash(checkout)
    images = {"mammography-cpu": "sha256:0"}
    path = tmp_path / "a.tar"
    carried = bundle_of(path, machine=machine, sources=sources, revision="", images=images)
    remedy = r"no image mammography-gpu, .*images --role gpu.*MAMMO_PROFILES=cpu"
    with pytest.raises(ArchiveRefused, match=remedy):
        install_bundle(checkout, carried, lambda _: None)


def test_weights_are_found_and_lie_afterwards_where_the_workers_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, shared, there = (tmp_path / name for name in ("home", "shared", "there"))
    monkeypatch.setenv("KERAS_HOME", str(home))
    for folder in (shared, there):
        folder.mkdir()
    assert weights_here(shared) == {}
    (home / "models").mkdir(parents=True)
    (home / "models" / IMAGENET).write_bytes(b"imagenet")
    (shared / "own.h5").write_bytes(b"own")
    words = (
        "data:\n  weights: no\nmodel:\n  input_shape: [1]\n  # of ours\n\n  weights: own.h5  # x\n"
    )
    (shared / "config.yaml").write_text(words)
    found = weights_here(shared)
    assert set(found) == {f"keras/models/{IMAGENET}", "own.h5"}
    path = tmp_path / "bundle.tar"
    with new_archive(path, BUNDLE) as writer:
        writer.add("weights.tar", packed_as(found))
    said: list[str] = []
    installing._put_weights(open_archive(path, BUNDLE), there, os.getuid(), said.append)
    assert (there / "keras" / "models" / IMAGENET).read_bytes() == b"imagenet"
    assert (there / "own.h5").read_bytes() == b"own"
    assert len(said) == 2
    assert sorted(each.name for each in there.iterdir()) == ["keras", "own.h5"]


@pytest.mark.parametrize("setting", ["imagenet", "none", "/etc/passwd", "../../secret", "null"])
def test_no_other_file_is_carried_as_weights(
    tmp_path: Path, setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "none"))
    (tmp_path / "config.yaml").write_text(f"model:\n  weights: {setting}\n")
    assert weights_here(tmp_path) == {}


def test_the_workers_find_keras_files_on_the_shared_volume() -> None:
    import yaml

    content = yaml.safe_load((CHECKOUT / "docker-compose.yaml").read_text())
    for name in ("worker", "cpu-worker", "gpu-worker"):
        assert content["services"][name]["environment"]["KERAS_HOME"] == "/mammo/keras"
    assert json.dumps(content)  # no anchor is left open
