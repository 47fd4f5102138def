"""A project with everything the Airflow pages show: releases, refused candidates, a damaged run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_tasks.config import Config, save_config
from ml_tasks.evaluation.bootstrap import Estimate
from ml_tasks.evaluation.comparison import Comparison
from ml_tasks.records import (
    Decision,
    EvaluationRecord,
    ReleaseRecord,
    RuleResult,
    SmokeRecord,
    Trial,
    ValidationRecord,
    Verdict,
)
from ml_tasks.release import audit
from ml_tasks.release.audit import Deed
from ml_tasks.release.bundle import add_record, bundle_of, seal, version_of
from ml_tasks.release.champion import Champion
from ml_tasks.release.ledger import Move, note_move
from ml_tasks.run_paths import RunPaths
from ml_tasks.storage import write_bytes, write_json
from tests.toy_run import around, make_toy_run, toy_metrics, toy_parts

SHIPPED = "manual__2026-01-02T03:04:05+00:00"
NEWER = "manual__2026-01-09T03:00:00+00:00"
FAILED = "manual__2026-01-16T03:00:00+00:00_Ab1"
REJECTED = "manual__2026-01-23T09:30:00+00:00"
DAMAGED = "manual__2026-01-30T09:30:00+00:00"
SCRIPT = "<script>document.title='taken over'</script>"
FAILURE = "AUC 0.710 [0.660, 0.760] is below 0.80"
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c63000100"
    "000500010d0a2db40000000049454e44ae426082"
)


@dataclass(frozen=True)
class Project:
    """The settings' file and the versions that were released, the older first."""

    root: Path
    file: Path
    config: Config
    versions: tuple[str, str]

    def run(self, run_id: str) -> RunPaths:
        return RunPaths(self.config.paths.runs, run_id)


def make_project(root: Path, registry: str = "localhost:1") -> Project:
    """Two releases, a model that failed, one that a person rejected, and a run that is damaged."""
    first = _released(root, SHIPPED, "2026-01-02T03:04:05+00:00", None, registry)
    second = _released(root, NEWER, "2026-01-09T03:00:00+00:00", first, registry)
    champion = Champion(version=second[0], digest=second[1], registry=None, proof="toy")
    config = make_toy_run(root, FAILED, Verdict.FAIL, registry, champion=champion).config
    runs = config.paths.runs
    _began(RunPaths(runs, FAILED), "2026-01-16T03:00:00+00:00")
    _judged(RunPaths(runs, FAILED), Verdict.FAIL, FAILURE)
    _compared(RunPaths(runs, FAILED), second)
    make_toy_run(root, REJECTED, Verdict.INCONCLUSIVE, registry, champion=champion)
    _began(RunPaths(runs, REJECTED), "2026-01-23T09:30:00+00:00")
    _rejected(RunPaths(runs, REJECTED), config.paths.releases)
    make_toy_run(root, DAMAGED, Verdict.FAIL, registry, champion=champion)
    (RunPaths(runs, DAMAGED).stage("gate") / "record.json").write_text('{"half": ')
    below = {name: root / name for name in type(config.paths).model_fields}
    config = config.model_copy(update={"paths": config.paths.model_copy(update=below)})
    _results(config)
    save_config(config, root / "config.yaml")
    return Project(root, root / "config.yaml", config, (first[0], second[0]))


def _released(
    root: Path, run_id: str, began: str, before: tuple[str, str] | None, registry: str
) -> tuple[str, str]:
    """A run that was released, with all that it leaves; gives its version and digest."""
    toy = make_toy_run(root, run_id, registry=registry)
    run, releases = toy.run, toy.config.paths.releases
    _began(run, began)
    _judged(run, Verdict.PASS, "AUC 0.950 [0.920, 0.980] reaches 0.80")
    if before is not None:
        _compared(run, before)
    write_json(run.root / "lineage.json", _lineage(run_id, began))
    card = f"# Mammography classifier\n\n**Research use; not a diagnosis.** {SCRIPT}\n"
    version = version_of(seal(releases, {**toy_parts(run), "model_card.md": card.encode()}))
    digest = "sha256:" + version[-12:] * 5 + "abcd"
    bundle = bundle_of(releases, version)
    add_record(bundle, "smoke", _smoke(run_id).model_dump(mode="json"))
    add_record(bundle, "push", {"digest": digest})
    audit.note(releases, Deed.RELEASED, version)
    name = f"{toy.config.release.registry}/{toy.config.release.image}:{version}"
    old = None if before is None else before[1]
    note_move(
        releases,
        Move(version=version, digest=digest, reference=name, moved_at=began, digest_before=old),
    )
    audit.note(releases, Deed.PUSHED, version, digest=digest)
    with run.writing("push_model") as work:
        run.seal(
            work,
            ReleaseRecord(
                run_id=run_id,
                version=version,
                reference=name,
                digest=digest,
                image_id="sha256:" + "ab" * 32,
                bytes_pushed=1_234_567,
                bytes_skipped=200_000_000,
                production_before=old,
                production=name,
            ),
        )
    return version, digest


