"""`make bundle`: the checkout, all images, wheels and weights in one archive, for a machine that
has no network.
"""

from __future__ import annotations

import platform
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from ml_tasks.deployment.archive import BUNDLE, ArchiveWriter, new_archive
from ml_tasks.deployment.bundle_images import image_stream, images_to_carry, inspected
from ml_tasks.deployment.compose import docker
from ml_tasks.deployment.folder_stream import packed, packed_as
from ml_tasks.deployment.image_sources import sources_hash
from ml_tasks.deployment.needed_images import ensure_images, images_of
from ml_tasks.deployment.pretrained_weights import weights_here
from ml_tasks.deployment.say import Say
from ml_tasks.deployment.settings_file import NAME, read_settings
from ml_tasks.deployment.streams import output_of
from ml_tasks.errors import StackError

CHECKOUT_PART, IMAGES_PART = "checkout.tar", "images.tar.gz"
WHEELS_PART = "wheels.tar"
WEIGHTS_PART = "weights.tar"
WHEELS = ".local/wheels"
_COMPLETE = "complete"  # the file that a whole wheelhouse has
# What is packed of a checkout that has no git. Whatever else lies there may be data of patients,
# a key or a backup.
_PARTS = (
    ".gitignore", "CHANGELOG.md", "LICENSE", "Makefile", "README.md", "benchmarks", "config.yaml",
    "dags", "docker", "docker-compose.yaml", "docs", "ml_tasks", "plugins", "push_model.sh",
    "pyproject.toml", "requirements", "setup_ml.sh", "tests",
)  # fmt: skip


def make_bundle(project: Path, path: Path, say: Say) -> str:
    """Writes the archive `path`; gives its identity.

    Raises:
        StackError: an image is missing, or the checkout has changes that no revision holds.
        StorageError: the archive cannot be written. Nothing is left behind in either case.
    """
    begin = time.monotonic()
    docker("version")
    revision = _revision(project)
    # An image for GPUs of an older version of the code would be refused on the other machine.
    trains = "cpu" if inspected("mammography-gpu") is None else "gpu"
    ensure_images(project, images_of([trains]), say)
    with new_archive(path, BUNDLE) as archive:
        images = images_to_carry(project, say)
        archive.about |= {
            "revision": revision,
            "sources": sources_hash(project),
            "machine": platform.machine(),
            "images": images,
        }
        _write(archive, project, images, say)
    size, seconds = path.stat().st_size, time.monotonic() - begin
    say(f"{path}: {size / 1e6:.0f} MB in {seconds:.0f} s, identity {archive.identity}")
    say(_HOW.format(name=path.name))
    return archive.identity


def _write(archive: ArchiveWriter, project: Path, images: Iterable[str], say: Say) -> None:
    def add(name: str, chunks: Iterable[bytes]) -> None:
        begin = time.monotonic()
        part = archive.add(name, chunks)
        say(f"  {name:16} {part.size / 1e6:8.1f} MB {time.monotonic() - begin:6.1f} s")

    add(CHECKOUT_PART, _checkout(project))
    add(IMAGES_PART, image_stream(images))
    wheels = sorted(path.parent for path in (project / WHEELS).glob(f"*/{_COMPLETE}"))
    add(WHEELS_PART, packed(project / WHEELS, [folder.name for folder in wheels]))
    shared = _shared(project)
    weights = weights_here(shared)
    for place, file in weights.items():
        say(f"  pretrained weights: {file}, to be {place} on the shared volume")
    if not weights:
        say("  no pretrained weights are on this machine: training offline starts from none")
    archive.add(WEIGHTS_PART, packed_as(weights))


def _shared(project: Path) -> Path:
    usual = project / "shared"
    if not (project / NAME).exists():
        return usual
    return Path(read_settings(project).get("MAMMO_SHARED", usual))


def _revision(project: Path) -> str:
    """The commit that is checked out; empty where this is no clone.

    Raises:
        StackError: files differ from it, so that the images would be of no revision.
    """
    if not (project / ".git").exists():
        return ""
    changed = _git(project, "status", "--porcelain", "--untracked-files=no")
    if changed:
        raise StackError(f"the checkout has changes; commit or revert them first:\n{changed}")
    return _git(project, "rev-parse", "HEAD")


def _git(project: Path, *arguments: str) -> str:
    command = ["git", "-C", str(project), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StackError(f"`git {' '.join(arguments)}` failed: {done.stderr.strip()}")
    return done.stdout.strip()


def _checkout(project: Path) -> Iterator[bytes]:
    if (project / ".git").exists():
        command = ["git", "-C", str(project), "archive", "--format=tar", "HEAD"]
        return output_of(command, "writing out the checkout")
    return packed(project, [name for name in _PARTS if (project / name).exists()])


_HOW = """\
On the other machine (docker, compose, python3, make and tar are there; Debian's packages of them
are not in the bundle):
  mkdir mammography && tar -xOf {name} checkout.tar | tar -xC mammography
  cd mammography && make install-bundle FROM=../{name}
It prints the identity above, if it is this archive."""
