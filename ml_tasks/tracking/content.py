"""What MLflow is told of a run, read from the run's own directory; no pictures, no file names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ml_tasks.config import load_config
from ml_tasks.records import (
    Decision,
    EvaluationRecord,
    ImageRecord,
    PreprocessRecord,
    ReleaseRecord,
    StageRecord,
    TrainRecord,
    ValidationRecord,
)
from ml_tasks.release.approval import ApprovalRecord
from ml_tasks.run_paths import RECORD, RunPaths, folder_name
from ml_tasks.storage import sha256_file
from ml_tasks.tracking.figures import Figure, figures_of
from ml_tasks.tracking.notes import Facts, facts_of
from ml_tasks.tracking.parameters import parameters_of

# Of each stage's directory; never report.html, which shows patients' films.
_FILES = {
    "training/history.json": ("train", "history.json"),
    "evaluation/metrics.json": ("evaluate", "metrics.json"),
    "gate/decision.json": ("gate", "decision.json"),
}
# Named one by one: no picture of a patient may slip in.
_PLOTS = (
    "roc_curve.png",
    "precision_recall_curve.png",
    "calibration.png",
    "confusion_matrix.png",
    "score_distributions.png",
    "training_curves.png",
)
_TOLD = (TrainRecord, EvaluationRecord, Decision, ApprovalRecord, ImageRecord, ReleaseRecord)
_TAG_LENGTH = 5000  # MLflow takes 8,000 (mlflow/utils/validation.py)


@dataclass(frozen=True)
class RunContent:
    """One run as MLflow shows it; times in milliseconds since 1970."""

    name: str
    folder: str  # the run's folder, which also finds it again in MLflow
    training: str  # the hash of train's record: another training is another run for MLflow
    status: str
    started: int
    ended: int
    parameters: dict[str, str]
    figures: list[Figure]
    tags: dict[str, str]
    files: dict[str, Path]  # where MLflow keeps each

    @property
    def sha256(self) -> str:
        """Changes with anything that MLflow is told."""
        hashes = {name: sha256_file(path) for name, path in self.files.items()}
        told = [self.status, self.parameters, self.tags, hashes, [f.told for f in self.figures]]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def content_of(run: RunPaths) -> RunContent:
    """Reads a run that has begun; stages that are not complete are left out.

    Raises:
        MammoError: the run or one of its files cannot be read.
    """
    facts = facts_of(run)
    ended = max(int(path.stat().st_mtime * 1000) for path in [run.config, *_records(run)])
    training = run.mark(TrainRecord)[TrainRecord.stage] if run.has(TrainRecord) else ""
    return RunContent(
        name=run.run_id,
        folder=folder_name(run.run_id),
        training=training,
        status=_status(run, facts),
        started=_started(run) or ended,
        ended=ended,
        parameters=parameters_of(load_config(run.config)),
        figures=figures_of(run),
        tags={name: text[:_TAG_LENGTH] for name, text in _tags(run, facts).items() if text},
        files=_files(run),
    )


def _files(run: RunPaths) -> dict[str, Path]:
    plots = {f"evaluation/{name}": ("evaluate", name) for name in _PLOTS}
    found = {name: run.stage(stage) / file for name, (stage, file) in (_FILES | plots).items()}
    return {name: path for name, path in found.items() if path.is_file()}


def _records(run: RunPaths) -> Iterator[Path]:
    for kind in _TOLD:
        if run.has(kind):
            yield run.stage(kind.stage) / RECORD


def _status(run: RunPaths, facts: Facts) -> str:
    if facts.failed_stage:
        return "FAILED"
    return "FINISHED" if run.has(Decision) else "RUNNING"


def _started(run: RunPaths) -> int | None:
    """When the run began, as its first stage noted it."""
    if run.has(ValidationRecord):
        moment = run.load(ValidationRecord).started_at
    elif run.has(PreprocessRecord):
        moment = run.load(PreprocessRecord).started_at
    else:
        return None
    return int(datetime.fromisoformat(moment).timestamp() * 1000)


def _tags(run: RunPaths, facts: Facts) -> dict[str, str]:
    code = facts.code_sha256
    tags = {
        "run_id": run.run_id,
        "run_folder": folder_name(run.run_id),
        "airflow_dag_id": facts.dag_id,
        "airflow_run_id": facts.airflow_run_id,
        "config_sha256": sha256_file(run.config),
        "code_sha256": code.get(TrainRecord.stage) or next(iter(code.values()), ""),
        "failed_stage": facts.failed_stage,
        "failure": facts.failure,
    }
    if run.has(PreprocessRecord):
        data = run.load(PreprocessRecord)
        tags |= {"data_sha256": data.manifest_sha256, "cleaned_sha256": data.index_sha256}
    if run.has(TrainRecord):
        tags |= {"model_h5_sha256": run.load(TrainRecord).model_sha256}
    if run.has(EvaluationRecord):
        tags |= {"model_onnx_sha256": run.load(EvaluationRecord).onnx_sha256}
    return tags | _outcome(run)


def _outcome(run: RunPaths) -> dict[str, str]:
    tags = {}
    said: list[StageRecord] = [run.load(kind) for kind in _TOLD if run.has(kind)]
    # MLflow shows this one as the run's description.
    tags["mlflow.note.content"] = "\n\n".join(
        f"**{each.stage}**: {each.summary()}" for each in said
    )
    if run.has(Decision):
        decision = run.load(Decision)
        tags |= {
            "verdict": decision.verdict.value,
            "verdict_in_words": decision.summary(),
            "compared_with_digest": decision.production or "",
        }
    if run.has(ReleaseRecord):
        release = run.load(ReleaseRecord)
        tags |= {
            "version": release.version,
            "image": release.reference,
            "image_digest": release.digest,
            "image_id": release.image_id,
        }
    return tags
