"""Each trial of the smoke test fails for real: a tight limit, or an image as bad as that."""

from __future__ import annotations

import io
import json
import logging
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from docker import DockerClient

from ml_tasks.build_image import build_image
from ml_tasks.config_release import SmokeLimits
from ml_tasks.errors import ReleaseError
from ml_tasks.records import ImageRecord, SmokeRecord
from ml_tasks.release.container import RunningImage, isolated
from ml_tasks.release.trials import Trials, try_bad_input, try_drain, try_isolation
from ml_tasks.smoke_test import smoke_test
from tests.toy_run import ToyRun, make_toy_run, phantom
from tests.waiting import PATIENCE

pytestmark = pytest.mark.docker

# Answers 200 to whatever it is sent, and never ends when told to.
_CARELESS = """
import http.server, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.rfile.read(int(self.headers.get('Content-Length') or 0))
        self.send_response(200)
        self.end_headers()
    do_POST = do_GET
http.server.ThreadingHTTPServer(('', 8001), Handler).serve_forever()
"""
# Serves as it should, in a shell that drops everything at once when it is told to end.
_HASTY = "python -m ml_tasks.serving & trap 'exit 3' TERM; wait"


@pytest.fixture(scope="module")
def toy(
    tmp_path_factory: pytest.TempPathFactory,
    serving_base: str,
    repository: str,
    engine: DockerClient,
) -> ToyRun:
    """A run whose image is built; each test leaves it as it was."""
    toy = make_toy_run(tmp_path_factory.mktemp("trials"), image=repository)
    build_image(toy.run, toy.config, engine)
    return toy


@pytest.fixture
def image_id(toy: ToyRun) -> str:
    return toy.run.load(ImageRecord).image_id


def starting(engine: DockerClient, toy: ToyRun, command: list[str]) -> str:
    """The same image with another command."""
    image = toy.run.load(ImageRecord)
    text = f"FROM {image.image_id}\nCMD {json.dumps(command)}\n".encode()
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
    context.seek(0)
    tag = f"{toy.config.release.image}:altered"
    built, _ = engine.images.build(fileobj=context, custom_context=True, tag=tag, rm=True)
    return str(built.id)


@contextmanager
def running(engine: DockerClient, image_id: str, owner: Path) -> Iterator[RunningImage]:
    with isolated(engine, image_id, str(owner)) as started, started.http:
        started.wait_until_ready(PATIENCE)
        yield started


def failures(trials: Trials) -> str:
    with pytest.raises(ReleaseError) as refusal:
        trials.check()
    return str(refusal.value)


def test_every_limit_that_is_too_tight_is_named_with_its_setting(
    toy: ToyRun, engine: DockerClient, caplog: pytest.LogCaptureFixture
) -> None:
    """All of them at once: a person should not have to run it once for each."""
    tight = SmokeLimits(p95_ms=0.001, memory_mb=1, image_mb=1, drain_seconds=0.01)
    release = toy.config.release.model_copy(update={"smoke": tight})
    config = toy.config.model_copy(update={"release": release})
    caplog.set_level(logging.INFO, "ml_tasks")
    with pytest.raises(ReleaseError) as refusal:
        smoke_test(toy.run, config, engine)
    for name in ("p95_ms", "memory_mb", "image_mb", "drain_seconds"):
        assert f"raise release.smoke.{name} in config.yaml" in str(refusal.value)
    assert "memory is " in str(refusal.value) and "MB, the limit is 1 MB" in str(refusal.value)
    assert (
        "trial FAILED: p95 latency is" in caplog.text
        and "trial passed: model_version" in caplog.text
    )
    assert not toy.run.has(SmokeRecord)


def test_an_image_that_is_not_ready_in_time_is_named_with_its_setting(
    toy: ToyRun, engine: DockerClient
) -> None:
    release = toy.config.release.model_copy(update={"smoke": SmokeLimits(ready_seconds=0.001)})
    with pytest.raises(ReleaseError, match=r"within 0\.001 s [\s\S]*release\.smoke\.ready_seconds"):
        smoke_test(toy.run, toy.config.model_copy(update={"release": release}), engine)


def test_a_service_that_says_another_version_is_found(toy: ToyRun, engine: DockerClient) -> None:
    record = toy.run.stage(ImageRecord.stage) / "record.json"
    before = record.read_bytes()
    image = toy.run.load(ImageRecord).model_copy(update={"version": "another"})
    toy.run.seal(record.parent, image)
    try:
        with pytest.raises(ReleaseError, match="model_version is .*, the limit is another"):
            smoke_test(toy.run, toy.config, engine)
    finally:
        record.write_bytes(before)


def test_a_service_that_answers_everything_and_never_ends_is_found(
    toy: ToyRun, engine: DockerClient, tmp_path: Path
) -> None:
    careless, trials = starting(engine, toy, ["python", "-c", _CARELESS]), Trials()
    with running(engine, careless, tmp_path) as started:
        statuses = try_bad_input(started, trials)
        try_drain(started, phantom(90), SmokeLimits(drain_seconds=3), trials)
    assert set(statuses.values()) == {200}
    said = failures(trials)
    for name in ("empty file", "text file", "truncated picture", "decompression bomb"):
        assert f"bad input, {name} is HTTP 200" in said
    assert "drain is " in said and "release.smoke.drain_seconds" in said
    assert "exit status is none" in said


def test_a_service_that_drops_what_it_has_taken_on_is_found(
    toy: ToyRun, engine: DockerClient, tmp_path: Path
) -> None:
    hasty, trials = starting(engine, toy, ["sh", "-c", _HASTY]), Trials()
    with running(engine, hasty, tmp_path) as started:
        try_drain(started, phantom(90), SmokeLimits(drain_seconds=60), trials)
    said = failures(trials)
    assert "answer in flight at SIGTERM is none" in said
    assert "exit status is 3, the limit is 0" in said


def test_a_container_that_leads_outside_as_root_is_found(
    toy: ToyRun, image_id: str, engine: DockerClient
) -> None:
    """As an engine that ignores what it is told would run it."""
    trials = Trials()
    container = engine.containers.run(
        image_id, ["sleep", "300"], user="0:0", detach=True, network="bridge"
    )
    try:
        with httpx.Client() as http:
            try_isolation(RunningImage(container, http), trials)
    finally:
        container.remove(force=True)
    said = failures(trials)
    assert "the network bridge leads outside" in said
    for word in ("user 0", "capabilities ", "no_new_privileges False", "writable ['/'", "memory "):
        assert word in said


def test_a_service_that_is_ended_by_bad_input_is_quoted(
    toy: ToyRun, engine: DockerClient, tmp_path: Path
) -> None:
    fragile = _CARELESS.replace("do_POST = do_GET", "def do_POST(self): import os; os._exit(9)")
    image = starting(engine, toy, ["python", "-c", fragile])
    with (
        running(engine, image, tmp_path) as started,
        pytest.raises(ReleaseError, match="the image stopped answering"),
    ):
        try_bad_input(started, Trials())
