"""The serving base: small, with nothing that it does not need, and with all that it does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partialmethod
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import IO, Any, cast
from uuid import uuid4

import pytest
from docker import DockerClient
from docker.errors import ImageNotFound
from docker.models.images import ImageCollection

from ml_tasks.release import serving_base as serving_base_module
from ml_tasks.release.context import write_context
from ml_tasks.release.python_base import TAG as PYTHON_BASE
from ml_tasks.release.serving_base import (
    REPOSITORY,
    checkout_file,
    ensure_serving_base,
    serving_sources,
)
from ml_tasks.release.slim.left_out import UNCALLED
from tests.conftest import WHEELS
from tests.docker import answers
from tests.docker.film_files import film_files

pytestmark = pytest.mark.docker

# Together with a release's model, 57 MB that packing hardly shrinks, at most 400 and 140 MB.
MOST_UNPACKED = 260e6
MOST_PACKED = 87e6
# In the lock, but left out of the image: see left_out.py for the reasons.
NOT_SHIPPED = {"flatbuffers", "protobuf", "pyyaml"}
FLAGS: dict[str, Any] = {
    "remove": True,
    "network_mode": "none",
    "read_only": True,
    "user": "10001:10001",
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "mem_limit": "1g",
    "pids_limit": 256,
}


@dataclass(frozen=True)
class Content:
    """The files of an image, and its size when its layers are packed."""

    entries: dict[str, tarfile.TarInfo]
    packed: int

    def matching(self, pattern: str) -> list[str]:
        """The names that a pattern is found in."""
        return sorted(name for name in self.entries if re.search(pattern, name))


@pytest.fixture(scope="module")
def content(engine: DockerClient, serving_base: str, tmp_path_factory: Any) -> Content:
    """What the layers of the base hold, read as a registry would get them."""
    saved = tmp_path_factory.mktemp("saved") / "base.tar"
    with saved.open("wb") as file:
        for chunk in engine.images.get(serving_base).save():
            file.write(chunk)
    entries: dict[str, tarfile.TarInfo] = {}
    packed = 0
    with tarfile.open(saved) as archive:
        for name in json.loads(_read(archive, "manifest.json"))[0]["Layers"]:
            packed += _packed(cast(IO[bytes], archive.extractfile(name)))
            with tarfile.open(fileobj=archive.extractfile(name)) as layer:
                entries |= {entry.name.removeprefix("./"): entry for entry in layer}
    return Content(entries, packed)


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    return cast(IO[bytes], archive.extractfile(name)).read()


def _packed(layer: IO[bytes]) -> int:
    packer, size = zlib.compressobj(6), 0
    while chunk := layer.read(1 << 20):
        size += len(packer.compress(chunk))
    return size + len(packer.flush())


@pytest.fixture(scope="module")
def films(tmp_path_factory: Any) -> Path:
    """A folder with films in every format, and the program that reads them."""
    folder: Path = tmp_path_factory.mktemp("films")
    for name, data in film_files().items():
        (folder / name).write_bytes(data)
    (folder / "watched.json").write_text(json.dumps(named_functions()))
    (folder / "answers.py").write_bytes(Path(answers.__file__).read_bytes())
    return folder


@pytest.fixture(scope="module")
def expected(films: Path) -> dict[str, Any]:
    """What the installed code, with whole packages, makes of the films."""
    command = [sys.executable, str(films / "answers.py"), str(films)]
    done = subprocess.run(command, capture_output=True, check=True)
    return cast(dict[str, Any], json.loads(done.stdout))


@pytest.fixture
def with_films(engine: DockerClient, serving_base: str, films: Path) -> Iterator[str]:
    """The base with the films in it, for an engine elsewhere cannot see a folder of ours."""
    parts: dict[str, Path | bytes] = {f"films/{path.name}": path for path in films.iterdir()}
    parts["Dockerfile"] = f"FROM {serving_base}\nCOPY films /films\n".encode()
    context = BytesIO()
    write_context(context, parts)
    context.seek(0)
    image, _ = engine.images.build(fileobj=context, custom_context=True, rm=True, forcerm=True)
    yield str(image.id)
    engine.images.remove(str(image.id), force=True)


def named_functions() -> list[str]:
    """Every function of OpenCV and imagecodecs that the service's code names."""
    names: set[str] = set()
    for name, path in serving_sources().items():
        if name.endswith(".py"):
            names |= set(re.findall(r"\b((?:cv2|imagecodecs)\.[a-z]\w*)\b", path.read_text()))
    return sorted(names)


