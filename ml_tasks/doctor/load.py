"""How many tasks Airflow starts at once, against the cores and the memory of this machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ml_tasks.doctor.airflow_settings import COMPOSE, AirflowFacts
from ml_tasks.doctor.findings import Finding, note, ok, to_mend
from ml_tasks.records import Record

NAME = "parallelism"
# Of a training on the CPU with the default batch, of any other task, and of Airflow itself.
TRAINING_GB, TASK_GB, AIRFLOW_GB = 4.0, 0.5, 2.0
_DEFAULTS = {"parallelism": "32", "worker_concurrency": "16"}


class MachineFacts(Record):
    """What this machine, or the container that this runs in, may use."""

    cores: int
    memory_gb: float


def look() -> MachineFacts:
    """The cores of this process, and the smaller of the machine's and the container's memory."""
    limits = [_total_memory()]
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(path).read_text().strip()
        except OSError:
            continue
        if text.isdecimal():
            limits.append(int(text))
    return MachineFacts(cores=len(os.sched_getaffinity(0)), memory_gb=round(min(limits) / 1e9, 1))


def judge(airflows: Sequence[AirflowFacts], machine: MachineFacts) -> list[Finding]:
    """One line for each Airflow that says how many tasks it starts here."""
    shown = f"{machine.cores} cores, {machine.memory_gb:g} GB"
    least = AIRFLOW_GB + TRAINING_GB
    if machine.memory_gb < least:
        what = f"{shown}: a training and Airflow itself need about {least:g} GB"
        return [to_mend(NAME, what, "add memory, or lower training.batch_size and train elsewhere")]
    found = [
        _one(each, machine, shown) for each in airflows if each.name != COMPOSE
    ]  # docker-compose.yaml states the number of each worker by itself
    return found or [ok(NAME, f"{shown}; no Airflow is set up here")]


def fitting(machine: MachineFacts) -> int:
    """Tasks that may run at once: twice the cores, as far as memory goes; at least one."""
    by_memory = 1 + int((machine.memory_gb - AIRFLOW_GB - TRAINING_GB) / TASK_GB)
    return max(1, min(2 * machine.cores, by_memory))


def _one(airflow: AirflowFacts, machine: MachineFacts, shown: str) -> Finding:
    celery = "celery" in airflow.setting("core", "executor").lower()
    section, key = ("celery", "worker_concurrency") if celery else ("core", "parallelism")
    text = airflow.setting(section, key, _DEFAULTS[key])
    variable = f"AIRFLOW__{section.upper()}__{key.upper()}"
    most = fitting(machine)
    if not text.isdecimal():
        return note(NAME, f"{airflow.name}: [{section}] {key} is {text!r}, no number")
    words = f"{airflow.name}: {text} tasks at once on {shown}"
    if int(text) <= most:
        return ok(NAME, words)
    remedy = f"set {variable}={most}"
    if celery:  # the worker's own option wins, and is not seen from here
        return note(NAME, words, f"start the worker with --concurrency {most}, or {remedy}")
    return to_mend(NAME, words, remedy)


def _total_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
