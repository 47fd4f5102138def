"""Stage smoke_test: the very image that would ship is run and must answer as it was evaluated."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from ml_tasks.config import Config
from ml_tasks.config_release import SmokeLimits
from ml_tasks.dataset.manifest import IndexRow, read_rows
from ml_tasks.dataset.predictions import PredictionRow
from ml_tasks.dataset.snapshot import read_unchanged
from ml_tasks.errors import ReleaseError
from ml_tasks.progress import folded
from ml_tasks.records import (
    Decision,
    EvaluationRecord,
    ImageRecord,
    PreprocessRecord,
    SmokeRecord,
    Split,
)
from ml_tasks.release.answers import TOLERANCE, Answer, Judged, try_answers, try_latency
from ml_tasks.release.bundle import verify
from ml_tasks.release.container import RunningImage, isolated
from ml_tasks.release.engine import DockerClient, engine_errors
from ml_tasks.release.image import check_release_image
from ml_tasks.release.trials import (
    ENDPOINT,
    Trials,
    setting,
    try_bad_input,
    try_drain,
    try_isolation,
    try_memory,
)
from ml_tasks.run_paths import RunPaths
from ml_tasks.storage import sha256_file, write_json

log = logging.getLogger(__name__)

FEWEST = 64  # images that prove parity, whatever is set; all of them where there are fewer


def smoke_test(run: RunPaths, config: Config, client: DockerClient) -> SmokeRecord:
    """Runs the built image under production flags and tries all that a service must do.

    Every trial is held against its limit (release.smoke), logged and kept in smoke.json.

    Raises:
        StageOrderError: build_image is missing, or the gate judged anew since.
        DataError: a raw test image is gone or was changed since validation.
        ReleaseError: the image is another one, does not become ready, or fails a trial.
        EngineUnavailable: the engine stopped answering.
    """
    image = run.load(ImageRecord)
    run.check_built_on(image, Decision)
    run.check_built_on(run.load(Decision), EvaluationRecord)
    verify(Path(image.bundle))
    check_release_image(client, image.image_id, Path(image.bundle))
    samples = _samples(run, max(config.release.smoke_images, FEWEST))
    limits, trials = config.release.smoke, Trials()
    with (
        folded(log, "the trials of the image, each with its limit"),
        isolated(client, image.image_id, str(run.root)) as running,
        running.http,
    ):
        _try_size(client, image, limits, trials)
        ready = running.wait_until_ready(limits.ready_seconds)
        trials.at_most("ready", round(ready, 2), limits.ready_seconds, "s", "")
        answers = _ask(running, run, samples)
        difference = try_answers(answers, _judged(run, image), trials)
        try_latency(answers, limits, trials)
        refusals = try_bad_input(running, trials)
        try_memory(running, try_isolation(running, trials), limits, trials)
        try_drain(running, _raw(run, samples[0][0]), limits, trials)
    trials.check()
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


def _ask(
    running: RunningImage, run: RunPaths, samples: Sequence[tuple[IndexRow, PredictionRow]]
) -> list[Answer]:
    """Sends every sample's raw file; the first one twice, since what is not yet warm is slower."""
    answers = []
    for row, expected in (samples[0], *samples):
        data = _raw(run, row)
        started = time.monotonic()
        answer = running.post(ENDPOINT, data)
        milliseconds = (time.monotonic() - started) * 1000
        if answer.status_code != 200:
            raise ReleaseError(
                f"the image refused {row.raw} with {answer.status_code}: {answer.text}"
            )
        answers.append(Answer.read(expected, _content(answer), milliseconds))
    return answers[1:]


def _content(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return answer.text


def _try_size(
    client: DockerClient, image: ImageRecord, limits: SmokeLimits, trials: Trials
) -> None:
    with engine_errors(client, "the image was measured"):
        size = round(client.images.get(image.image_id).attrs["Size"] / 1e6, 1)
    remedy = setting("image_mb", "see what made it grow (docker history)")
    trials.at_most("image size", size, limits.image_mb, "MB", remedy)
