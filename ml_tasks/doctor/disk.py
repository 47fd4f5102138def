"""Free disk and folders: room for a run, the right to write, the service's statistics."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pydantic import Field

from ml_tasks.doctor.findings import Finding, ok, to_mend
from ml_tasks.doctor.place import Place
from ml_tasks.records import Record

DISK, FOLDERS, STATISTICS = "disk", "folders", "statistics folder"
# What is written: a run's checkpoint, models and reports, and for each image its cleaned picture,
# balancing copies and cache; a release's bundle; in the engine the serving base and its parts.
RUN_GB, IMAGE_GB, RELEASE_GB, ENGINE_GB = 1.0, 0.0003, 0.2, 3.0
SERVICE_USER = 10001  # in the image of the service
_COUNTED = 50_000  # images that are looked for; beyond, the need is told for that many
_READ_ONLY = {"raw"}  # a run reads it; only importers write


class DiskFacts(Record):
    """Free room where something is written, by its name."""

    free_gb: dict[str, float]  # runs, releases, cache, engine; absent where it cannot be seen
    where: dict[str, str]
    images: int = 0


class FolderFacts(Record):
    """Which folders of `paths` this user cannot write, and the service's."""

    user: str
    unwritable: dict[str, str] = Field(default_factory=dict)  # name: path
    missing: tuple[str, ...] = ()  # names of these whose folder would have to be made first
    not_folders: dict[str, str] = Field(default_factory=dict)
    statistics: str = ""
    statistics_exists: bool = False
    statistics_open: bool = False  # the service's user may write there


def look_at_disk(place: Place, engine_root: str = "") -> DiskFacts:
    """Free room of the file systems; `engine_root` is the engine's own folder, if it told one."""
    paths = place.config.paths
    where = {name: str(getattr(paths, name)) for name in ("runs", "releases", "cache")}
    if engine_root and Path(engine_root).exists():
        where["engine"] = engine_root
    free = {
        name: round(shutil.disk_usage(_existing(Path(path))).free / 1e9, 1)
        for name, path in where.items()
    }
    return DiskFacts(free_gb=free, where=where, images=_images(paths.raw))


def judge_disk(facts: DiskFacts) -> list[Finding]:
    """One line for each place with too little room, else one for all."""
    needs = {
        "runs": RUN_GB + facts.images * IMAGE_GB,
        "releases": RELEASE_GB,
        "cache": facts.images * IMAGE_GB,
        "engine": ENGINE_GB,
    }
    wrong = [
        to_mend(
            DISK,
            f"{facts.free_gb[name]:g} GB free at {facts.where[name]}, a run may need {need:.1f} GB",
            "free some: old runs, `mammo prune`, "
            + ("docker image prune" if name == "engine" else f"or point paths.{name} elsewhere"),
        )
        for name, need in needs.items()
        if facts.free_gb.get(name, need) < need
    ]
    shown = ", ".join(f"{name} {free:g} GB" for name, free in facts.free_gb.items())
    return wrong or [ok(DISK, f"free: {shown}")]


def look_at_folders(place: Place) -> FolderFacts:
    """Whether each folder, or the place where it would be made, takes files of this user."""
    unwritable, not_folders, missing = {}, {}, []
    for name, path in place.config.paths:
        there = _existing(path)
        if not there.is_dir():
            not_folders[name] = str(there)
        elif not os.access(there, (os.R_OK if name in _READ_ONLY else os.W_OK) | os.X_OK):
            unwritable[name] = str(path)
            missing += [name] * (there != path)
    statistics = place.config.paths.statistics
    exists = statistics.is_dir()
    return FolderFacts(
        user=str(os.geteuid()),
        unwritable=unwritable,
        missing=tuple(missing),
        not_folders=not_folders,
        statistics=str(statistics),
        statistics_exists=exists,
        statistics_open=exists and _open_to(statistics, SERVICE_USER),
    )


def judge_folders(facts: FolderFacts) -> list[Finding]:
    """One line for each folder to mend, else one for all; and one for the service's statistics."""
    wrong = [
        to_mend(
            FOLDERS,
            f"paths.{name}: user {facts.user} has not the right to use {path}",
            _right_to(facts, name, path),
        )
        for name, path in facts.unwritable.items()
    ]
    wrong += [
        to_mend(FOLDERS, f"paths.{name}: {path} is a file", "move it away, or name another folder")
        for name, path in facts.not_folders.items()
    ]
    return [*(wrong or [ok(FOLDERS, "all of paths may be written")]), _statistics(facts)]


def _right_to(facts: FolderFacts, name: str, path: str) -> str:
    """Never of a folder above, which may be the root, nor of data that are others'."""
    if name in facts.missing:
        return f"sudo install -d -o {facts.user} {path}"
    if name in _READ_ONLY:
        return f"sudo setfacl -R -m u:{facts.user}:rX {path}"
    return f"sudo chown -R {facts.user} {path}"


def _statistics(facts: FolderFacts) -> Finding:
    if not facts.statistics_exists:
        return ok(STATISTICS, f"{facts.statistics} is not there yet: the service logs none to it")
    if facts.statistics_open:
        return ok(STATISTICS, f"the service (user {SERVICE_USER}) may write to {facts.statistics}")
    return to_mend(
        STATISTICS,
        f"the service (user {SERVICE_USER}) cannot write to {facts.statistics}",
        f"sudo chown {SERVICE_USER} {facts.statistics}",
    )


def _open_to(folder: Path, user: int) -> bool:
    found = folder.stat()
    bits = found.st_mode
    if found.st_uid == user:
        return bits & 0o300 == 0o300
    if found.st_gid == user:  # the service's group has the same number
        return bits & 0o030 == 0o030
    return bits & 0o003 == 0o003


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists and that this user may look into."""
    while not _there(path) and path != path.parent:
        path = path.parent
    return path


def _there(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:  # a folder above it may not be entered
        return False


def _images(raw: Path) -> int:
    count = 0
    for _, _, names in os.walk(raw):
        count += len(names)
        if count >= _COUNTED:
            break
    return min(count, _COUNTED)
