"""Housekeeping on made-up folders: what must stay stays, whatever its age; killed, it goes on."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ml_tasks.config import Config, save_config
from ml_tasks.config_operation import DriftConfig, HousekeepingConfig
from ml_tasks.config_release import ReleaseConfig
from ml_tasks.errors import AuditError, RegistryUnavailable, ReleaseError, StorageError
from ml_tasks.housekeeping import Tidied, tidy_images, tidy_logs, tidy_runs
from ml_tasks.records import Decision, Verdict
from ml_tasks.release.audit import Deed, note, read_audit
from ml_tasks.release.bundle import add_record, bundle_of
from ml_tasks.release.ledger import Move, note_move
from ml_tasks.release.releases import PRUNED
from ml_tasks.release.removal import remove
from ml_tasks.run_paths import RunPaths
from ml_tasks.storage import write_bytes, write_json
from tests.builders import toy_config
from tests.counts import cases
from tests.release.registry_server import UNKNOWN, Answer, RegistryServer
from tests.toy_run import make_toy_bundle

OLD = 400  # days
FIRST, SECOND, THIRD = (f"sha256:{number * 64}" for number in "123")


def settings(root: Path, **house: Any) -> Config:
    kept = HousekeepingConfig(**{"keep_runs": 1, "keep_releases": 1, "keep_days": 30, **house})
    return toy_config(root, housekeeping=kept)


def run_of(config: Config, run_id: str, days: float = OLD) -> RunPaths:
    """A run's folder with a few files, last touched so many days ago."""
    run = RunPaths(config.paths.runs, run_id)
    save_config(config, run.config)
    write_json(run.stage("train") / "record.json", {"run_id": run_id})
    write_bytes(run.stage("train") / "model.h5", b"x" * 1000)
    age(run.root, days)
    return run


def age(path: Path, days: float) -> None:
    """Sets everything in a folder, and the folder, to so many days ago."""
    moment = time.time() - days * 24 * 3600
    for found in [*sorted(path.rglob("*"), reverse=True), path]:
        os.utime(found, (moment, moment), follow_symlinks=False)


def stays(found: Tidied) -> dict[str, str]:
    return {each.path.name: each.stays for each in found.looked}


def folders(path: Path) -> list[str]:
    return sorted(each.name for each in path.iterdir() if not each.name.startswith("."))


def test_by_default_it_only_says_what_may_go(tmp_path: Path) -> None:
    config = settings(tmp_path)
    for name in ("a", "b", "c"):
        run_of(config, name)
    found = tidy_runs(config, remove_them=False)
    assert len(found.going) == 2 and found.bytes > 2000
    assert "2 of 3" in found.summary() and "may go" in found.summary()
    assert folders(config.paths.runs) == ["a", "b", "c"]
    assert read_audit(config.paths.releases) == []


def test_old_runs_go_with_a_line_each_and_the_newest_and_the_younger_stay(tmp_path: Path) -> None:
    config = settings(tmp_path)
    for name, days in (("oldest", 900), ("old", 500), ("young", 29), ("now", 0)):
        run_of(config, name, days)
    write_bytes(config.paths.logs / "old" / "events.out", b"1")
    found = tidy_runs(config, remove_them=True, who="ana")
    assert stays(found) == {
        "now": "one of the newest runs",
        "young": "is younger than 30 days",
        "old": "",
        "oldest": "",
    }
    assert folders(config.paths.runs) == ["now", "young"]
    assert not (config.paths.logs / "old").exists()
    told = [(e.deed, e.subject, e.who) for e in read_audit(config.paths.releases)]
    assert sorted(told) == [(Deed.REMOVED, "old", "ana"), (Deed.REMOVED, "oldest", "ana")]
    assert tidy_runs(config, remove_them=True).going == []


def test_a_run_that_somebody_is_at_stays(tmp_path: Path) -> None:
    config = settings(tmp_path)
    run_of(config, "newest", -1)
    touched = run_of(config, "written-to-today")
    write_bytes(touched.stage("train") / "deep" / "down" / "events.out", b"1")
    age(touched.root, OLD)
    os.utime(touched.stage("train") / "deep" / "down" / "events.out")
    trained = run_of(config, "trained")
    write_bytes(trained.checkpoint / "lock", b"")
    age(trained.root, OLD)
    with (trained.checkpoint / "lock").open("r+") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        found = stays(tidy_runs(config, remove_them=True))
    assert found["written-to-today"] == "is younger than 30 days"
    assert found["trained"] == "is being trained"
    assert stays(tidy_runs(config, remove_them=False))["trained"] == ""


