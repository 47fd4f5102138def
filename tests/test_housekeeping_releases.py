"""Housekeeping beside releases: the runs of what serves and of what stood before it stay."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ml_tasks.config import Config
from ml_tasks.config_release import ReleaseConfig
from ml_tasks.errors import AuditError, RegistryUnavailable, ReleaseError
from ml_tasks.housekeeping import tidy_images, tidy_runs
from ml_tasks.release.bundle import add_record, bundle_of
from ml_tasks.release.ledger import Move, note_move
from ml_tasks.release.releases import PRUNED
from tests.old_folders import folders, run_of, settings, stays
from tests.release.registry_server import UNKNOWN, Answer, RegistryServer
from tests.toy_run import make_toy_bundle

FIRST, SECOND, THIRD = (f"sha256:{number * 64}" for number in "123")


@contextmanager
def registry_with(tags: dict[str, str]) -> Iterator[str]:
    """A registry that holds these tags."""

    def answer(_: str, path: str, __: dict[str, str]) -> Answer:
        last = path.rpartition("/")[2].partition("?")[0]
        if last == "list":
            return 200, {}, {"tags": sorted(tags)}
        return (200, {"Docker-Content-Digest": tags[last]}, {}) if last in tags else UNKNOWN

    with RegistryServer(answer) as server:
        yield server.address


def shipped(config: Config) -> dict[str, str]:
    """Three releases by three old runs, the second of which serves again; version by run."""
    versions = {}
    before = None
    for run_id, digest in (("run-1", FIRST), ("run-2", SECOND), ("run-3", THIRD)):
        run_of(config, run_id)
        bundle = make_toy_bundle(config.paths.releases.parent, run_id)
        version = versions[run_id] = bundle.parent.name
        note_move(config.paths.releases, moved(version, digest, before))
        before = digest
    note_move(config.paths.releases, moved(versions["run-2"], SECOND, THIRD, kind="rollback"))
    return versions


def moved(version: str, digest: str, before: str | None, **more: Any) -> Move:
    return Move(
        version=version, digest=digest, reference="r", moved_at="t", digest_before=before, **more
    )


def at(config: Config, address: str) -> Config:
    release = ReleaseConfig(registry=address, image="toy")
    return config.model_copy(update={"release": release})


def test_the_runs_of_what_serves_and_of_what_stood_before_it_stay(tmp_path: Path) -> None:
    config = settings(tmp_path)
    versions = shipped(config)
    run_of(config, "nobody")
    run_of(config, "newest", 0)
    tags = dict(zip(versions.values(), (FIRST, SECOND, THIRD), strict=True))
    with registry_with({**tags, "production": SECOND}) as address:
        found = stays(tidy_runs(at(config, address), remove_them=True))
    assert found["run-2"].startswith(f"made {versions['run-2']}, which stays: ")
    assert found["run-1"].startswith(f"made {versions['run-1']}, which stays: ")
    newest = max(versions, key=lambda run: versions[run])
    assert found[newest], "the newest release stays, too"
    assert found["nobody"] == ""


def test_a_bundle_that_prune_removed_does_not_stop_it_and_one_that_is_lost_does(
    tmp_path: Path,
) -> None:
    """Going back to the oldest release that is left: what stood before it is gone for good."""
    config = settings(tmp_path)
    versions = shipped(config)
    run_of(config, "newest", 0)
    bundle = bundle_of(config.paths.releases, versions["run-1"])
    shutil.rmtree(bundle)
    tags = {versions["run-2"]: SECOND, versions["run-3"]: THIRD, "production": SECOND}
    with registry_with(tags) as address:
        note = {"digest": FIRST, "pruned_at": "t", "bundle_too": False}
        add_record(bundle, PRUNED, note)  # of its image alone: the bundle is lost
        with pytest.raises(ReleaseError, match="it is not known which run made it"):
            tidy_runs(at(config, address), remove_them=True)
        add_record(bundle, PRUNED, note | {"bundle_too": True})
        found = stays(tidy_runs(at(config, address), remove_them=True))
    assert found["run-1"] == "" and found["run-2"].startswith("made ")


def test_nothing_goes_while_it_is_not_known_what_serves(tmp_path: Path) -> None:
    config = settings(tmp_path)
    versions = shipped(config)
    before = folders(config.paths.runs)
    with pytest.raises(RegistryUnavailable):
        tidy_runs(at(config, "localhost:1"), remove_them=True)
    with registry_with({"production": "sha256:" + "9" * 64}) as address:
        with pytest.raises(ReleaseError, match="not certain what must stay"):
            tidy_runs(at(config, address), remove_them=True)
        with pytest.raises(ReleaseError, match="not certain what must stay"):
            tidy_images(at(config, address), remove_them=True)
    shutil.rmtree(config.paths.releases / versions["run-2"] / "bundle")
    with (
        registry_with({versions["run-2"]: SECOND, "production": SECOND}) as address,
        pytest.raises(ReleaseError, match="it is not known which run made it"),
    ):
        tidy_runs(at(config, address), remove_them=True)
    (config.paths.releases / "audit.jsonl").write_text("{}\n")
    with pytest.raises(AuditError):
        tidy_runs(config, remove_them=True)
    assert folders(config.paths.runs) == before
