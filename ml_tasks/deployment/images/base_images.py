"""The images of the services around Airflow: upstream's where they can be pulled, else Debian's."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from docker import DockerClient
from docker.errors import ImageNotFound
from docker.models.images import Image

from ml_tasks.deployment.images.image_ref import ImageRef
from ml_tasks.errors import ReleaseError
from ml_tasks.release.debian_root import build_from_packages, strip
from ml_tasks.release.engine import engine_errors
from ml_tasks.release.image_build import build_image
from ml_tasks.release.serving_base import checkout_file
from ml_tasks.release.upstream import pulled

log = logging.getLogger(__name__)

DOCKERFILE = "docker/base.Dockerfile"
_REGISTRY_SETTINGS = "docker/registry.yml"
SERVICE_USER = 999  # and its group: upstream's postgres and redis have it in their own images
# One tree for all services: what they share is there once. The number rises with its contents.
DEBIAN = "mammography-debian-services:bookworm-2"
_TREES = f"{DEBIAN.partition(':')[0]}:"
_PACKAGES = (
    "ca-certificates",
    "curl",  # asks in the health checks
    "docker-registry",
    "nginx-light",
    "openssl",
    "postgresql-15",
    "prometheus",
    "redis-server",
)
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/lib/postgresql/15/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class BaseImage:
    """A service's image: its name here, upstream's, and the folder of its data."""

    name: str
    upstream: str
    folder: str


BASES = (
    BaseImage("mammography-postgres:15", "postgres:15-bookworm", "/var/lib/postgresql/data"),
    BaseImage("mammography-redis:7", "redis:7-bookworm", "/data"),
    BaseImage("mammography-registry:2", "registry:2", "/var/lib/registry"),
    BaseImage("mammography-nginx:1", "nginx:stable-bookworm", "/var/cache/nginx"),
    BaseImage("mammography-prometheus:2", "prom/prometheus:v2.55.1", "/prometheus"),
)
# Of Debian's tree, beside what no service ever reads: the compiler behind PostgreSQL's JIT
# (100 MB; without it queries run as they are), time zones of a page's menu as source, the cluster
# that the package makes.
_BALLAST = (
    "usr/share/i18n",
    "usr/share/javascript/moment-timezone/data",
    "usr/share/nodejs",
    "usr/lib/postgresql/15/lib/bitcode",
    "etc/postgresql",
    "var/lib/postgresql",
    "var/lib/docker-registry",
    "var/lib/redis",
    "var/lib/prometheus",
)
_JIT = ("usr/lib/postgresql/15/lib/llvmjit.so", "usr/lib/x86_64-linux-gnu/libLLVM-14.so.1")


def ensure_base_images(client: DockerClient) -> tuple[ImageRef, ...]:
    """The images of all services, made where they are missing.

    Raises:
        ReleaseError: one can neither be pulled nor built; the text says why and what to do.
        EngineUnavailable: the engine stopped answering.
    """
    with engine_errors(client, "the images of the services were looked for"):
        return tuple(_each(client))


def _each(client: DockerClient) -> Iterator[ImageRef]:
    reachable = True  # one that cannot be pulled says it of all: they lie at one registry
    for base in BASES:
        started = time.monotonic()
        made = not _is_there(client, base.name) or _of_another_tree(client, base.name)
        if made:
            found = pulled(client, base.upstream) if reachable else None
            reachable = found is not None
            if found is None:
                ensure_debian_services(client).tag(*base.name.split(":"))
            else:
                make_ready(client, base, found)
        seconds = time.monotonic() - started if made else 0.0
        yield ImageRef.of(client, base.name, seconds)


def make_ready(client: DockerClient, base: BaseImage, upstream: str) -> None:
    """Makes of upstream's image (an id) the one that runs as SERVICE_USER, and tags it."""
    build_image(
        client,
        base.name,
        {
            "Dockerfile": checkout_file(DOCKERFILE),
            "registry.yml": checkout_file(_REGISTRY_SETTINGS),
        },
        {"BASE": upstream, "SEARCH": _PATH, "FOLDER": base.folder},
    )


def ensure_debian_services(client: DockerClient) -> Image:
    """The image of all services from Debian's packages, built if it is missing."""
    if not _is_there(client, DEBIAN):
        settings = (f"ENV PATH={_PATH}", f"USER {SERVICE_USER}:{SERVICE_USER}")
        build_from_packages(client, DEBIAN, _PACKAGES, finish_tree, settings)
    return client.images.get(DEBIAN)


def finish_tree(root: Path) -> None:
    """Makes of Debian's tree what upstream's images are: the same paths, names and user."""
    check_nothing_runs(root)
    strip(root, _BALLAST)
    for name in _JIT:
        (root / name).unlink(missing_ok=True)
    settings = root / "etc/docker/registry/config.yml"
    shutil.copyfile(checkout_file(_REGISTRY_SETTINGS), settings)
    (root / "usr/bin/registry").symlink_to("docker-registry")
    with (root / "etc/passwd").open("a") as stream:
        stream.write(f"service:x:{SERVICE_USER}:{SERVICE_USER}::/tmp:/bin/sh\n")
    with (root / "etc/group").open("a") as stream:
        stream.write(f"service:x:{SERVICE_USER}:\n")
    for base in BASES:
        folder = root / base.folder.removeprefix("/")
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        os.chown(folder, SERVICE_USER, SERVICE_USER)


def check_nothing_runs(root: Path) -> None:
    """Refuses a tree in which installing a package has started its service.

    Raises:
        ReleaseError: names the process.
    """
    for process in Path("/proc").glob("[0-9]*"):
        try:
            its_root = (process / "root").readlink()
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has ended meanwhile
        if its_root == root.resolve():
            raise ReleaseError(
                f"process {process.name} ({words.strip()}) runs in {root}: a package has started "
                "its service; end it, then run `mammo base_images` again"
            )


def _of_another_tree(client: DockerClient, name: str) -> bool:
    """Whether it is a tree of Debian packages, but not of those that are named here."""
    trees = [tag for tag in client.images.get(name).tags if tag.startswith(_TREES)]
    return bool(trees) and DEBIAN not in trees


def _is_there(client: DockerClient, name: str) -> bool:
    try:
        client.images.get(name)
    except ImageNotFound:
        return False
    return True
