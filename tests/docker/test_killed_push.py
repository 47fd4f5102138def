"""A push that is killed, or loses its registry: `production` stays, or is the whole new release."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from docker import DockerClient

from ml_tasks.config import save_config
from ml_tasks.errors import PushError, PushRefused
from ml_tasks.push_model import push_model
from ml_tasks.records import ImageRecord, ReleaseRecord
from ml_tasks.release.ledger import read_moves
from ml_tasks.release.registry_api import Registry
from tests.builders import NO_CHAMPION
from tests.counts import cases
from tests.docker.image_tags import tags_of
from tests.docker.light_release import in_production, light_run
from tests.docker.registry_process import RegistryProcess
from tests.docker.registry_proxy import RegistryProxy
from tests.toy_run import ToyRun
from tests.waiting import PATIENCE, ended

pytestmark = pytest.mark.docker


class Line:
    """Releases one after the other, each meaning to replace the one that serves."""

    def __init__(self, root: Path, engine: DockerClient, registry: RegistryProcess) -> None:
        self.root, self.engine, self.registry = root, engine, registry
        self.image = f"mammography-killed-{uuid4().hex[:8]}"
        self.day, self.serving = 0, None

    serving: ReleaseRecord | None

    def next(self, size: int = 200_000) -> ToyRun:
        """The next tested release."""
        self.day += 1
        champion = in_production(self.serving) if self.serving else NO_CHAMPION
        address = self.registry.address
        toy = light_run(self.root, self.engine, address, self.image, self.day, champion, size)
        save_config(toy.config, toy.run.config)
        return toy

    def pushed(self, toy: ToyRun) -> ReleaseRecord:
        """Pushes it to its end, here, and sees that all of it is in place."""
        self.serving = record = push_model(toy.run, toy.config, self.engine)
        tags = self.registry.tags(self.image)
        assert tags["production"] == tags[record.version] == record.digest
        assert "latest" not in tags
        moves = read_moves(toy.config.paths.releases) or []
        assert [move.version for move in moves].count(record.version) == 1
        assert (moves[-1].version, moves[-1].digest) == (record.version, record.digest)
        assert moves[-1].digest_before == record.production_before
        return record

    def is_whole(self, toy: ToyRun) -> bool:
        """Whether `production` has moved: to this very release, with every part of it, or not."""
        production = self.registry.tags(self.image).get("production")
        if production == (self.serving and self.serving.digest):
            return False
        with Registry(toy.config.release) as registry:
            manifest = registry.manifest("production")
            assert manifest is not None and registry.lacks(manifest) == []
            assert manifest.is_of(toy.run.load(ImageRecord).image_id)
        return True


@pytest.fixture
def line(tmp_path: Path, engine: DockerClient, registry: RegistryProcess) -> Iterator[Line]:
    line = Line(tmp_path, engine, registry)
    yield line
    for tag in tags_of(engine, line.image):
        engine.images.remove(tag)


def in_a_process(toy: ToyRun, at: int = 0) -> subprocess.Popen[str]:
    """push_model as a worker runs it; killed before its step `at`."""
    command = [sys.executable, "-m", "tests.docker.killed_push"]
    command += [str(toy.config.paths.runs), toy.run.run_id, str(at)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_worker_killed_at_any_step_leaves_production_or_the_whole_new_release(
    line: Line,
) -> None:
    line.pushed(line.next())  # makes the signing key, which no later push does
    whole = line.next()
    out, complaint = in_a_process(whole).communicate(timeout=PATIENCE)
    assert out, complaint
    steps = int(out)
    line.pushed(whole)
    count = cases(4, 20)
    points = sorted({1 + round(n * (steps - 1) / (count - 1)) for n in range(count)})
    for at in points:
        toy = line.next()
        killed = in_a_process(toy, at)
        killed.communicate(timeout=PATIENCE)
        assert killed.returncode == -9, f"step {at} of {steps}"
        line.is_whole(toy)
        line.pushed(toy)


def test_a_registry_killed_while_it_takes_a_layer(line: Line) -> None:
    """Its container or machine is lost: the worker says so, and a re-run completes."""
    serving = line.pushed(line.next())
    for _ in range(cases(1, 10)):
        toy = line.next(size=30_000_000)
        once = toy.config.release.model_copy(update={"push_attempts": 1})
        save_config(toy.config.model_copy(update={"release": once}), toy.run.config)
        pushing = in_a_process(toy)
        uploads = line.registry.storage / f"docker/registry/v2/repositories/{line.image}/_uploads"
        deadline = time.monotonic() + PATIENCE
        while not any(uploads.glob("*/data")):
            assert time.monotonic() < deadline and pushing.poll() is None, pushing.communicate()
            time.sleep(0.002)
        line.registry.kill()
        _, complaint = pushing.communicate(timeout=PATIENCE)
        assert pushing.returncode == 1
        assert "PushError" in complaint and "production has not moved" in complaint
        line.registry.start()
        assert line.registry.tags(line.image)["production"] == serving.digest
        serving = line.pushed(toy)


def at_proxy(toy: ToyRun, proxy: RegistryProxy, attempts: int) -> ToyRun:
    """The same run, whose worker reaches the registry through the proxy."""
    update = {"registry_url": proxy.url, "push_attempts": attempts}
    release = toy.config.release.model_copy(update=update)
    return ToyRun(toy.run, toy.config.model_copy(update={"release": release}))


@pytest.mark.parametrize("cut", ["before", "after"])
def test_the_one_request_that_moves_production_is_lost(line: Line, cut: str) -> None:
    """Whether it moved is then not certain; that is said, and the next look knows."""
    line.pushed(line.next())
    toy = line.next()
    with RegistryProxy(line.registry.address, "PUT", "/manifests/production", cut) as proxy:
        cutting = at_proxy(toy, proxy, attempts=1)
        with pytest.raises(PushError, match="whether production moved is not certain"):
            push_model(cutting.run, cutting.config, line.engine)
        assert proxy.cuts == 1
        assert line.is_whole(toy) is (cut == "after")
        line.pushed(cutting)


@pytest.mark.parametrize("cut", ["before", "after"])
def test_a_lost_move_is_tried_again_and_noted_with_what_stood_before(line: Line, cut: str) -> None:
    before = line.pushed(line.next())
    with RegistryProxy(line.registry.address, "PUT", "/manifests/production", cut) as proxy:
        record = line.pushed(at_proxy(line.next(), proxy, attempts=3))
    assert record.production_before == before.digest


def test_a_version_that_the_registry_holds_otherwise_is_never_overwritten(line: Line) -> None:
    serving = line.pushed(line.next())
    toy = line.next()
    version = toy.run.load(ImageRecord).version
    with Registry(toy.config.release) as registry:
        manifest = registry.manifest(serving.digest)
        assert manifest is not None
        registry.put(manifest, version)
    with pytest.raises(PushRefused, match="holds another image as .* never overwritten"):
        push_model(toy.run, toy.config, line.engine)
    assert line.registry.tags(line.image)[version] == serving.digest


def test_two_who_ship_at_once_do_not_both_move_production(line: Line) -> None:
    """Without Airflow's pool, by hand: the lock lets one through, the other one is told."""
    line.pushed(line.next())
    rivals = [line.next(), line.next()]
    outcomes: list[str] = []

    def ship(toy: ToyRun) -> None:
        try:
            outcomes.append(push_model(toy.run, toy.config, line.engine).version)
        except PushRefused as refusal:
            outcomes.append(type(refusal).__name__)

    threads = [threading.Thread(target=ship, args=(toy,)) for toy in rivals]
    for thread in threads:
        thread.start()
    ended(*threads)
    assert outcomes.count("ProductionMoved") == 1
    (winner,) = [each for each in outcomes if each != "ProductionMoved"]
    moves = read_moves(rivals[0].config.paths.releases) or []
    assert (len(moves), moves[-1].version) == (2, winner)
    assert line.registry.tags(line.image)["production"] == moves[-1].digest
