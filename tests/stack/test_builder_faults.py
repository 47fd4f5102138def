"""kill -9 of the builder: `production` is the old release or the whole new one, at every look."""

from __future__ import annotations

import time

import pytest

from ml_tasks.records import ImageRecord, ReleaseRecord
from ml_tasks.release.champion import PRODUCTION
from ml_tasks.release.ledger import read_moves
from tests.stack.conftest import Released
from tests.stack.fault_run import PATIENCE, FaultRun, begin_fault_run
from tests.stack.faults import ProductionWatcher, registry_read, watched_production
from tests.stack.running_stack import RunningStack

pytestmark = pytest.mark.usefixtures("soon_noticed")
_UPLOADS = "/var/lib/registry/docker/registry/v2/repositories/{image}/_uploads"


def kill_builder_in_build(run: FaultRun) -> None:
    """SIGKILL once the release is sealed, while its image is made."""
    before = _sealed(run)
    run.wait_until("the release is sealed", lambda: _sealed(run) - before)
    task = run.task("build_image")
    at = run.kill_worker_of(task, "builder")
    assert not run.paths.has(ImageRecord), "the build was over before it was killed"
    happened = "built again from the same sealed release"
    run.goes_on(at, task, "kill -9 of the builder while it builds", happened)
    run.stack.wait_for_task(run.run_id, "build_image", "success")
    assert len(_sealed(run) - before) == 1, "the same results gave another release"


def kill_builder_in_push(run: FaultRun) -> None:
    """SIGKILL while the registry takes a layer: before `production` moves."""
    before = _production(run.stack)
    wait_for_upload(run.stack)
    task = run.task("push_model")
    at = run.kill_worker_of(task, "builder")
    assert _production(run.stack) == before, "the push was over before it was killed"
    assert not run.paths.has(ReleaseRecord)
    happened = "pushed again; production moved once, to the whole release"
    run.goes_on(at, task, "kill -9 of the builder while it pushes", happened)


def shipped(run: FaultRun, watch: ProductionWatcher) -> None:
    """The run's release is in production: noted once, and seen to come after the one before it."""
    record = run.paths.load(ReleaseRecord)
    run.wait_until("the watcher saw the move", lambda: watch.seen[-1] == record.digest)
    assert watch.seen == [record.production_before, record.digest]
    moves = read_moves(run.stack.config.paths.releases) or []
    assert [move.digest for move in moves].count(record.digest) == 1
    assert (moves[-1].version, moves[-1].digest) == (record.version, record.digest)


def wait_for_upload(stack: RunningStack) -> None:
    """Returns as the registry begins to take a layer; what a killed push left there is older."""
    folder = _UPLOADS.format(image=stack.config.release.image)
    count = f"ls {folder} 2>/dev/null | wc -l"
    wait = f"n=$({count}); echo waiting; until [ $({count}) -gt $n ]; do sleep 0.02; done"
    begin = time.monotonic()
    stack.compose.exec("registry", ["timeout", str(int(PATIENCE)), "sh", "-c", wait])
    assert time.monotonic() - begin < PATIENCE


def _sealed(run: FaultRun) -> set[str]:
    """The releases that stand whole."""
    bundles = run.stack.config.paths.releases.glob("[0-9]*/bundle/SHA256SUMS")
    return {path.parents[1].name for path in bundles}


def _production(stack: RunningStack) -> str | None:
    with registry_read(stack) as registry:
        return registry.digest(PRODUCTION)


@pytest.mark.full
def test_the_builder_in_its_build_and_then_in_its_push(released: Released) -> None:
    with watched_production(released.stack) as watch:
        run = begin_fault_run(released.stack, seed=104, epochs=1)
        kill_builder_in_build(run)
        kill_builder_in_push(run)
        run.finish()
        shipped(run, watch)
