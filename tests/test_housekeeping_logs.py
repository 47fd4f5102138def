"""Housekeeping of logs, statistics, drift reports and listings: only what nobody goes by."""

from __future__ import annotations

import os
from pathlib import Path

from ml_tasks.config_operation import DriftConfig
from ml_tasks.housekeeping import tidy_logs, tidy_runs
from ml_tasks.release.audit import Deed, read_audit
from ml_tasks.storage import write_bytes
from tests.old_folders import OLD, age, folders, run_of, settings, stays


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
