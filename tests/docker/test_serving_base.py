"""The serving base: small, with nothing that it does not need, and with all that it does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import IO, Any, cast
from uuid import uuid4

import pytest
from docker import DockerClient
from docker.models.images import Image

from ml_tasks.release import serving_base as serving_base_module
from ml_tasks.release.context import write_context
from ml_tasks.release.python_base import TAG as PYTHON_BASE
from ml_tasks.release.serving_base import checkout_file, ensure_serving_base, serving_sources
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


def test_the_base_leaves_room_for_the_model_within_the_limits(
    engine: DockerClient, serving_base: str, content: Content
) -> None:
    assert engine.images.get(serving_base).attrs["Size"] < MOST_UNPACKED
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


@pytest.fixture
def built_on(
    engine: DockerClient, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Image]]:
    """Builds a serving base on the Python base with some lines of a Dockerfile more."""
    made: list[Image] = []

    def build(lines: str) -> Image:
        context = BytesIO()
        write_context(context, {"Dockerfile": f"FROM {PYTHON_BASE}\n{lines}\n".encode()})
        context.seek(0)
        python, _ = engine.images.build(
            fileobj=context, custom_context=True, network_mode="none", rm=True, forcerm=True
        )
        made.append(python)
        monkeypatch.setattr(serving_base_module, "ensure_python_base", lambda _: str(python.id))
        made.append(engine.images.get(ensure_serving_base(engine, WHEELS)))
        return made[-1]

    yield build
    for image in reversed(made):
        engine.images.remove(str(image.id), force=True)


@pytest.mark.full
def test_a_base_that_is_made_again_is_the_same_layers(
    engine: DockerClient, serving_base: str, built_on: Callable[[str], Image]
) -> None:
    """Then only what changed is pushed. A label makes the engine's cache miss every step."""
    again = built_on(f"LABEL again={uuid4().hex}")
    first = engine.images.get(serving_base)
    assert again.id != first.id
    assert again.attrs["RootFS"]["Layers"] == first.attrs["RootFS"]["Layers"]


@pytest.mark.full
def test_a_python_in_usr_local_is_taken_from_there(
    engine: DockerClient, built_on: Callable[[str], Image]
) -> None:
    """As python:3.11-slim has it, which a machine with a way to a registry builds on."""
    image = built_on(
        "RUN mv /usr/bin/python3.11 /usr/local/bin/ && mv /usr/lib/python3.11 /usr/local/lib/"
        " && ln -s python3.11 /usr/local/bin/python3 && rm -r /usr/bin/python3* /usr/lib/python3"
    )
    code = "import sys, ssl, ml_tasks.serving.app; print(sys.base_prefix)"
    assert inside(engine, str(image.id), "python", "-c", code) == "/usr/local\n"
    assert image.attrs["Size"] < MOST_UNPACKED
