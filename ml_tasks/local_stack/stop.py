"""`mammo stop`: ends everything that was started under a state directory, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

from ml_tasks.local_stack import processes
from ml_tasks.local_stack.airflow import PROCESS as AIRFLOW
from ml_tasks.local_stack.demo import PROJECT
from ml_tasks.local_stack.engine import DOCKERD, Engine, ping, stop_engine
from ml_tasks.local_stack.registry import stop_registry
from ml_tasks.local_stack.service import stop_service
from ml_tasks.local_stack.terminal import say


def stop(state: Path = PROJECT / ".local") -> int:
    """Ends whatever was started here: Airflow, pages, service, registry and engine.

    Raises:
        StackError: something could not be ended; it is named.
    """
    ended = []
    # Airflow first: its tasks use the others.
    names = [started.name for started in processes.listed(state)]
    for name in sorted(names, key=lambda name: name != AIRFLOW):
        if name != DOCKERD and processes.stop(state, name):
            ended.append(name)
    engine = _engine()
    if stop_service(state, engine):
        ended.append("inference service")
    if stop_registry(state, engine):
        ended.append("registry")
    say(f"ended: {', '.join(ended)}" if ended else "nothing was running")
    stop_engine(state, say)
    return 0


def _engine() -> Engine:
    host = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    trouble = ping(host)
    return Engine(host) if trouble is None else Engine(None, trouble)
