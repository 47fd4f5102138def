"""The registry's data, copied while somebody pushes: every tag in the copy can be pulled."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ml_tasks.deployment import registry_copy
from ml_tasks.deployment.registry_copy import blob, copy_registry
from tests.docker.registry_process import RegistryProcess, debians_registry
from tests.waiting import PATIENCE, ended

KIND = "application/vnd.docker.distribution.manifest.v2+json"


@pytest.fixture
def registry(tmp_path: Path, machine: Path) -> Iterator[RegistryProcess]:
    """A real registry with a folder of its own."""
    process = RegistryProcess(debians_registry(machine), tmp_path / "registry")
    process.start()
    yield process
    process.stop()


def push_blob(client: httpx.Client, data: bytes) -> dict[str, object]:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    place = client.post("/v2/app/blobs/uploads/").headers["location"]
    client.put(f"{place}&digest={digest}", content=data).raise_for_status()
    return {"digest": digest, "size": len(data), "mediaType": "application/octet-stream"}


def push(client: httpx.Client, tag: str) -> str:
    """An image of two layers of its own; gives its digest."""
    layers = [push_blob(client, f"{tag} {number}".encode() * 4000) for number in range(2)]
    manifest = {
        "schemaVersion": 2,
        "mediaType": KIND,
        "config": push_blob(client, json.dumps({"tag": tag}).encode()),
        "layers": layers,
    }
    for name in (tag, "production"):
        answer = client.put(
            f"/v2/app/manifests/{name}",
            content=json.dumps(manifest),
            headers={"content-type": KIND},
        )
        answer.raise_for_status()
    return str(answer.headers["docker-content-digest"])


def client_of(registry: RegistryProcess) -> httpx.Client:
    url = f"http://{registry.address}"
    return httpx.Client(base_url=url, timeout=PATIENCE, trust_env=False)


def copied(registry: RegistryProcess, folder: Path) -> Path:
    buffer = io.BytesIO()
    assert copy_registry(registry.storage, buffer) == []
    buffer.seek(0)
    with tarfile.open(fileobj=buffer, mode="r|") as tar:
        tar.extractall(folder, filter="data")
    return folder / "docker/registry/v2"


def tags_in(root: Path) -> dict[str, str]:
    found = (root / "repositories/app/_manifests/tags").glob("*/current/link")
    return {path.parents[1].name: path.read_text() for path in found}


def check_whole(root: Path) -> int:
    """Every tag's manifest, settings and layers are there, byte for byte; gives their number."""
    tags = tags_in(root)
    for digest in tags.values():
        manifest = json.loads(checked(root, digest))
        for part in (manifest["config"], *manifest["layers"]):
            checked(root, part["digest"])
            name = part["digest"].removeprefix("sha256:")
            assert (root / f"repositories/app/_layers/sha256/{name}/link").exists()
        name = digest.removeprefix("sha256:")
        assert (root / f"repositories/app/_manifests/revisions/sha256/{name}/link").exists()
    return len(tags)


def checked(root: Path, digest: str) -> bytes:
    data = blob(root, digest).read_bytes()
    assert f"sha256:{hashlib.sha256(data).hexdigest()}" == digest
    return data


def test_no_copy_holds_a_tag_whose_image_is_not_whole(
    registry: RegistryProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before each folder of links is read, another image is pushed and `production` moved."""
    pushed: list[str] = []
    really = registry_copy._link_files

    def read_after_a_push(folder: Path) -> Iterator[Path]:
        pushed.append(push(client, f"v{len(pushed)}"))
        return really(folder)

    monkeypatch.setattr(registry_copy, "_link_files", read_after_a_push)
    with client_of(registry) as client:
        push(client, "first")
        found = [check_whole(copied(registry, tmp_path / f"copy{number}")) for number in range(3)]
    assert len(pushed) == 9
    assert found == [3, 6, 9], "the tags that were there as the copy began, and one more"


def test_copies_are_whole_while_somebody_pushes_without_a_pause(
    registry: RegistryProcess, tmp_path: Path
) -> None:
    done = threading.Event()

    def pushing() -> None:
        try:
            with client_of(registry) as client:
                for number in range(20):
                    push(client, f"v{number}")
        finally:
            done.set()

    thread = threading.Thread(target=pushing)
    thread.start()
    seen: list[int] = []
    while not done.is_set():
        seen.append(check_whole(copied(registry, tmp_path / f"copy{len(seen)}")))
    ended(thread)
    assert check_whole(copied(registry, tmp_path / "last")) == 21
    assert seen and seen[0] < 21, "no copy was made while images were pushed"


def test_the_copy_serves(registry: RegistryProcess, tmp_path: Path) -> None:
    with client_of(registry) as client:
        digest = push(client, "v1")
    copied(registry, tmp_path / "copy")
    other = RegistryProcess(registry.program, tmp_path / "other", storage=tmp_path / "copy")
    other.start()
    try:
        assert other.tags("app") == {"v1": digest, "production": digest}
        with client_of(other) as client:
            push(client, "v2")
        assert other.tags("app")["v1"] == digest
    finally:
        other.stop()


def test_half_an_upload_and_what_no_link_names_are_left_out(
    registry: RegistryProcess, tmp_path: Path
) -> None:
    """A manifest torn by a crash, in the copy, would be believed by the next push of it."""
    with client_of(registry) as client:
        push(client, "v1")
        place = client.post("/v2/app/blobs/uploads/").headers["location"]
        client.patch(place, content=b"half").raise_for_status()
    torn = blob(registry.storage / "docker/registry/v2", f"sha256:{'0' * 64}")
    torn.parent.mkdir(parents=True)
    torn.write_bytes(b"{")
    root = copied(registry, tmp_path / "copy")
    assert list(root.glob("repositories/app/_uploads/*")) == []
    assert not blob(root, f"sha256:{'0' * 64}").exists()
    assert check_whole(root) == 2


def test_what_the_registry_had_lost_before_is_told(
    registry: RegistryProcess,
) -> None:
    with client_of(registry) as client:
        digest = push(client, "v1")
    blob(registry.storage / "docker/registry/v2", digest).unlink()
    assert copy_registry(registry.storage, io.BytesIO()) == [digest]


def test_a_link_that_is_being_written_is_waited_for(
    registry: RegistryProcess, tmp_path: Path
) -> None:
    with client_of(registry) as client:
        digest = push(client, "v1")
    link = registry.storage / "docker/registry/v2/repositories/app/_manifests/tags/v1/current/link"
    link.write_text("")
    threading.Timer(0.5, lambda: link.write_text(digest)).start()
    assert tags_in(copied(registry, tmp_path / "copy"))["v1"] == digest


def test_a_damaged_link_is_named(
    registry: RegistryProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    with client_of(registry) as client:
        push(client, "v1")
    link = registry.storage / "docker/registry/v2/repositories/app/_manifests/tags/v1/current/link"
    link.write_text("sha256:nonsense")
    monkeypatch.setattr(registry_copy, "_TRIES", 2)
    with pytest.raises(SystemExit, match=r"v1/current/link holds 'sha256:nonsense'"):
        copy_registry(registry.storage, io.BytesIO())


def test_it_needs_nothing_of_this_package() -> None:
    """It is given to the Python of a container as text."""
    text = Path(registry_copy.__file__).read_text()
    assert "ml_tasks" not in text
