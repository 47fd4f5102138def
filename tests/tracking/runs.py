"""Toy runs with everything that MLflow is told of, trained, judged and released."""

from __future__ import annotations

from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run

from ml_tasks.config import save_config
from ml_tasks.config_tracking import TrackingConfig
from ml_tasks.evaluation.bootstrap import Estimate
from ml_tasks.evaluation.comparison import Comparison
from ml_tasks.records import Decision, EvaluationRecord, ImageRecord, ReleaseRecord, SmokeRecord
from ml_tasks.release.bundle import seal, sums_sha256, version_of
from ml_tasks.release.ledger import Move, note_move
from ml_tasks.release.lineage import code_sha256
from ml_tasks.run_paths import RunPaths
from ml_tasks.storage import sha256_file, write_bytes, write_json
from ml_tasks.tracking.place import place_of
from tests.toy_run import ToyRun, make_toy_run, toy_metrics, toy_parts

MODEL = "mammography-toy"
PNG = b"\x89PNG\r\n\x1a\n"


def told_run(
    root: Path, run_id: str = "manual__2026-01-02T03:04:05+00:00", uri: str | None = None
) -> ToyRun:
    """A judged run with history, report and plots; to be noted in root/mlflow, or at `uri`."""
    toy = make_toy_run(root, run_id)
    paths = toy.config.paths.model_copy(update={"tracking": root / "mlflow"})
    config = toy.config.model_copy(update={"paths": paths, "tracking": TrackingConfig(uri=uri)})
    save_config(config, toy.run.config)
    history = [
        {"epoch": 1, "loss": 0.7, "val_loss": 0.6},
        {"epoch": 2, "loss": 0.5, "val_loss": 0.4},
    ]
    write_json(toy.run.stage("train") / "history.json", history)
    for name in ("roc_curve.png", "confusion_matrix.png", "worst_case_1.png"):
        write_bytes(toy.run.stage("evaluate") / name, PNG)
    write_bytes(toy.run.stage("evaluate") / "report.html", b"<p>P03.png was missed</p>")
    write_metrics(toy.run)
    return ToyRun(toy.run, config)


def write_metrics(run: RunPaths, auc: float = 0.91) -> None:
    """metrics.json with this AUC of the patients, and an accuracy that cannot be computed."""
    figures = {
        "auc": Estimate(value=auc, low=0.8, high=0.97),
        "accuracy": Estimate(value=None),
    }
    comparison = Comparison(
        version="before", digest="sha256:before", champion={}, difference={"auc": figures["auc"]}
    )
    metrics = toy_metrics(figures, comparison=comparison).model_dump(mode="json")
    write_json(run.stage("evaluate") / "metrics.json", metrics)
    metrics_sha256 = sha256_file(run.stage("evaluate") / "metrics.json")
    record = run.load(EvaluationRecord).model_copy(update={"metrics_sha256": metrics_sha256})
    run.seal(run.stage("evaluate"), record)


def moved_to(releases: Path, version: str) -> None:
    """`production` stands at this version now."""
    digest = f"sha256:{version}"
    move = Move(version=version, digest=digest, reference="r", moved_at="t", digest_before=None)
    note_move(releases, move)


def release(toy: ToyRun) -> ReleaseRecord:
    """Seals the run's bundle and writes down what building, testing and pushing would."""
    bundle = _sealed(toy)
    version, image_id = version_of(bundle), f"sha256:{'1' * 64}"
    run = toy.run
    with run.writing(ImageRecord.stage) as work:
        image = ImageRecord(
            run_id=run.run_id,
            inputs=run.mark(Decision),
            version=version,
            bundle=str(bundle),
            sums_sha256=sums_sha256(bundle),
            image=f"mammography-toy:{version}",
            image_id=image_id,
            serving_base="base",
            size_bytes=1,
        )
        run.seal(work, image)
    with run.writing(ReleaseRecord.stage) as work:
        record = ReleaseRecord(
            run_id=run.run_id,
            inputs={SmokeRecord.stage: "ab" * 32},
            version=version,
            reference=f"localhost:1/mammography-toy:{version}",
            digest=f"sha256:{version}",
            image_id=image_id,
            bytes_pushed=1,
            bytes_skipped=0,
            production_before=None,
            production="localhost:1/mammography-toy:production",
        )
        run.seal(work, record)
    moved_to(toy.config.paths.releases, version)
    return record


def client_of(toy: ToyRun) -> MlflowClient:
    """MLflow's own client of the database that this run is noted in."""
    return MlflowClient(place_of(toy.config, {}).uri)


def noted_runs(client: MlflowClient, experiment: str = "mammography") -> list[Run]:
    """Every run that MLflow holds under an experiment."""
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    return list(client.search_runs([found.experiment_id]))


def _sealed(toy: ToyRun) -> Path:
    run, config = toy.run, toy.config
    write_json(
        run.root / "lineage.json",
        {
            "run_id": run.run_id,
            "run_started_at": "2026-01-02T03:04:05+00:00",
            "manifest_sha256": "ab" * 32,
            "config_sha256": sha256_file(run.config),
            "code_sha256": code_sha256(),
        },
    )
    return seal(
        config.paths.releases,
        toy_parts(run),
    )
