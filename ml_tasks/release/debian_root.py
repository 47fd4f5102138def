"""Images of Debian packages, by debootstrap: what stands in where upstream's cannot be pulled."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from docker import DockerClient

from ml_tasks.errors import ReleaseError

log = logging.getLogger(__name__)

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
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
_PATH = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def build_from_packages(
    client: DockerClient,
    tag: str,
    packages: Iterable[str],
    finish: Callable[[Path], None] = lambda root: None,
    settings: Iterable[str] = (_PATH,),
) -> None:
    """Makes an image of bookworm's `packages` and tags it `tag`.

    `finish` changes the stripped tree before it is imported; `settings` are lines of a Dockerfile.

    Raises:
        ReleaseError: not root, no debootstrap, or it failed.
    """
    _ensure_debootstrap(tag)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mammo-base-") as folder:
        root = Path(folder) / "root"
        log.info("building %s from Debian packages (debootstrap, a minute or two)", tag)
        _run(
            "debootstrap",
            "--variant=minbase",
            f"--include={','.join(packages)}",
            f"--keyring={_KEYRING}",
            "bookworm",
            str(root),
        )
        strip(root)
        finish(root)
        archive = Path(folder) / "root.tar"
        _run("tar", "--numeric-owner", "--sort=name", "-C", str(root), "-cf", str(archive), ".")
        _load(client, tag, archive, settings)
    log.info("built %s in %.0f s", tag, time.monotonic() - started)


def strip(root: Path, ballast: Iterable[str] = _BALLAST) -> None:
    """Empties the folders of a Debian tree that a running service never reads.

    Of the documentation the licences stay: who passes a package on must pass them on too.
    """
    for name in ballast:
        for folder, _, files in os.walk(root / name, topdown=False):
            for file in files:
                if file != _LICENCE:
                    (Path(folder) / file).unlink()
            if Path(folder) != root / name and not any(Path(folder).iterdir()):
                Path(folder).rmdir()


def _load(client: DockerClient, tag: str, archive: Path, settings: Iterable[str]) -> None:
    # Streamed by the low-level client: an import may take longer than an ordinary answer.
    patience, client.api.timeout = client.api.timeout, _IMPORT_SECONDS
    try:
        repository, version = tag.split(":")
        answer = client.api.import_image_from_file(
            str(archive), repository=repository, tag=version, changes=list(settings)
        )
        if '"error"' in answer:
            raise ReleaseError(f"the engine did not import {tag}: {answer.strip()}")
    finally:
        client.api.timeout = patience


def _ensure_debootstrap(tag: str) -> None:
    if os.geteuid() != 0:
        raise ReleaseError(
            f"what {tag} is made of cannot be pulled, and building the same from Debian packages "
            "needs root: give the engine a way to an image registry, or run "
            "`mammo base_images` once as root"
        )
    if shutil.which("debootstrap") and _KEYRING.is_file():
        return
    if not shutil.which("apt-get"):
        raise ReleaseError(
            "debootstrap is not installed and this is no Debian or Ubuntu machine; install it, "
            f"or load an image that can stand in and tag it {tag}"
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
            "see that the Debian package index can be reached, then run `mammo base_images`"
        )
