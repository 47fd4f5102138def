"""Why a run's folder must stay, whatever its age: what it made serves, or somebody is at it."""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import yaml

from ml_tasks.config import Config
from ml_tasks.config_operation import LONGEST_WAIT_HOURS
from ml_tasks.errors import ReleaseError
from ml_tasks.records import Decision, ImageRecord, Verdict
from ml_tasks.release.audit import Deed, read_audit
from ml_tasks.release.bundle import bundle_of, read_json
from ml_tasks.release.current_model import CURRENT
from ml_tasks.release.ledger import predecessor, read_moves
from ml_tasks.release.registry_api import Registry
from ml_tasks.release.releases import is_pruned
from ml_tasks.release.retention import plan
from ml_tasks.run_paths import RECORD, folder_name

_APPROVAL = "approve"  # the stage's folder
_UNFINISHED = "unfinished-train.json"  # as model/unfinished.py writes it
_ANSWERED = (Deed.APPROVED, Deed.REJECTED, Deed.TIMED_OUT)


def kept_versions(config: Config) -> dict[str, str]:
    """The releases that stay, each with the reason; the registry says what serves.

    Raises:
        ReleaseError: what serves is not known for sure.
        ChampionError: the ledger is damaged.
        RegistryUnavailable, RegistryRefused: the registry does not tell.
    """
    releases, keep = config.paths.releases, config.housekeeping.keep_releases
    sealed = [path.parent.name for path in sorted(releases.glob("[!.]*/bundle"), reverse=True)]
    kept = dict.fromkeys(sealed[:keep], "one of the newest releases")
    moves = read_moves(releases) or []
    if not moves:
        return kept
    with Registry(config.release) as registry:
        kept |= {each.version: each.stays for each in plan(config, registry, keep) if each.stays}
    # By the ledger, too: the tag may have been moved past it.
    before = predecessor(moves, moves[-1].digest)
    return kept | {move.version: "was moved to last" for move in (moves[-1], before) if move}


def runs_of_releases(config: Config) -> dict[str, str]:
    """Folder names of the runs that the kept releases came from, each with the reason.

    Raises:
        ReleaseError: a kept release does not say which run made it; else as `kept_versions`.
    """
    found = {}
    for version, why in kept_versions(config).items():
        bundle = bundle_of(config.paths.releases, version)
        if not bundle.is_dir() and is_pruned(config.paths.releases, version, bundle_too=True):
            continue  # as `mammo prune --bundles` was told: nothing can serve by it again
        if not bundle.is_dir():
            raise ReleaseError(
                f"{version} stays ({why}), but {bundle} is not there, so it is not known which run "
                "made it; put it back from a copy, then run this again. Nothing was removed"
            )
        run_id = str(read_json(bundle, "lineage.json").get("run_id", ""))
        found[folder_name(run_id)] = f"made {version}, which stays: {why}"
    return found


def runs_in_hand(config: Config) -> dict[str, str]:
    """Folder names of the runs that other files point to: paths.model, a training to go on with.

    Raises:
        AuditError: the audit log is damaged.
    """
    pointers = {
        config.paths.model / CURRENT: "its model lies in paths.model",
        config.paths.runs / _UNFINISHED: "its training is to go on",
    }
    found = {
        folder_name(str(json.loads(path.read_bytes())["run_id"])): why
        for path, why in pointers.items()
        if path.exists()
    }
    waiting = {}
    for entry in read_audit(config.paths.releases):
        if entry.deed is Deed.ASKED:
            waiting[entry.subject] = f"waits for somebody's approval since {entry.at}"
        elif entry.deed in _ANSWERED:
            waiting.pop(entry.subject, None)
    return found | {folder_name(run_id): why for run_id, why in waiting.items()}


def why_at_work(run: Path) -> str:
    """Why a run is being worked on, or waited for; empty if nothing says so.

    Whoever works on a run writes into its folder, so its age tells most of it (`last_touched`);
    this adds what may be silent for longer: a training that holds its lock, an open approval.
    """
    if _is_held(run / "checkpoint" / "lock"):
        return "is being trained"
    decision = run / Decision.stage / RECORD
    if (run / ImageRecord.stage).exists() or (run / _APPROVAL / RECORD).exists():
        return ""
    try:
        verdict = Decision.model_validate_json(decision.read_bytes()).verdict
        age = time.time() - decision.stat().st_mtime
    except (OSError, ValueError):
        return ""
    if verdict is not Verdict.FAIL and age < LONGEST_WAIT_HOURS * 3600:
        return "may wait for somebody's approval"
    return ""


def with_parents(runs: Path, kept: dict[str, str]) -> dict[str, str]:
    """The kept runs and, of each, the runs whose results it was made from, over any number."""
    found, waiting = dict(kept), list(kept)
    while waiting:
        child = waiting.pop()
        for parent in parents(runs, runs / child):
            if parent not in found:
                found[parent] = f"{child} was made from it, and stays"
                waiting.append(parent)
    return found


def parents(runs: Path, run: Path) -> set[str]:
    """Folder names of other runs that a run's records or settings name."""
    named = {folder_name(run_id) for run_id in _run_ids(run)}
    for place in _places(run):
        try:
            named.add(place.relative_to(runs.resolve()).parts[0])
        except (ValueError, IndexError):  # it lies elsewhere
            continue
    return {name for name in named if name != run.name and (runs / name).is_dir()}


def _run_ids(run: Path) -> Iterator[str]:
    """Of a set that was cleaned by another run, the record names that one."""
    elsewhere = [place / RECORD for place in _places(run)]
    for record in [*run.glob(f"*/{RECORD}"), *elsewhere]:
        try:
            yield str(json.loads(record.read_bytes())["run_id"])
        except (OSError, ValueError, KeyError, TypeError):
            continue


def _places(run: Path) -> list[Path]:
    """Paths that a run's settings name: where it kept things, what its network began with."""
    told: list[object] = []
    with suppress(OSError, ValueError, AttributeError):
        told += json.loads((run / "elsewhere.json").read_bytes()).values()
    with suppress(OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        told.append(yaml.safe_load((run / "config.yaml").read_text())["model"]["weights"])
    return [Path(each).resolve() for each in told if isinstance(each, str) and "/" in each]


def _is_held(lock: Path) -> bool:
    """Whether another process holds a lock file, or that cannot be told."""
    try:
        with lock.open("r+") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return False