def test_a_run_that_waits_for_a_person_stays(tmp_path: Path) -> None:
    """A request may be open for six days, and keep_days may be one."""
    config = settings(tmp_path, keep_days=1)
    run_of(config, "newest", 0)
    run = run_of(config, "judged")
    decision = Decision(run_id="judged", verdict=Verdict.INCONCLUSIVE, rules=())
    write_bytes(run.stage("gate") / "record.json", decision.model_dump_json().encode())
    age(run.root, 5)
    refused = run_of(config, "refused")
    decision = decision.model_copy(update={"verdict": Verdict.FAIL})
    write_bytes(refused.stage("gate") / "record.json", decision.model_dump_json().encode())
    age(refused.root, 5)
    for run_id in ("asked", "answered"):
        run_of(config, run_id)
        note(config.paths.releases, Deed.ASKED, run_id)
    note(config.paths.releases, Deed.REJECTED, "answered", who="ana")
    found = stays(tidy_runs(config, remove_them=True))
    assert found["judged"] == "may wait for somebody's approval"
    assert found["asked"].startswith("waits for somebody's approval since ")
    assert (found["answered"], found["refused"]) == ("", "")


def test_runs_that_other_runs_or_files_rest_on_stay(tmp_path: Path) -> None:
    config = settings(tmp_path)
    run_of(config, "cleaned")
    parent = run_of(config, "trained-before")
    weights = parent.stage("train") / "model.h5"
    child = run_of(config, "newest", 0)
    model = config.model.model_copy(update={"weights": str(weights)})
    save_config(config.model_copy(update={"model": model}), child.config)
    write_json(parent.stage("preprocess") / "record.json", {"run_id": "cleaned"})
    age(parent.root, OLD)
    run_of(config, "published")
    write_json(config.paths.model / "run.json", {"run_id": "published"})
    run_of(config, "interrupted")
    write_json(config.paths.runs / "unfinished-train.json", {"run_id": "interrupted"})
    run_of(config, "nobody")
    found = stays(tidy_runs(config, remove_them=True))
    assert found.pop("nobody") == ""
    assert found["trained-before"] == "newest was made from it, and stays"
    assert found["cleaned"] == "trained-before was made from it, and stays"
    assert all(found.values())


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


def test_what_is_no_run_is_left_and_links_are_not_followed(tmp_path: Path) -> None:
    config = settings(tmp_path)
    run_of(config, "newest", 0)
    kept = tmp_path / "elsewhere"
    write_bytes(kept / "config.yaml", b"x")
    (config.paths.runs / "link").symlink_to(kept)
    notes = config.paths.runs / "notes\nof ana"
    hostile = config.paths.runs / os.fsdecode(b"caf\xe9 -rf")
    for folder in (notes, hostile):
        write_bytes(folder / "config.yaml", b"{}")
    linked = run_of(config, "linked").root
    (linked / "out").symlink_to(kept)
    (linked / "up").symlink_to("..")
    write_bytes(linked / os.fsdecode(b"caf\xe9\n"), b"x")
    for path in (notes, hostile, linked, kept):
        age(path, OLD)
    done = tidy_runs(config, remove_them=True)
    found = stays(done)
    assert found["link"] == "is a link: look where it leads"
    for folder in (notes, hostile):
        assert found[folder.name].startswith("is no run of this pipeline") and folder.is_dir()
    assert (kept / "config.yaml").exists() and (config.paths.runs / "link").is_symlink()
    assert not linked.exists() and (config.paths.runs / "newest").is_dir()
    names = [each["name"] for each in json.loads(done.model_dump_json())["looked"]]
    told = [Path(name).name for name in names]
    assert "caf\\xe9 -rf" in told and "notes\\nof ana" in told


def test_listings_of_data_stay_as_long_as_a_run_that_stays_went_by_them(tmp_path: Path) -> None:
    config = settings(tmp_path)
    for name in ("used", "unused", "young"):
        write_bytes(config.paths.snapshots / name / "listing.csv", b"path\n")
        age(config.paths.snapshots / name, 1 if name == "young" else OLD)
    run = run_of(config, "newest", 0)
    run.config.write_text(f"data:\n  snapshot: {config.paths.snapshots / 'used'}\n")
    found = stays(tidy_runs(config, remove_them=True))
    assert found["unused"] == ""
    assert folders(config.paths.snapshots) == ["used", "young"]


