"""Every run's folder with the reason why it stays; without a reason it may go."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path

from ml_tasks.config import Config
from ml_tasks.release.kept_runs import (
    runs_in_hand,
    runs_of_releases,
    why_at_work,
    with_parents,
)
from ml_tasks.release.removal import Looked, last_touched, size_of

_DAY = 24 * 3600.0
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")  # as run_paths.folder_name makes them


def judged_runs(config: Config) -> list[Looked]:
    """The folders of paths.runs, the one that was worked on last first.

    Raises:
        ReleaseError, ChampionError, AuditError: what must stay is not known.
        RegistryUnavailable, RegistryRefused: the registry does not tell what serves.
    """
    runs, settings = config.paths.runs, config.housekeeping
    touched = {path: last_touched(path) for path in _entries(runs)}
    folders = [path for path in touched if _is_run(path)]
    folders.sort(key=lambda path: touched[path], reverse=True)
    limit = time.time() - settings.keep_days * _DAY
    kept = {path.name: why for path in folders if (why := why_at_work(path))}
    kept |= {
        path.name: f"is younger than {settings.keep_days:g} days"
        for path in folders
        if touched[path] >= limit
    }
    kept |= {path.name: "one of the newest runs" for path in folders[: settings.keep_runs]}
    kept |= runs_in_hand(config) | runs_of_releases(config)
    kept = with_parents(runs, kept)
    others = [path for path in touched if path not in folders]
    return [
        Looked(path=path, bytes=size_of(path), stays=kept.get(path.name, "")) for path in folders
    ] + [Looked(path=path, stays=_no_run(path)) for path in others]


def judged_snapshots(config: Config, runs: Sequence[Looked]) -> list[Looked]:
    """The listings of announced data: those that a run which stays went by stay, too."""
    limit = time.time() - config.housekeeping.keep_days * _DAY
    settings = _settings_of([each.path for each in runs if each.stays])
    judged = []
    for path in _entries(config.paths.snapshots):
        if path.is_symlink() or not (path / "listing.csv").is_file():
            why = "is no listing of announced data: look at it"
        elif path.name in settings:
            why = "a run that stays went by it"
        elif last_touched(path) >= limit:
            why = f"is younger than {config.housekeeping.keep_days:g} days"
        else:
            why = ""
        judged.append(Looked(path=path, bytes=size_of(path), stays=why))
    return judged


def _entries(folder: Path) -> list[Path]:
    """Folders and links to folders; files and hidden things are no business of housekeeping."""
    if not folder.is_dir():
        return []
    return sorted(
        path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
    )


def _is_run(path: Path) -> bool:
    named = _NAME.fullmatch(path.name)
    return bool(named) and not path.is_symlink() and (path / "config.yaml").is_file()


def _no_run(path: Path) -> str:
    if path.is_symlink():
        return "is a link: look where it leads"
    return "is no run of this pipeline (by its name, or it has no config.yaml): look at it"


def _settings_of(runs: Sequence[Path]) -> str:
    """The settings of these runs as one text, to look for the name of what they went by."""
    files = [run / "config.yaml" for run in runs]
    return "\n".join(path.read_text(errors="replace") for path in files if path.is_file())
