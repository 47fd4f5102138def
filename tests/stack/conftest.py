"""One stack for all tests of this folder, and one release made in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ml_tasks.dataset.phantoms import write_sample
from ml_tasks.deployment.images.image_ref import ImageRef
from ml_tasks.local_stack.airflow_api import DagRun
from ml_tasks.local_stack.demo import DAG_ID
from ml_tasks.run_paths import RunPaths
from tests.airflow.shared_runs import OPEN_GATE
from tests.counts import cases
from tests.stack.running_stack import (
    HEARTBEAT_TIMEOUT,
    TEAM_HEARTBEAT_TIMEOUT,
    RunningStack,
    notice_dead_workers_after,
    start_stack,
    stop_stack,
)
from tests.stack.small_disk import small_disk
from tests.waiting import PATIENT_SETTINGS

HERE = Path(__file__).parent
# The default gate wants many test patients; few epochs over few films pass an open one.
PATIENTS = cases(80, 240)
OVERRIDES = {
    "model.weights": "none",  # no pretrained weights can be had everywhere
    "training.epochs": cases(2, 3),
    **cases({**OPEN_GATE, "gate.min_accuracy": 0}, {}),
    "cleaning.shards": 4,
    "cleaning.workers": 1,
    **cases(PATIENT_SETTINGS, {}),
}
SHARDS = 8  # of the first run: more than the workers take at once, so that a slow one has its part


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The whole run, which makes the first release, comes first; what destroys the stack, last."""
    places = [number for number, item in enumerate(items) if HERE in item.path.parents]
    own = sorted((items[each] for each in places), key=_turn)
    for place, item in zip(places, own, strict=True):
        items[place] = item


def _turn(item: pytest.Item) -> int:
    if item.path.name == "test_whole_run.py":
        return 0
    return 2 if item.get_closest_marker("last") else 1


@dataclass(frozen=True)
class Released:
    """The first run of the stack, which went to the end."""

    stack: RunningStack
    run: DagRun
    paths: RunPaths


@pytest.fixture(scope="package")
def running_stack(
    tmp_path_factory: pytest.TempPathFactory,
    compose_installed: None,
    stack_images: tuple[ImageRef, ...],
    base_images: tuple[ImageRef, ...],
    serving_base: str,
) -> Iterator[RunningStack]:
    """The stack, up and healthy, with sample data and no release; ended with this folder's tests,
    for idle it takes a quarter of a core."""
    root = tmp_path_factory.mktemp("stack")
    with small_disk(root / "shared"):
        write_sample(root / "shared" / "data" / "raw", patients=PATIENTS)
        running = start_stack(root, OVERRIDES, {})
        yield running
        stop_stack(running)


@pytest.fixture(scope="module")
def soon_noticed(running_stack: RunningStack) -> Iterator[None]:
    """For modules that kill workers: the scheduler notices a dead one in half a minute."""
    notice_dead_workers_after(running_stack, HEARTBEAT_TIMEOUT)
    yield
    notice_dead_workers_after(running_stack, TEAM_HEARTBEAT_TIMEOUT)


@pytest.fixture(autouse=True)
def no_run_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that fails leaves a run that goes on, and the next one's would wait behind it."""
    yield
    if "running_stack" in request.fixturenames and not request.node.get_closest_marker("last"):
        api = request.getfixturevalue("running_stack").api
        for run in api.runs(DAG_ID):
            if not run.ended:
                api.mark_run(DAG_ID, run.dag_run_id, "failed")


@pytest.fixture(scope="package")
def released(running_stack: RunningStack) -> Released:
    """Sample data, by the whole DAG, to a pushed image."""
    run_id = running_stack.trigger({"shards": SHARDS})
    run = running_stack.finish(run_id)
    return Released(running_stack, run, running_stack.paths(run_id))