def test_only_what_is_named_like_a_log_goes_and_the_current_statistics_stay(
    tmp_path: Path,
) -> None:
    config = settings(tmp_path)
    logs, place = tmp_path / "airflow", config.paths
    run = "dag_id=d/run_id=manual__2026-01-01T00:00:00+00:00/task_id="
    old = [
        logs / run / "../task_id=t/attempt=1.log",
        logs / f"{run}g.t/map_index=3/attempt=2.log.trigger.77.log",
        logs / "dag_processor/2025-01-02/dags-folder/x.py.log",
        place.statistics / "images.jsonl.3",
        place.drift / "2025-01-02" / "verdict.json",
    ]
    stay = [
        logs / f"{run}t/notes.txt",
        logs / "airflow.db",
        logs / "dag_id=d/attempt=1.log",
        place.statistics / "images.jsonl",
        place.drift / "state.json",
        place.drift / "mine" / "report.html",
        place.scoring / "batch" / "predictions.csv",
    ]
    for path in [*(Path(os.path.normpath(path)) for path in old), *stay]:
        write_bytes(path, b"x" * 10)
    secret = tmp_path / "secret.log"
    write_bytes(secret, b"x")
    (logs / f"{run}t/attempt=9.log").symlink_to(secret)
    age(tmp_path, OLD)
    recent = logs / f"{run}now/attempt=1.log"
    write_bytes(recent, b"x")

    may = tidy_logs(config, remove_them=False, airflow_logs=logs)
    assert (len(may.going), may.bytes) == (5, 50)
    tidy_logs(config, remove_them=True, airflow_logs=logs, who="ana")
    assert [path for path in stay if not path.exists()] == []
    assert [path for path in old if Path(os.path.normpath(path)).exists()] == []
    assert recent.exists() and secret.exists()
    assert not (logs / "dag_processor").exists() and not (place.drift / "2025-01-02").exists()
    (entry,) = read_audit(place.releases)
    assert (entry.deed, entry.who, entry.subject) == (Deed.REMOVED, "ana", "5 logs and reports")
    assert tidy_logs(config, remove_them=True, airflow_logs=None).going == []


def test_what_drift_still_goes_by_stays_though_it_is_old(tmp_path: Path) -> None:
    drift = DriftConfig(window_days=OLD - 50, cooldown_days=OLD - 50)
    config = settings(tmp_path).model_copy(update={"drift": drift})
    report = config.paths.drift / "2025-01-02"
    rotated = config.paths.statistics / "images.jsonl.1"
    write_bytes(report / "verdict.json", b"{}")
    write_bytes(rotated, b"{}")
    age(tmp_path, OLD - 60)
    assert tidy_logs(config, remove_them=True, airflow_logs=None).looked == ()
    age(tmp_path, OLD)
    tidy_logs(config, remove_them=True, airflow_logs=None)
    assert not report.exists() and not rotated.exists()


def test_a_folder_that_cannot_go_is_named_and_the_others_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(tmp_path)
    for name, days in (("stuck", 900), ("old", 800), ("newest", 0)):
        run_of(config, name, days)

    def refused(path: Path) -> None:
        if path.name == "stuck":
            raise StorageError("stuck cannot be removed whole (Permission denied)")
        remove(path)

    monkeypatch.setattr("ml_tasks.housekeeping.remove", refused)
    with pytest.raises(StorageError, match=r"1 of 3.*stuck cannot be removed"):
        tidy_runs(config, remove_them=True)
    assert folders(config.paths.runs) == ["newest", "stuck"]


def _killed_at(change: int, config: Config) -> bool:
    """Runs it in a child that is killed at its n-th change to the disk; whether it came to that."""
    child = os.fork()
    if child == 0:
        seen = 0

        def count(event: str, _: tuple[object, ...]) -> None:
            nonlocal seen
            if event in ("os.rename", "os.remove", "os.rmdir"):
                seen += 1
                if seen == change:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        tidy_runs(config, remove_them=True)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def test_killed_at_any_point_it_leaves_no_half_run_and_the_next_one_finishes(
    tmp_path: Path,
) -> None:
    changes = 0
    for change in range(1, cases(40, 200), cases(3, 1)):
        root = tmp_path / str(change)
        config = settings(root)
        for name, days in (("a", 900), ("b", 800), ("newest", 0)):
            run_of(config, name, days)
        if not _killed_at(change, config):
            break
        changes += 1
        for folder in config.paths.runs.glob("[!.]*"):
            assert (folder / "config.yaml").is_file(), "no half-removed run is seen"
            assert json.loads((folder / "train" / "record.json").read_bytes())
        tidy_runs(config, remove_them=True)
        assert folders(config.paths.runs) == ["newest"]
        assert [p for p in config.paths.runs.iterdir() if p.name.endswith(".removed")] == []
        removed = {entry.subject for entry in read_audit(config.paths.releases)}
        assert removed == {"a", "b"}
    assert changes >= 3
