"""Stage smoke_test: the very image that would ship is run and must answer as it was evaluated."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ml_tasks.config import Config
from ml_tasks.dataset.manifest import IndexRow, read_rows
from ml_tasks.dataset.predictions import PredictionRow
from ml_tasks.dataset.snapshot import read_unchanged
from ml_tasks.errors import ReleaseError
from ml_tasks.records import (
    Decision,
    EvaluationRecord,
    ImageRecord,
    PreprocessRecord,
    SmokeRecord,
    Split,
)
from ml_tasks.release.answers import TOLERANCE, Judged
from ml_tasks.release.approval import cleared
from ml_tasks.release.bundle import verify
from ml_tasks.release.engine import DockerClient
from ml_tasks.release.image import check_release_image
from ml_tasks.release.image_trials import FEWEST, Sample, try_image
from ml_tasks.release.trials import Trials
from ml_tasks.run_paths import RunPaths
from ml_tasks.storage import sha256_file, write_json

log = logging.getLogger(__name__)


def smoke_test(run: RunPaths, config: Config, client: DockerClient) -> SmokeRecord:
    """Runs the built image under production flags and tries all that a service must do.

    Every trial is held against its limit (release.smoke), logged and kept in smoke.json.

    Raises:
        StageOrderError: build_image is missing, or the gate judged anew since.
        GateRefused: neither the gate nor a person lets it ship any more.
        DataError: a raw test image is gone or was changed since validation.
        ReleaseError: the image is another one, does not become ready, or fails a trial.
        EngineUnavailable: the engine stopped answering.
    """
    image = run.load(ImageRecord)
    run.check_built_on(image, Decision)
    decision, _ = cleared(run, config, "no image is tested")
    run.check_built_on(decision, EvaluationRecord)
    verify(Path(image.bundle))
    check_release_image(client, image.image_id, Path(image.bundle))
    samples = _samples(run, max(config.release.smoke_images, FEWEST))
    limits, trials = config.release.smoke, Trials()
    tried = try_image(
        client, image.image_id, str(run.root), samples, _judged(run, image), limits, trials
    )
    with run.writing(SmokeRecord.stage) as work:
        record = SmokeRecord(
            run_id=run.run_id,
            inputs=run.mark(ImageRecord),
            image_id=image.image_id,
            ready_seconds=tried.ready_seconds,
            images=len(samples),
            largest_difference=tried.largest_difference,
            tolerance=TOLERANCE,
            refusals=tried.refusals,
            trials=tuple(trials.done),
        )
        write_json(work / "smoke.json", record.model_dump(mode="json"))
        run.seal(work, record)
    log.info("%s", record.summary())
    return record


def spread(rows: Sequence[PredictionRow], count: int) -> list[PredictionRow]:
    """At most `count` rows, evenly spread over all of them."""
    count = min(count, len(rows))
    return [rows[at * len(rows) // count] for at in range(count)]


def _samples(run: RunPaths, count: int) -> list[Sample]:
    index_file = run.stage("preprocess") / "index.csv"
    answers_file = run.stage("evaluate") / "predictions.csv"
    _check_hash(index_file, run.load(PreprocessRecord).index_sha256)
    _check_hash(answers_file, run.load(EvaluationRecord).predictions_sha256)
    index = {row.raw: row for row in read_rows(index_file, IndexRow)}
    answers = [row for row in read_rows(answers_file, PredictionRow) if row.split is Split.TEST]
    if not answers:
        raise ReleaseError(f"{answers_file} holds no test image; run evaluate again")
    answers.sort(key=lambda row: row.raw)
    return [Sample(row, partial(_raw, run, index[row.raw])) for row in spread(answers, count)]


def _check_hash(path: Path, expected: str) -> None:
    found = sha256_file(path) if path.is_file() else "missing"
    if found != expected:
        raise ReleaseError(
            f"{path} is not the file that its stage left (hash {found[:12]}, noted was "
            f"{expected[:12]}); run {path.parent.name} and what follows it again"
        )


def _judged(run: RunPaths, image: ImageRecord) -> Judged:
    data = run.load(PreprocessRecord)
    (negative,) = set(data.classes) - {data.positive}
    return Judged(
        version=image.version,
        threshold=run.load(EvaluationRecord).threshold,
        positive=data.positive,
        negative=negative,
    )


def _raw(run: RunPaths, row: IndexRow) -> bytes:
    return read_unchanged(Path(run.load(PreprocessRecord).raw) / row.raw, row.raw_sha256)
