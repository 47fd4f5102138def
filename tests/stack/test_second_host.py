"""A GPU box beside the stack: the worker of another host trains, and outlives a pulled cable."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ml_tasks.records import TrainRecord
from tests.stack.conftest import OVERRIDES
from tests.stack.fault_run import FaultRun, begin_fault_run
from tests.stack.faults import Fault, record
from tests.stack.running_stack import RunningStack, start_stack, stop_stack
from tests.stack.second_host import MAIN, cable, lone_engine, start_box, unplugged
from tests.stack.tracked import tracked_runs

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root starts a second engine"),
]

FILES = ("docker-compose.yaml", "docker-compose.override.yaml", "docker/main-host.yaml")


@dataclass(frozen=True)
class TwoHosts:
    """The stack without a worker that trains, and the name of the one that another host has."""

    main: RunningStack
    box: str


@pytest.fixture
def two_hosts(
    tmp_path: Path,
    compose_installed: None,
    stack_images: object,
    base_images: object,
    short_folder: Path,
) -> Iterator[TwoHosts]:
    """Both mount the same folders, the shared volume and the logs, as they would by NFS."""
    settings = {
        "COMPOSE_PROJECT_NAME": f"mammohosts{os.getpid()}",
        "COMPOSE_FILE": ":".join(FILES),
        "MAMMO_INTERNAL_BIND": MAIN,
        "MAMMO_LOGS": str(tmp_path / "logs"),
        "MAMMO_GPU_WORKERS": "0",
    }
    with lone_engine(short_folder) as engine, cable(engine):
        main = start_stack(tmp_path, OVERRIDES, settings)
        try:
            yield TwoHosts(main, start_box(main, engine, tmp_path / "box"))
        finally:
            stop_stack(main)


def test_the_other_hosts_worker_trains_through_a_pulled_cable(two_hosts: TwoHosts) -> None:
    """Its training ends while nobody hears of it, and counts once the cable is back."""
    run = begin_fault_run(two_hosts.main, seed=120, push=False)
    run.wait_until("an epoch is complete", lambda: run.epochs() > 0)
    with unplugged():
        run.wait_until("training is over", lambda: run.paths.has(TrainRecord))
        assert run.task("train").state == "running"
    plugged = time.monotonic()
    run.stack.wait_for_task(run.run_id, "train", "success")
    happened = "what ended meanwhile counted, once it was back"
    record(Fault("train", "cable of the GPU box pulled", happened, time.monotonic() - plugged))
    run.finish()
    assert run.paths.load(TrainRecord).resumed_from == ()
    for name in ("train", "evaluate"):
        task = run.task(name)
        assert (task.hostname, task.try_number) == (two_hosts.box, 1), name
    _is_told_to_the_main_host(run)


def _is_told_to_the_main_host(run: FaultRun) -> None:
    """Log, figures and metrics of what the other host did."""
    log = run.stack.log(run.run_id, run.task("train"))
    assert any("epoch" in line.event for line in log if line.own)
    assert [figure for figure in tracked_runs(run.stack) if "loss" in figure]
    address = "'http://localhost:9102/metrics'"
    asked = f"import urllib.request as u; print(u.urlopen({address}).read().decode())"
    metrics = run.stack.compose.exec("statsd", ["python3", "-c", asked])
    # Its own process tells how long a try ran; of other figures the scheduler tells.
    assert re.search(r'^airflow_task_duration_seconds_count\{.*task_id="train"', metrics, re.M)
