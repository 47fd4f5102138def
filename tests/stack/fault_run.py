"""One retraining of few films that is made to meet faults: its data, its gate, where it stands."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ml_tasks.dataset.phantoms import write_sample
from ml_tasks.dataset.shard import shard_name
from ml_tasks.errors import StackError
from ml_tasks.local_stack.airflow_api import TaskInstance
from ml_tasks.local_stack.demo import DAG_ID
from ml_tasks.records import ShardRecord
from ml_tasks.run_paths import RunPaths
from tests.airflow.shared_runs import OPEN_GATE
from tests.stack.faults import DEAD_WORKER, RETRY, Fault, record, wait_for_try
from tests.stack.quick_runs import settings_of
from tests.stack.running_stack import RunningStack, kill

PATIENCE = 1200.0  # seconds that a moment is waited for, on a busy machine too
CLEAN = "preprocess.clean"
LOOK_SECONDS = 5.0  # between two looks at the run


@dataclass(frozen=True)
class FaultRun:
    """A run that goes on while parts of its stack are killed."""

    stack: RunningStack
    run_id: str
    paths: RunPaths = field(repr=False)

    def wait_until(self, words: str, reached: Callable[[], object]) -> None:
        """Returns as soon as `reached` says so: what it looks at must change within the stage."""
        begin = asked = time.monotonic()
        while not reached():
            if time.monotonic() - asked > LOOK_SECONDS:
                assert not self._failed(), f"{self.run_id} has failed, so never: {words}"
                asked = time.monotonic()
            assert asked - begin < PATIENCE, f"not seen in {PATIENCE:g} s: {words}"
            time.sleep(0.02)

    def _failed(self) -> bool:
        """Whether the run has ended red; an api-server that is away says nothing."""
        try:
            return self.stack.api.run(DAG_ID, self.run_id).state == "failed"
        except StackError:
            return False

    def begun_shard(self) -> int | None:
        """A shard that a worker cleans just now: what it writes beside the shard's place."""
        working = sorted((self.paths.root / ShardRecord.stage).glob(".????.????????.tmp"))
        return int(working[0].name.split(".")[1]) if working else None

    def unfinished_shards(self) -> list[TaskInstance]:
        """The tries that run now, of shards that have left nothing yet."""
        tasks = self.stack.api.tasks(DAG_ID, self.run_id)
        return [
            task
            for task in tasks
            if (task.task_id, task.state) == (CLEAN, "running")
            and not (self.paths.root / ShardRecord.stage / shard_name(task.map_index)).exists()
        ]

    def task(self, task_id: str, shard: int = -1) -> TaskInstance:
        """The latest try of a task as Airflow knows it."""
        tasks = self.stack.api.tasks(DAG_ID, self.run_id)
        return next(each for each in tasks if (each.task_id, each.map_index) == (task_id, shard))

    def epochs(self) -> int:
        """How many are complete, as the newest checkpoint says; 0 once training is over."""
        files = self.paths.checkpoint.glob("epoch-*.ckpt")
        return max((int(file.stem[-5:]) for file in files), default=0)

    def kill_worker_of(self, task: TaskInstance, service: str) -> float:
        """SIGKILL to the worker that runs a task; the moment."""
        containers = self.stack.containers_by_hostname(service)
        assert task.hostname in containers, f"{task.name} runs on {task.hostname}, no {service}"
        kill(containers[task.hostname])
        return time.monotonic()

    def goes_on(self, at: float, task: TaskInstance, fault: str, happened: str) -> TaskInstance:
        """Waits for the task's next try, and records how long after the fault it came."""
        again = wait_for_try(self.stack, self.run_id, task.name, task.try_number + 1)
        seconds = time.monotonic() - at
        record(Fault(task.task_id, fault, happened, seconds, (DEAD_WORKER, RETRY)))
        return again

    def finish(self) -> None:
        """Waits for the end, which must be a good one."""
        run = self.stack.finish(self.run_id)
        states = {name: task.state for name, task in self.stack.tasks(self.run_id).items()}
        assert run.state == "success", states


def begin_fault_run(
    stack: RunningStack, seed: int, epochs: int = 3, patients: int = 80, push: bool = True
) -> FaultRun:
    """Starts a run on films that no run has seen: nothing of them is taken from the cache."""
    name = f"faults-{seed}"
    if not (stack.shared / "data" / name).exists():
        write_sample(stack.shared / "data" / name, patients=patients, seed=seed)
    conf = {"data_dir": f"/mammo/data/{name}", "epochs": epochs, "approval": "never", "push": push}
    with settings_of(stack, {**OPEN_GATE, "gate.min_accuracy": 0}):
        run_id = stack.trigger(conf)
        run = FaultRun(stack, run_id, stack.paths(run_id))
        run.wait_until("the run has begun", run.paths.config.exists)
    return run
