"""`make install-bundle`: the stack on a machine without a network, from the archive alone."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from ml_tasks.deployment.archive import BUNDLE, Archive, open_archive
from ml_tasks.deployment.bundle import IMAGES_PART, WEIGHTS_PART, WHEELS, WHEELS_PART
from ml_tasks.deployment.bundle_images import inspected
from ml_tasks.deployment.compose import compose_program, docker
from ml_tasks.deployment.folder_stream import unpack
from ml_tasks.deployment.image_sources import sources_hash, stale_images
from ml_tasks.deployment.lost_settings import refuse_lost_settings
from ml_tasks.deployment.profiles import TRAINS, profiles
from ml_tasks.deployment.say import Say
from ml_tasks.deployment.settings_file import change_settings, ensure_settings, settings_so_far
from ml_tasks.deployment.shared_volume import ensure_shared_volume
from ml_tasks.deployment.stack import up
from ml_tasks.deployment.streams import feed
from ml_tasks.deployment.worker_host import is_worker_host
from ml_tasks.errors import ArchiveRefused, StackError
from ml_tasks.storage import put_in_place, storage_errors

_WORK = ".unpacking"


def install_bundle(project: Path, source: Path, say: Say) -> None:
    """Loads the images, puts wheels and weights in place, and starts the stack; on a host beside
    the main one, its worker.

    Raises:
        ArchiveRefused: the archive is damaged, foreign, for another kind of machine, or of another
            version of the code than this checkout; nothing was touched.
        StackError: there is no engine, it holds the data of a stack whose .env is not here, or the
            stack does not come up.
    """
    begin = time.monotonic()
    docker("version")
    compose_program()
    refuse_lost_settings(project)
    archive = open_archive(source, BUNDLE)
    say(f"{source} is whole: made at {archive.about['made_at']}, identity {archive.identity}")
    _refuse_other(archive, project)
    settings = settings_so_far(project)
    if is_worker_host(settings):  # whose settings and volume are another's
        _refuse_without_worker(archive, settings)
    feed(["docker", "load"], archive.chunks(IMAGES_PART), "loading the images")
    _check_images(archive, project)
    say(f"{len(archive.about['images'])} images are in the engine")
    _put(archive, WHEELS_PART, project / WHEELS)
    if not is_worker_host(settings):
        _set_up(archive, project, say)
    up(project, say)
    say(f"installed in {time.monotonic() - begin:.0f} s")


def _set_up(archive: Archive, project: Path, say: Say) -> None:
    settings = ensure_settings(project)
    ensure_shared_volume(settings, project)
    _put_weights(archive, Path(settings["MAMMO_SHARED"]), int(settings["MAMMO_UID"]), say)
    _choose_profile(archive, project, settings, say)


def _refuse_other(archive: Archive, project: Path) -> None:
    about = archive.about
    if about["machine"] != platform.machine():
        raise ArchiveRefused(
            f"{archive.path} is for {about['machine']}, this machine is {platform.machine()}; "
            "make the bundle on a machine of this kind"
        )
    if about["sources"] != sources_hash(project):
        raise ArchiveRefused(
            f"{archive.path} is of another version of the code (revision "
            f"{about['revision'] or 'unknown'}) than {project}; unpack the checkout in it beside "
            f"this one: tar -xOf {archive.path} checkout.tar | tar -xC FOLDER"
        )


def _refuse_without_worker(archive: Archive, settings: Mapping[str, str]) -> None:
    """Nobody else can say whether a box with a GPU is to train on its processor."""
    kind = next(each for each in profiles(settings) if each in TRAINS)
    if f"mammography-{kind}" not in archive.about["images"]:
        raise ArchiveRefused(
            f"{archive.path} has no image mammography-{kind}, the worker of this host; before make "
            f"bundle, there: .venv/bin/mammo images --role {kind}. Or choose the other worker "
            "here: a line MAMMO_PROFILES=cpu (or gpu) in .env"
        )


def _check_images(archive: Archive, project: Path) -> None:
    """Refuses what was loaded if it is not what the bundle says."""
    tags = archive.about["images"]
    missing = [tag for tag in tags if inspected(tag) is None]
    missing += stale_images(project, tags)
    if missing:
        raise StackError(
            f"after loading, {', '.join(missing)} is missing or of another version; something else "
            "loads images into this engine: run this again"
        )


def _put(archive: Archive, part: str, folder: Path) -> list[str]:
    """Unpacks a part into `folder`, each name at its top at once; what else is there stays."""
    work = folder / _WORK
    with storage_errors(folder):
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        names = unpack(archive.chunks(part), work, None)
        for name in names:
            put_in_place(work / name, folder / name)
        work.rmdir()
    return names


def _put_weights(archive: Archive, shared: Path, uid: int, say: Say) -> None:
    """Where the workers look for them; each file takes its place at once."""
    work = shared / _WORK
    owner = (lambda _: uid) if os.geteuid() == 0 else None
    with storage_errors(shared):
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        unpack(archive.chunks(WEIGHTS_PART), work, owner)
        for file in sorted(path for path in work.rglob("*") if path.is_file()):
            target = shared / file.relative_to(work)
            target.parent.mkdir(parents=True, exist_ok=True)
            if owner is not None:
                os.chown(target.parent, uid, -1)
            file.replace(target)
            say(f"pretrained weights: {target}")
        shutil.rmtree(work)


def _choose_profile(archive: Archive, project: Path, settings: dict[str, str], say: Say) -> None:
    """The worker that the bundle brings, where the machine would rather have the other."""
    brought = [kind for kind in TRAINS if f"mammography-{kind}" in archive.about["images"]]
    wanted = [kind for kind in profiles(settings) if kind in TRAINS]
    if set(wanted) - set(brought):
        say(f"the bundle has no image for {wanted[0]}; the queue gpu is served by {brought[0]}")
        others = [each for each in profiles(settings) if each not in TRAINS]
        change_settings(project, {"MAMMO_PROFILES": ",".join([*others, brought[0]])})
