"""Stage build_image: seals the judged model into a release and builds its image, offline."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from ml_tasks.config import Config
from ml_tasks.dataset.manifest import IndexRow, read_rows
from ml_tasks.dataset.pictures import array_file, open_pictures
from ml_tasks.dataset.predictions import PredictionRow
from ml_tasks.errors import ReleaseError
from ml_tasks.evaluation.metrics_file import Metrics
from ml_tasks.imaging.spec import ImageSpec
from ml_tasks.monitoring.reference import ReferenceRow, keep_reference, reference_rows
from ml_tasks.records import (
    Decision,
    EvaluationRecord,
    ImageRecord,
    PreprocessRecord,
    Split,
    TrainRecord,
    ValidationRecord,
)
from ml_tasks.release.approval import cleared, keep_approval
from ml_tasks.release.audit import Deed, noted_once
from ml_tasks.release.bundle import seal, sums_sha256, version_of
from ml_tasks.release.engine import DockerClient
from ml_tasks.release.image import BuiltImage, build_release_image
from ml_tasks.release.lineage import code_sha256, source_revision
from ml_tasks.release.model_card import model_card
from ml_tasks.release.production import keep_training_data
from ml_tasks.release.sbom import keep_sbom
from ml_tasks.release.serving_base import serving_base_reference
from ml_tasks.run_paths import RunPaths
from ml_tasks.storage import sha256_file

log = logging.getLogger(__name__)


def build_image(run: RunPaths, config: Config, client: DockerClient) -> ImageRecord:
    """Seals `releases/<version>/bundle` and builds `<image>:<version>` from it.

    A re-run on the same results gives the same release and the same image.

    Raises:
        GateRefused: neither the gate nor a person lets it ship.
        StageOrderError: an earlier stage is missing, or was run anew since the gate judged.
        AuditError: the audit log is damaged, so that no approval can be told from it.
        ReleaseError: a file is not the one that was judged, the serving base is missing, or the
            build failed.
        EngineUnavailable: the engine stopped answering; the sealed release is kept.
    """
    decision, approval = cleared(run, config, "no image is built")
    _check_chain(run, decision)
    _check_files(run)
    serving_base = serving_base_reference(client)
    bundle = seal(config.paths.releases, _parts(run, decision))
    cleaned = run.load(PreprocessRecord)
    keep_training_data(
        bundle, run.unaltered(cleaned, "training_data.npz", cleaned.training_data_sha256)
    )
    keep_approval(bundle, approval)
    noted_once(config.paths.releases, Deed.RELEASED, version_of(bundle), f"run {run.run_id}")
    keep_reference(bundle, _drift_reference(run, cleaned))
    log.info("release sealed: %s", bundle)
    image = build_release_image(client, bundle, config.release.image, serving_base)
    keep_sbom(client, bundle, image.id)
    record = keep_image(run, bundle, image, serving_base)
    log.info("%s", record.summary())
    return record


def keep_image(run: RunPaths, bundle: Path, image: BuiltImage, serving_base: str) -> ImageRecord:
    """Writes down which image was built of which bundle, on which base: the stage is complete."""
    with run.writing(ImageRecord.stage) as work:
        record = ImageRecord(
            run_id=run.run_id,
            inputs=run.mark(Decision),
            version=version_of(bundle),
            bundle=str(bundle),
            sums_sha256=sums_sha256(bundle),
            image=image.reference,
            image_id=image.id,
            serving_base=serving_base,
            size_bytes=image.size_bytes,
        )
        run.seal(work, record)
    return record


def _check_chain(run: RunPaths, decision: Decision) -> None:
    evaluation, training = run.load(EvaluationRecord), run.load(TrainRecord)
    run.check_built_on(decision, EvaluationRecord)
    run.check_built_on(evaluation, TrainRecord)
    run.check_built_on(training, PreprocessRecord)
    if run.has(ValidationRecord):  # a set cleaned by hand was validated in a run of its own
        run.check_built_on(run.load(PreprocessRecord), ValidationRecord)


def _check_files(run: RunPaths) -> None:
    """Compares what will ship with the hashes that the stages noted when they made it."""
    data, evaluation = run.load(PreprocessRecord), run.load(EvaluationRecord)
    noted = {
        run.stage("train") / "model.h5": run.load(TrainRecord).model_sha256,
        run.stage("evaluate") / "model.onnx": evaluation.onnx_sha256,
        run.stage("evaluate") / "metrics.json": evaluation.metrics_sha256,
    }
    for path, expected in noted.items():
        _check_hash(path, sha256_file(path) if path.is_file() else "missing", expected)
    spec = run.stage("preprocess") / "image_spec.json"
    if not spec.is_file():
        _check_hash(spec, "missing", data.spec_sha256)
    found = ImageSpec.model_validate_json(spec.read_bytes()).sha256()
    _check_hash(spec, found, data.spec_sha256)
    _check_classes(run.stage("train") / "classes.json", data)


def _check_hash(path: Path, found: str, expected: str) -> None:
    if found != expected:
        raise ReleaseError(
            f"{path} is not the file that was judged (its hash is {found[:12]}, noted was "
            f"{expected[:12]}); run {path.parent.name} and what follows it again"
        )


def _check_classes(path: Path, data: PreprocessRecord) -> None:
    content: dict[str, Any] = json.loads(path.read_bytes()) if path.is_file() else {}
    if set(content.get("classes", ())) != set(data.classes) or (
        content.get("positive") != data.positive
    ):
        raise ReleaseError(
            f"{path} says classes {content.get('classes')}, positive {content.get('positive')!r}; "
            f"the data have {list(data.classes)}, positive {data.positive!r}; run train again"
        )


def _parts(run: RunPaths, decision: Decision) -> dict[str, Path | bytes]:
    data, training = run.load(PreprocessRecord), run.load(TrainRecord)
    figures = (run.stage("evaluate") / "metrics.json").read_bytes()
    card = model_card(data, training, Metrics.model_validate_json(figures), decision)
    return {
        "model.h5": run.stage("train") / "model.h5",
        "classes.json": run.stage("train") / "classes.json",
        "model.onnx": run.stage("evaluate") / "model.onnx",
        "metrics.json": run.stage("evaluate") / "metrics.json",
        "image_spec.json": run.stage("preprocess") / "image_spec.json",
        # From the record itself: what was checked above is what ships.
        "decision.json": _json(decision.model_dump(mode="json")),
        "lineage.json": _json(_lineage(run, data, training)),
        "model_card.md": card.encode(),
    }


def _lineage(run: RunPaths, data: PreprocessRecord, training: TrainRecord) -> dict[str, Any]:
    marks = [run.mark(kind) for kind in (PreprocessRecord, TrainRecord, EvaluationRecord, Decision)]
    revision = source_revision()
    return {
        **({"source_revision": revision} if revision else {}),
        "run_id": run.run_id,
        "run_started_at": data.started_at,
        "manifest_sha256": data.manifest_sha256,
        "index_sha256": data.index_sha256,
        "config_sha256": sha256_file(run.config),
        "code_sha256": code_sha256(),
        "parents": {
            "weights": training.weights.rsplit("/", 1)[-1],
            "records_sha256": {stage: mark for each in marks for stage, mark in each.items()},
        },
    }


def _drift_reference(run: RunPaths, cleaned: PreprocessRecord) -> list[ReferenceRow]:
    """By what a later drift of the service's images is told; anonymous, outside of the image."""
    evaluation = run.load(EvaluationRecord)
    index = read_rows(run.unaltered(cleaned, "index.csv", cleaned.index_sha256), IndexRow)
    told = run.unaltered(evaluation, "predictions.csv", evaluation.predictions_sha256)
    counts = {split: sum(row.split is split for row in index) for split in Split}
    pictures = {
        split: open_pictures(
            run.unaltered(cleaned, array_file(split), cleaned.arrays_sha256[split]), count
        )
        for split, count in counts.items()
        if count
    }
    probabilities = {row.raw: row.probability for row in read_rows(told, PredictionRow)}
    return reference_rows(index, pictures, probabilities, cleaned.positive)


def _json(content: dict[str, Any]) -> bytes:
    text = json.dumps(content, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    return (text + "\n").encode()
