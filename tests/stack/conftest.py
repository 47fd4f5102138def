"""One stack for all tests of this folder, and one release made in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from ml_tasks.dataset.phantoms import write_sample
from ml_tasks.deployment.images.image_ref import ImageRef
from ml_tasks.local_stack.airflow_api import DagRun
from ml_tasks.run_paths import RunPaths
from tests.stack.running_stack import RunningStack, start_stack, stop_stack

OVERRIDES = {
    "model.weights": "none",  # no pretrained weights can be had everywhere
    "training.epochs": 3,
    "cleaning.shards": 4,
    "cleaning.workers": 1,
}


@dataclass(frozen=True)
class Released:
    """The first run of the stack, which went to the end."""

    stack: RunningStack
    run: DagRun
    paths: RunPaths


@pytest.fixture(scope="session")
def running_stack(
    tmp_path_factory: pytest.TempPathFactory,
    stack_images: tuple[ImageRef, ...],
    base_images: tuple[ImageRef, ...],
    serving_base: str,
) -> Iterator[RunningStack]:
    """The stack, up and healthy, with sample data and no release."""
    root = tmp_path_factory.mktemp("stack")
    write_sample(root / "shared" / "data" / "raw", patients=240)
    running = start_stack(root, OVERRIDES, {})
    yield running
    stop_stack(running)


@pytest.fixture(scope="session")
def released(running_stack: RunningStack) -> Released:
    """Sample data, by the whole DAG, to a pushed image."""
    run_id = running_stack.trigger({})
    run = running_stack.finish(run_id)
    return Released(running_stack, run, running_stack.paths(run_id))