def inside(engine: DockerClient, image: str, *command: str) -> str:
    """What a command says inside the image, run as in production."""
    output: bytes = engine.containers.run(image, list(command), **FLAGS)
    return output.decode()


def size_of(engine: DockerClient, image: str) -> int:
    return int(engine.images.get(image).attrs["Size"])


def test_the_base_leaves_room_for_the_model_within_the_limits(
    engine: DockerClient, serving_base: str, content: Content
) -> None:
    assert size_of(engine, serving_base) < MOST_UNPACKED
    assert content.packed < MOST_PACKED


def test_every_format_gives_the_same_inside_as_outside_to_the_last_bit(
    engine: DockerClient, with_films: str, expected: dict[str, Any]
) -> None:
    """Nothing that was left out, and no table that was changed, may change a pixel."""
    found = json.loads(inside(engine, with_films, "python", "/films/answers.py", "/films"))
    assert found["answers"] == expected["answers"]
    assert found["called"] == named_functions()


def test_the_films_that_are_compared_are_read_and_not_refused(expected: dict[str, Any]) -> None:
    """Equal refusals on both sides would show nothing."""
    refused = {name for name, said in expected["answers"].items() if "refused" in said}
    whole = {name for name in refused if not name.startswith("cut-")}
    assert whole == {"blank.png", "empty.png", "film.webp", "text.png"}


def test_the_service_s_libraries_load_without_a_warning(
    engine: DockerClient, serving_base: str
) -> None:
    """A part that is missed may say so on standard error alone."""
    code = "import ml_tasks.serving.app, ml_tasks.inference.predictor"
    output: bytes = engine.containers.run(
        serving_base, ["python", "-W", "error", "-c", code], stderr=True, **FLAGS
    )
    assert output == b""


def test_the_stage_that_built_the_base_is_gone(engine: DockerClient, serving_base: str) -> None:
    """It is four times as large as the base, and each change of the code would leave another."""
    mark = f"mammography.builder-of={serving_base}"
    assert engine.images.list(all=True, filters={"label": mark}) == []


def test_nothing_that_installs_builds_or_calls_out_is_in_the_base(content: Content) -> None:
    programs = r"/(apt|apt-get|dpkg|pip3?|perl|gcc|cc|ld|curl|wget|openssl|ssh|su|mount|passwd)$"
    assert content.matching(r"^(usr/)?(local/)?s?bin" + programs) == []
    assert content.matching(r"site-packages/(pip|setuptools|pkg_resources|pytest)\b") == []
    assert content.matching(r"/tests?/|\.(a|pyx|pxd|pyi|h)$|/ensurepip/|/idlelib/") == []
    for pattern in {name for names in UNCALLED.values() for name in names}:
        assert content.matching(rf"/{pattern.removesuffix('*')}") == []


def test_nothing_in_the_base_gives_rights_or_can_be_written(content: Content) -> None:
    for name, entry in content.entries.items():
        assert (entry.uid, entry.gid) == (0, 0), name
        assert not entry.mode & 0o6000, f"{name} runs with another's rights"
        if not entry.issym() and name not in ("tmp", "var/tmp"):
            assert not entry.mode & 0o022, f"{name} can be written by others"


