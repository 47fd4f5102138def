"""All trials of one release image: run as in production, sent raw files, held against limits."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from docker import DockerClient

from ml_tasks.config_release import SmokeLimits
from ml_tasks.dataset.predictions import PredictionRow
from ml_tasks.errors import ReleaseError
from ml_tasks.progress import folded
from ml_tasks.release.answers import Answer, Judged, try_answers, try_latency
from ml_tasks.release.container import RunningImage, isolated
from ml_tasks.release.engine import engine_errors
from ml_tasks.release.trials import (
    ENDPOINT,
    Trials,
    setting,
    try_bad_input,
    try_drain,
    try_isolation,
    try_memory,
)

log = logging.getLogger(__name__)

FEWEST = 64  # images that prove parity, whatever is set


@dataclass(frozen=True)
class Sample:
    """One raw file and what the release must answer; the bytes are read as they are sent."""

    expected: PredictionRow
    data: Callable[[], bytes]


@dataclass(frozen=True)
class Tried:
    """What an image showed that has passed all of its trials."""

    ready_seconds: float
    largest_difference: float
    refusals: dict[str, int]  # HTTP status by the kind of bad input


def try_image(
    client: DockerClient,
    image_id: str,
    owner: str,
    samples: Sequence[Sample],
    judged: Judged,
    limits: SmokeLimits,
    trials: Trials,
) -> Tried:
    """Runs the image in isolation and tries all that a service must do, before it is refused.

    `owner` is whose container it is: what a killed attempt of the same owner left is removed.

    Raises:
        ReleaseError: the image does not become ready, or fails a trial.
        EngineUnavailable: the engine stopped answering.
    """
    with (
        folded(log, "the trials of the image, each with its limit"),
        isolated(client, image_id, owner) as running,
        running.http,
    ):
        _try_size(client, image_id, limits, trials)
        ready = round(running.wait_until_ready(limits.ready_seconds), 2)
        trials.at_most("ready", ready, limits.ready_seconds, "s", "")
        answers = _ask(running, samples)
        difference = try_answers(answers, judged, trials)
        try_latency(answers, limits, trials)
        refusals = try_bad_input(running, trials)
        try_memory(running, try_isolation(running, trials), limits, trials)
        try_drain(running, samples[0].data(), limits, trials)
    trials.check()
    return Tried(ready, difference, refusals)


def _ask(running: RunningImage, samples: Sequence[Sample]) -> list[Answer]:
    """Sends every sample's raw file; the first one twice, since what is not yet warm is slower."""
    answers = []
    for sample in (samples[0], *samples):
        data = sample.data()
        started = time.monotonic()
        answer = running.post(ENDPOINT, data)
        milliseconds = (time.monotonic() - started) * 1000
        if answer.status_code != 200:
            raise ReleaseError(
                f"the image refused {sample.expected.raw} with {answer.status_code}: {answer.text}"
            )
        answers.append(Answer.read(sample.expected, _content(answer), milliseconds))
    return answers[1:]


def _content(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return answer.text


def _try_size(client: DockerClient, image_id: str, limits: SmokeLimits, trials: Trials) -> None:
    with engine_errors(client, "the image was measured"):
        size = round(client.images.get(image_id).attrs["Size"] / 1e6, 1)
    remedy = setting("image_mb", "see what made it grow (docker history)")
    trials.at_most("image size", size, limits.image_mb, "MB", remedy)
