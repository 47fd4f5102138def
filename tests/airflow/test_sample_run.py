"""Sample data through a real scheduler to an image that is pushed and answers."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path

import docker
import httpx
import pytest
from mlflow import MlflowClient

from ml_tasks.dataset.manifest import read_rows
from ml_tasks.dataset.predictions import PredictionRow
from ml_tasks.local_stack.engine import Engine
from ml_tasks.local_stack.follow import TASKS
from ml_tasks.local_stack.service import start_service, stop_service
from ml_tasks.records import Decision, ImageRecord, ReleaseRecord, Split, TrainRecord
from ml_tasks.release.ledger import read_moves
from ml_tasks.tracking.place import place_of
from tests.airflow.runs import EndedRun
from tests.conftest import LocalAirflow
from tests.free_ports import free_ports
from tests.waiting import PATIENCE


@pytest.fixture(scope="module")
def service(sample_run: EndedRun, engine_place: Engine, stack_state: Path) -> Iterator[str]:
    """The service of the version that this run pushed."""
    image = sample_run.paths.load(ReleaseRecord).reference
    yield start_service(stack_state, engine_place, image, free_ports(1)[0])
    stop_service(stack_state, engine_place)


def test_every_stage_succeeds(sample_run: EndedRun) -> None:
    assert sample_run.run.state == "success", sample_run.states
    assert sample_run.states == dict.fromkeys(TASKS, "success")


def test_each_stage_leaves_what_the_readme_says(sample_run: EndedRun) -> None:
    root = sample_run.paths.root
    for name in (
        "config.yaml",
        "validate_data/manifest.csv",
        "validate_data/report.html",
        "validate_data/data_docs/index.html",
        "cleaned/index.csv",
        "cleaned/image_spec.json",
        "cleaned/train/Positive",
        "cleaned/test/Negative",
        "train/model.h5",
        "train/classes.json",
        "train/history.json",
        "evaluate/model.onnx",
        "evaluate/metrics.json",
        "evaluate/report.html",
        "gate/decision.json",
        "smoke_test/smoke.json",
    ):
        assert (root / name).exists(), name
    assert list((root / "logs").rglob("events.out.tfevents.*"))


def test_the_log_of_train_has_one_readable_line_for_each_epoch(sample_run: EndedRun) -> None:
    record = sample_run.paths.load(TrainRecord)
    lines = [line.event for line in sample_run.logs["train"] if line.event.startswith("epoch ")]
    assert len(lines) == record.epochs == 3
    for word in ("loss", "accuracy", "AUC", "learning rate", "s left"):
        assert word in lines[0]


@pytest.mark.parametrize("stage", TASKS)
def test_logs_hold_no_noise(sample_run: EndedRun, stage: str) -> None:
    """TensorFlow's start-up lines, progress bars and warnings hide what a person looks for."""
    text = sample_run.text(stage)
    for noise in ("\r", "\x1b", "\x08", "oneDNN", "cuda", "absl", "XLA", "[====", "Warning"):
        assert noise not in text, noise
    lines = sample_run.logs[stage]
    strange = [
        line for line in lines if not line.own and not line.logger.startswith(("airflow", "task"))
    ]
    assert strange == []
    assert sample_run.last_words(stage)


def test_the_log_of_push_counts_bytes(sample_run: EndedRun) -> None:
    assert "bytes pushed" in sample_run.last_words("push_model")
    assert sample_run.paths.load(ReleaseRecord).bytes_pushed > 1_000_000


def test_the_verdict_is_earned_on_the_test_split(sample_run: EndedRun) -> None:
    decision = sample_run.paths.load(Decision)
    assert decision.passed
    assert {rule.rule for rule in decision.rules} == {
        "min_accuracy",
        "min_auc",
        "min_sensitivity",
        "max_ece",
        "max_control_auc",
        "first_model",
    }
    assert "PASSED the gate" in sample_run.last_words("gate")


def test_the_registry_holds_the_version_under_the_digest_that_was_noted(
    sample_run: EndedRun, airflow: LocalAirflow, engine: docker.DockerClient
) -> None:
    record = sample_run.paths.load(ReleaseRecord)
    repository = f"{airflow.config.release.registry}/{airflow.config.release.image}"
    found = engine.images.get_registry_data(f"{repository}:{record.version}")
    assert found.id == record.digest


def test_mlflow_holds_the_run_and_its_release_under_the_alias_production(
    sample_run: EndedRun, airflow: LocalAirflow
) -> None:
    client = MlflowClient(place_of(airflow.config, os.environ).uri)
    name, release = airflow.config.release.image, sample_run.paths.load(ReleaseRecord)
    versions = {found.tags["version"]: found for found in client.search_model_versions()}
    version = versions[release.version]
    tags = client.get_run(str(version.run_id)).data.tags
    assert tags["airflow_run_id"] == sample_run.run.dag_run_id
    assert tags["verdict"] == "PASS"
    assert version.tags["image_digest"] == release.digest
    moves = read_moves(airflow.config.paths.releases)  # a later run may have moved production on
    assert moves
    serving = client.get_model_version_by_alias(name, "production")
    assert serving.tags["version"] == moves[-1].version


def test_the_image_names_its_release(sample_run: EndedRun, engine: docker.DockerClient) -> None:
    record = sample_run.paths.load(ImageRecord)
    image = engine.images.get(record.image_id)
    assert record.version in str(image.labels)
    assert image.attrs["Config"]["User"].split(":")[0] not in ("", "0", "root")


def test_the_service_answers_as_the_model_was_evaluated(
    sample_run: EndedRun, service: str, sample_data: Path
) -> None:
    """What ships must give the very answers that the gate judged."""
    rows = read_rows(sample_run.paths.stage("evaluate") / "predictions.csv", PredictionRow)
    tested = [row for row in rows if row.split is Split.TEST]
    for row in tested[::5]:
        with (sample_data / row.raw).open("rb") as stream:
            url, files = f"{service}/inference/predict", {"file": stream}
            answer = httpx.post(url, files=files, timeout=PATIENCE, trust_env=False)
        body = answer.json()
        assert answer.status_code == 200
        assert body["prediction"] in ("Positive", "Negative")
        assert 0 <= body["confidence"] <= 1
        assert body["probability"] == pytest.approx(row.probability, abs=1e-5)
        assert body["model_version"] == sample_run.paths.load(ReleaseRecord).version


def test_the_split_keeps_patients_together(sample_run: EndedRun) -> None:
    with (sample_run.paths.stage("preprocess") / "index.csv").open() as stream:
        places: dict[str, set[str]] = {}
        for row in csv.DictReader(stream):
            places.setdefault(row["patient"], set()).add(row["split"])
    assert all(len(splits) == 1 for splits in places.values())