def test_what_is_in_the_base_is_listed_and_licensed(
    engine: DockerClient, serving_base: str, content: Content
) -> None:
    """A list of contents that names less, or more, than is there would mislead a scanner."""
    said = json.loads(inside(engine, serving_base, "python", "-m", "ml_tasks.serving.packages"))
    python = {package["name"].lower(): package["version"] for package in said["python_packages"]}
    pins = re.findall(r"^(\S+)==(\S+)", checkout_file("requirements/serving.txt").read_text(), re.M)
    assert {name.replace("-", "_") for name, _ in pins} - NOT_SHIPPED == {
        name.replace("-", "_") for name in python
    }
    assert python["onnxruntime"] == version("onnxruntime")
    debian = {package["name"] for package in said["debian_packages"]}
    assert {"libc6", "libssl3", "libstdc++6", "zlib1g", "ca-certificates"} <= debian
    assert not {"apt", "dpkg", "perl-base", "bash"} & debian
    for name in debian:
        folder = content.entries[f"usr/share/doc/{name}"]
        place = folder.linkname if folder.issym() else name
        assert f"usr/share/doc/{place}/copyright" in content.entries


def test_neither_the_history_nor_the_settings_hold_more_than_the_dockerfile(
    engine: DockerClient, serving_base: str
) -> None:
    image = engine.images.get(serving_base)
    assert not [
        line["CreatedBy"]
        for line in image.history()
        if re.search(r"ARG|\|\d|/home|/tmp", line["CreatedBy"])
    ]
    names = {line.partition("=")[0] for line in image.attrs["Config"]["Env"]}
    assert names == {
        "MAMMO_RELEASE", "ORT_DISABLE_TELEMETRY", "PATH", "PYTHONDONTWRITEBYTECODE",
        "PYTHONFAULTHANDLER", "PYTHONPATH", "PYTHONUNBUFFERED",
    }  # fmt: skip


@pytest.mark.full
def test_a_base_that_is_made_again_is_the_same_layers(
    engine: DockerClient, serving_base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then only what changed is pushed. Without the engine's cache, which would show nothing."""
    build = ImageCollection.build
    monkeypatch.setattr(ImageCollection, "build", partialmethod(build, nocache=True))
    monkeypatch.setattr(serving_base_module, "REPOSITORY", f"{REPOSITORY}-{uuid4().hex[:8]}")
    reference = ensure_serving_base(engine, WHEELS)
    again, first = engine.images.get(reference), engine.images.get(serving_base)
    engine.images.remove(reference)
    assert again.attrs["Created"] != first.attrs["Created"]
    assert again.attrs["RootFS"]["Layers"] == first.attrs["RootFS"]["Layers"]


@pytest.fixture
def python_in_usr_local(engine: DockerClient) -> Iterator[str]:
    """The Python base with Python in /usr/local, as python:3.11-slim has it."""
    lines = (
        f"FROM {PYTHON_BASE}",
        "RUN mv /usr/bin/python3.11 /usr/local/bin/ && cp -a /usr/lib/python3.11 /usr/local/lib/"
        " && ln -s python3.11 /usr/local/bin/python3"
        " && rm -rf /usr/bin/python3* /usr/lib/python3*",
    )
    context = BytesIO("\n".join(lines).encode())
    image, _ = engine.images.build(fileobj=context, network_mode="none", rm=True, forcerm=True)
    yield str(image.id)
    remove_with_children(engine, str(image.id))


def remove_with_children(engine: DockerClient, image_id: str) -> None:
    """Removes an image and all that was built on it, the steps of a build too."""
    for image in engine.api.images(all=True):
        if image["ParentId"] == image_id:
            remove_with_children(engine, image["Id"])
    with suppress(ImageNotFound):  # it went with its last child
        engine.images.remove(image_id, force=True)


@pytest.mark.full
def test_a_python_in_usr_local_is_taken_from_there(
    engine: DockerClient, python_in_usr_local: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine with a way to a registry builds on python:3.11-slim."""
    monkeypatch.setattr(serving_base_module, "ensure_python_base", lambda _: python_in_usr_local)
    reference = ensure_serving_base(engine, WHEELS)
    code = "import sys, ssl, ml_tasks.serving.app; print(sys.base_prefix)"
    said, size = inside(engine, reference, "python", "-c", code), size_of(engine, reference)
    engine.images.remove(reference)
    assert said == "/usr/local\n"
    assert size < MOST_UNPACKED