def _began(run: RunPaths, moment: str) -> None:
    """The first stage, with a report, Data Docs and a file name that somebody chose badly."""
    with run.writing("validate_data") as work:
        write_bytes(work / "report.html", b"<!doctype html><title>Data</title><h1>Data report</h1>")
        docs = '<link rel="stylesheet" href="static/styles/own.css"><h1>Data Docs</h1>'
        write_bytes(work / "data_docs" / "index.html", docs.encode())
        write_bytes(work / "data_docs" / "static" / "styles" / "own.css", b"h1 { color: navy }")
        write_bytes(work / "manifest.csv", b"raw,label\nPositive/P01.png,Positive\n")
        run.seal(
            work,
            ValidationRecord(
                run_id=run.run_id,
                started_at=moment,
                raw="/data/raw",
                manifest_sha256="ab" * 32,
                spec_sha256="cd" * 32,
                images=240,
                quarantined=1,
                classes={"Negative": 120, "Positive": 120},
                patients=120,
                passed=True,
                warnings=(SCRIPT,),
            ),
        )
    evaluated = b"<!doctype html><title>Evaluation report</title><h1>Evaluation report</h1>"
    write_bytes(run.stage("evaluate") / "report.html", evaluated)
    for name in ("report.html", "leakage.html"):
        write_bytes(run.stage("preprocess") / name, b"<!doctype html><h1>Cleaned set</h1>")
    write_bytes(run.stage("preprocess") / "contact_sheet.png", PNG)
    edited = json.loads((run.stage("preprocess") / "record.json").read_text())
    edited |= {"certificate": "no patient and no picture is in two splits", "started_at": moment}
    write_json(run.stage("preprocess") / "record.json", edited)


def _judged(run: RunPaths, verdict: Verdict, *sentences: str) -> None:
    figures = {"value": 0.71, "low": 0.66, "high": 0.76, "bound": 0.8}
    rules = tuple(
        RuleResult(rule="min_auc", verdict=verdict, sentence=each, **figures) for each in sentences
    )
    with run.writing("gate") as work:
        record = Decision(
            run_id=run.run_id, inputs=run.mark(EvaluationRecord), verdict=verdict, rules=rules
        )
        write_json(work / "decision.json", record.model_dump(mode="json"))
        run.seal(work, record)


def _compared(run: RunPaths, champion: tuple[str, str]) -> None:
    difference = {
        "auc": Estimate(value=0.012, low=-0.02, high=0.044),
        "sensitivity": Estimate(value=-0.01, low=-0.06, high=0.04),
        "specificity": Estimate(value=0.0, low=-0.05, high=0.05),
    }
    found = Comparison(
        version=champion[0],
        digest=champion[1],
        champion={"auc": around(0.93)},
        difference=difference,
    )
    metrics = toy_metrics(comparison=found).model_dump(mode="json")
    write_json(run.stage("evaluate") / "metrics.json", metrics)


def _rejected(run: RunPaths, releases: Path) -> None:
    sentence = "sensitivity 0.80 [0.70, 0.88]: whether it reaches 0.75 cannot be told"
    _judged(run, Verdict.INCONCLUSIVE, sentence)
    why = f"too few patients {SCRIPT}"
    answer: dict[str, Any] = {
        "answer": "rejected",
        "who": "jane",
        "when": "2026-01-24T08:00:00+00:00",
        "why": why,
        "inputs": run.mark(Decision),
    }
    write_json(run.stage("approve") / "record.json", answer)
    audit.note(releases, Deed.ASKED, run.run_id)
    audit.note(releases, Deed.REJECTED, run.run_id, who="jane", why=why)


def _lineage(run_id: str, began: str) -> dict[str, Any]:
    hashes = {f"{name}_sha256": name[:2] * 32 for name in ("manifest", "config", "code")}
    return {"run_id": run_id, "run_started_at": began, **hashes, "parents": {"gate": "ab" * 32}}


def _smoke(run_id: str) -> SmokeRecord:
    trial = Trial(trial="memory", value=212.5, limit=600.0, unit="MB", passed=True)
    return SmokeRecord(
        run_id=run_id,
        image_id="sha256:" + "ab" * 32,
        ready_seconds=2.1,
        images=64,
        largest_difference=1e-7,
        tolerance=1e-5,
        refusals={},
        trials=(trial,),
    )


def _results(config: Config) -> None:
    """A drift report and a scored batch, as their DAGs leave them."""
    day = config.paths.drift / "2026-01-30"
    write_bytes(day / "report.html", b"<!doctype html><script>document.write('drawn')</script>")
    write_json(day / "verdict.json", {"verdict": "DRIFT", "line": "brightness has moved by 0.31"})
    batch = config.paths.scoring / "ward-7"
    write_bytes(batch / "summary.html", b"<!doctype html><h1>Scored</h1>")
    write_bytes(batch / "predictions.csv", b"file,probability\n'=a.png,0.5\n")
    write_bytes(batch / "predictions.parquet", b"PAR1")
