"""Housekeeping of runs: what must stay stays, whatever its age; killed, it goes on."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from ml_tasks.config import Config, save_config
from ml_tasks.errors import StorageError
from ml_tasks.housekeeping import tidy_runs
from ml_tasks.records import Decision, Verdict
from ml_tasks.release.audit import Deed, note, read_audit
from ml_tasks.release.removal import remove
from ml_tasks.storage import write_bytes, write_json
from tests.counts import cases
from tests.old_folders import OLD, age, folders, run_of, settings, stays


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
