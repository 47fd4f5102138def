"""Stage smoke_test: the very image that would ship is run and must answer as it was evaluated."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import httpx

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
from ml_tasks.release.bundle import verify
from ml_tasks.release.container import RunningImage, isolated
from ml_tasks.release.engine import DockerClient
from ml_tasks.release.image import check_release_image
from ml_tasks.run_paths import RunPaths
from ml_tasks.storage import sha256_file, write_json

log = logging.getLogger(__name__)

TOLERANCE = 1e-5
_BAD_INPUT = {"empty file": b"", "text file": b"this is no mammogram\n"}
_ENDPOINT = "/inference/predict"


def smoke_test(run: RunPaths, config: Config, client: DockerClient) -> SmokeRecord:
    """Runs the built image isolated and sends it raw test images and bad input.

    Raises:
        StageOrderError: build_image is missing, or the gate judged anew since.
        DataError: a raw test image is gone or was changed since validation.
        ReleaseError: the image is another one, is not ready in time, or answers otherwise than
            evaluated.
        EngineUnavailable: the engine stopped answering.
    """
    image = run.load(ImageRecord)
    run.check_built_on(image, Decision)
    run.check_built_on(run.load(Decision), EvaluationRecord)
    verify(Path(image.bundle))
    check_release_image(client, image.image_id, Path(image.bundle))
    samples = _samples(run, config.release.smoke_images)
    with isolated(client, image.image_id, run.run_id) as running, running.http:
        ready = running.wait_until_ready(config.release.smoke.ready_seconds)
        log.info("the image is ready after %.1f s", ready)
        difference = _compare(running, run, samples, image.version)
        refusals = {name: _refused(running, name, data) for name, data in _BAD_INPUT.items()}
    with run.writing(SmokeRecord.stage) as work:
        record = SmokeRecord(
            run_id=run.run_id,
            inputs=run.mark(ImageRecord),
            image_id=image.image_id,
            ready_seconds=round(ready, 2),
            images=len(samples),
            largest_difference=difference,
            tolerance=TOLERANCE,
            refusals=refusals,
        )
        write_json(work / "smoke.json", record.model_dump(mode="json"))
        run.seal(work, record)
    log.info("%s", record.summary())
    return record


def spread(rows: Sequence[PredictionRow], count: int) -> list[PredictionRow]:
    """At most `count` rows, evenly spread over all of them."""
    count = min(count, len(rows))
    return [rows[at * len(rows) // count] for at in range(count)]


def _samples(run: RunPaths, count: int) -> list[tuple[IndexRow, PredictionRow]]:
    index_file = run.stage("preprocess") / "index.csv"
    answers_file = run.stage("evaluate") / "predictions.csv"
    _check_hash(index_file, run.load(PreprocessRecord).index_sha256)
    _check_hash(answers_file, run.load(EvaluationRecord).predictions_sha256)
    index = {row.raw: row for row in read_rows(index_file, IndexRow)}
    answers = [row for row in read_rows(answers_file, PredictionRow) if row.split is Split.TEST]
    if not answers:
        raise ReleaseError(f"{answers_file} holds no test image; run evaluate again")
    answers.sort(key=lambda row: row.raw)
    return [(index[row.raw], row) for row in spread(answers, count)]


def _check_hash(path: Path, expected: str) -> None:
    found = sha256_file(path) if path.is_file() else "missing"
    if found != expected:
        raise ReleaseError(
            f"{path} is not the file that its stage left (hash {found[:12]}, noted was "
            f"{expected[:12]}); run {path.parent.name} and what follows it again"
        )


def _compare(
    running: RunningImage,
    run: RunPaths,
    samples: Sequence[tuple[IndexRow, PredictionRow]],
    version: str,
) -> float:
    raw = Path(run.load(PreprocessRecord).raw)
    differences = []
    for row, expected in samples:
        answer = _post(running, read_unchanged(raw / row.raw, row.raw_sha256))
        if answer.status_code != 200:
            raise ReleaseError(
                f"the image refused {row.raw} with {answer.status_code}: {answer.text}"
            )
        content = answer.json()
        if content["model_version"] != version:
            raise ReleaseError(
                f"the image says it is version {content['model_version']}, not {version}; "
                "run build_image again"
            )
        differences.append(abs(float(content["probability"]) - expected.probability))
        if not differences[-1] <= TOLERANCE:
            raise ReleaseError(
                f"the image answers {content['probability']} for {row.raw}, evaluated was "
                f"{expected.probability}: more than {TOLERANCE:g} apart, so it is not what was "
                "judged; run evaluate and what follows it again"
            )
    return max(differences)


def _refused(running: RunningImage, name: str, data: bytes) -> int:
    answer = _post(running, data)
    if not 400 <= answer.status_code < 500 or "error" not in answer.json():
        raise ReleaseError(
            f"the image answers {answer.status_code} to bad input ({name}), not a clear refusal: "
            f"{answer.text[:200]}"
        )
    return answer.status_code


def _post(running: RunningImage, data: bytes) -> httpx.Response:
    try:
        return running.http.post(_ENDPOINT, files={"file": ("image", data)})
    except httpx.TransportError as error:
        raise ReleaseError(
            f"the image stopped answering ({error}); its last lines:\n{running.last_lines()}"
        ) from error
