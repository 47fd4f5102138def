"""The Python base image: pulled where a registry can be reached, else built of Debian packages."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import requests
from docker import DockerClient
from docker.errors import DockerException, ImageNotFound

from ml_tasks.errors import ReleaseError
from ml_tasks.release.engine import engine_errors

log = logging.getLogger(__name__)

# The number rises when `build` makes another tree: one that was made before is not taken then.
TAG = "mammography-python-base:bookworm-2"
UPSTREAM = ("python", "3.11-slim-bookworm")
PULL_SECONDS = 60.0
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_PACKAGES = "python3,python3-venv,ca-certificates"
# What a running service never reads: package lists and caches, documentation, translations.
_BALLAST = (
    "var/cache/apt",
    "var/lib/apt/lists",
    "var/cache/debconf",
    "var/log",
    "usr/share/doc",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/bash-completion",
)
_LICENCE = "copyright"  # usr/share/doc/PACKAGE/copyright
_IMPORT_SECONDS = 600


def ensure_python_base(client: DockerClient) -> str:
    """The id of the Python base image, made first where it is missing.

    Raises:
        ReleaseError: it can neither be pulled nor built; the text says why and what to do.
        EngineUnavailable: the engine stopped answering.
    """
    with engine_errors(client, "the Python base image was looked for"):
        try:
            return str(client.images.get(TAG).id)
        except ImageNotFound:
            pass
        if not pull(client):
            build(client)
        return str(client.images.get(TAG).id)


def pull(client: DockerClient, seconds: float = PULL_SECONDS) -> bool:
    """Pulls the upstream image and tags it TAG; False where that fails or takes too long."""
    name = ":".join(UPSTREAM)
    log.info("pulling %s (for at most %.0f s)", name, seconds)
    failures: list[Exception] = []
    pulled: list[str] = []

    def work() -> None:
        try:
            pulled.append(str(client.images.pull(*UPSTREAM).id))
        except (DockerException, requests.exceptions.RequestException) as error:
            failures.append(error)

    # The SDK's pull knows no time limit, and an engine without a network may wait for minutes.
    thread = threading.Thread(target=work, name="pull-python-base", daemon=True)
    started = time.monotonic()
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        log.info("%s was not there after %.0f s; building from Debian packages", name, seconds)
        return False
    if not pulled:
        why = failures[0] if failures else "no reason given"
        log.info("%s cannot be pulled (%s); building from Debian packages", name, why)
        return False
    # Not in the thread: a pull that was given up on would later move the tag.
    client.images.get(pulled[0]).tag(*TAG.split(":"))
    log.info("pulled %s in %.0f s", name, time.monotonic() - started)
    return True


def build(client: DockerClient) -> None:
    """Makes an equal base by debootstrap and tags it TAG.

    Raises:
        ReleaseError: not root, no debootstrap, or it failed.
    """
    _ensure_debootstrap()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mammo-base-") as folder:
        root = Path(folder) / "root"
        log.info("building %s from Debian packages (debootstrap, about a minute)", TAG)
        _run(
            "debootstrap",
            "--variant=minbase",
            f"--include={_PACKAGES}",
            f"--keyring={_KEYRING}",
            "bookworm",
            str(root),
        )
        strip(root)
        archive = Path(folder) / "root.tar"
        _run("tar", "--numeric-owner", "--sort=name", "-C", str(root), "-cf", str(archive), ".")
        _load(client, archive)
    log.info("built %s in %.0f s", TAG, time.monotonic() - started)


def strip(root: Path) -> None:
    """Empties the folders of a Debian tree that a running service never reads.

    Of the documentation the licences stay: who passes a package on must pass them on too.
    """
    for name in _BALLAST:
        for folder, _, files in os.walk(root / name, topdown=False):
            for file in files:
                if file != _LICENCE:
                    (Path(folder) / file).unlink()
            if Path(folder) != root / name and not any(Path(folder).iterdir()):
                Path(folder).rmdir()


def _load(client: DockerClient, archive: Path) -> None:
    # Streamed by the low-level client: an import may take longer than an ordinary answer.
    patience, client.api.timeout = client.api.timeout, _IMPORT_SECONDS
    try:
        repository, tag = TAG.split(":")
        changes = ["ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
        answer = client.api.import_image_from_file(
            str(archive), repository=repository, tag=tag, changes=changes
        )
        if '"error"' in answer:
            raise ReleaseError(f"the engine did not import {TAG}: {answer.strip()}")
    finally:
        client.api.timeout = patience


def _ensure_debootstrap() -> None:
    if os.geteuid() != 0:
        raise ReleaseError(
            f"{':'.join(UPSTREAM)} cannot be pulled, and building the same from Debian packages "
            "needs root: give the engine a way to an image registry, or run "
            "`mammo serving-base` once as root"
        )
    if shutil.which("debootstrap") and _KEYRING.is_file():
        return
    if not shutil.which("apt-get"):
        raise ReleaseError(
            "debootstrap is not installed and this is no Debian or Ubuntu machine; install it, "
            f"or load an image of Python 3.11 with venv and tag it {TAG}"
        )
    log.info("installing debootstrap with apt-get, to build the base image")
    _run("apt-get", "update", "-q")
    _run(
        "apt-get", "install", "-yq", "--no-install-recommends",
        "debootstrap", "debian-archive-keyring",
    )  # fmt: skip


def _run(*command: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", env=environment, check=False
    )
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-8:])
        raise ReleaseError(
            f"`{' '.join(command)}` ended with status {done.returncode}:\n{tail}\n"
            "see that the Debian package index can be reached, then run `mammo serving-base`"
        )
