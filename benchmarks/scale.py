"""The compose stack in figures: two workers against one, delays between tasks, idling."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.delays import as_facts, percentiles
from benchmarks.idle import idle_services
from benchmarks.scaled_stack import Round, round_facts, scaled_stack
from benchmarks.table import FULL, PROJECT, Effort, Page, Row, machine, not_measured, revision
from ml_tasks.errors import StackError

FIGURES = PROJECT / "docs" / "benchmarks-scale.json"
SPEEDUP_GOAL, DELAY_GOAL = 1.7, 1.0
_PATIENTS_PER_FILE = 2  # of Effort.files: two films each
_SMALL_PATIENTS = 40
_ORDER = (2, 1, 1, 2, 2, 1)  # workers; each has its turn early and late, with few changes
_IDLE_SECONDS = 60.0
_INTRODUCTION = """# Benchmarks of the stack

`python -m benchmarks --only scale --write` writes this page, benchmarks-scale.json, and from that
[sizing.md](sizing.md). It brings the whole stack of docker-compose.yaml up in a temporary folder
with two default workers and the CPU stand-in, ends it again, and takes twenty minutes on two cores;
images that are missing are made first. Run it on a machine that does nothing else.

- **Two workers against one**: each worker has one slot and works in one process (`cleaning.workers:
  1`, `scoring.threads: 1`), as a machine of one core would; the second one is stopped and started
  again in turn. Two shards of phantoms (512×416 pixels, PNG); cleaning has an empty cache, so that
  it examines every film. What counts is the time from the end of the task before to the end of the
  last shard: Airflow's delays and each task's start are in it. The rest of the stack runs on the
  same two cores.
- **Fixed costs** are what the wall clock says beyond the tasks' own time on the busiest worker.
- **Delay between tasks**: from the end of the last task that a task waits for to its own start, in
  the retraining, the cleaning and the scoring of this run; of a shard that waits for its worker's
  slot, from the end of the shard before. Until *queued* is the scheduler's part; the rest are
  Celery, and the process that a task gets.
- **Idle**: over a minute after all that, by the engine's counters; memory without the file cache
  that the kernel can take back.
"""
SCALE = Page(
    PROJECT / "docs" / "benchmarks-scale.md",
    _INTRODUCTION,
    ("apache-airflow", "apache-airflow-providers-celery", "onnxruntime"),
)


def measured(effort: Effort) -> list[Row]:
    """The rows of the page; a full run leaves its figures in docs/benchmarks-scale.json."""
    try:
        facts = _facts(effort)
    except StackError as error:
        return [not_measured("The stack", str(error).splitlines()[0])]
    if effort == FULL:
        FIGURES.write_text(json.dumps(facts, indent=1) + "\n")
    return rows(facts)


def rows(facts: dict[str, Any]) -> list[Row]:
    """The page's rows of the figures as they stand in the JSON file."""
    return [
        speedup_row("Cleaning", facts["films"], facts["cleaning"]),
        fixed_row("Cleaning", facts["cleaning"]),
        speedup_row("Batch scoring", facts["films"], facts["scoring"]),
        fixed_row("Batch scoring", facts["scoring"]),
        *delay_rows(facts["delays"]),
        *idle_rows(facts["idle"], facts["idle_seconds"]),
    ]


def speedup_row(what: str, films: int, rounds: Sequence[dict[str, Any]]) -> Row:
    """One worker's median time over two workers'."""
    one, two = _walls(rounds, 1), _walls(rounds, 2)
    figure = statistics.median(one) / statistics.median(two)
    return Row(
        f"{what} of {films} films: one worker / two",
        f"two workers {_spread(two)}",
        f"one worker {_spread(one)}",
        figure,
        f"at least {SPEEDUP_GOAL:g}",
        figure >= SPEEDUP_GOAL,
    )


def fixed_row(what: str, rounds: Sequence[dict[str, Any]]) -> Row:
    """What Airflow adds to the shards' own time, for information."""
    costs = {count: statistics.median(_fixed(rounds, count)) for count in (1, 2)}
    return Row(
        f"{what}: fixed costs of a round, in seconds",
        f"two workers {costs[2]:.2f} s",
        f"one worker {costs[1]:.2f} s",
        costs[2],
    )


def delay_rows(found: Sequence[dict[str, Any]]) -> list[Row]:
    """The delay against its goal, and the scheduler's part of it."""
    started = [each["until_started"] for each in found]
    queued = [each["until_queued"] for each in found]
    middle, high = percentiles(started)
    slowest = max(found, key=lambda each: float(each["until_started"]))
    half, most = percentiles(queued)
    return [
        Row(
            "Delay between tasks until the next one's start, p95, in seconds",
            f"p50 {middle:.2f} s, p95 {high:.2f} s of {len(found)}",
            f"the longest {slowest['until_started']:.2f} s, before {slowest['task']}",
            high,
            f"at most {DELAY_GOAL:g} s",
            high <= DELAY_GOAL,
        ),
        Row(
            "Of this until it is queued, p95, in seconds",
            f"p50 {half:.2f} s, p95 {most:.2f} s",
            "",
            most,
        ),
    ]


def idle_rows(found: Sequence[dict[str, Any]], seconds: float) -> list[Row]:
    """The whole idle stack, and each service of it."""
    share, memory = (sum(each[key] for each in found) for key in ("core_share", "megabytes"))
    count = sum(each["containers"] for each in found)
    return [
        Row(
            f"The idle stack over {seconds:.0f} s, share of one core",
            f"{share:.1%} of a core, {memory / 1000:.1f} GB",
            f"{count} containers",
            share,
        ),
        *(
            Row(
                f"Of this {each['service']}",
                f"{each['core_share']:.1%} of a core, {each['megabytes']:.0f} MB",
                f"{each['containers']} container(s)",
                each["core_share"],
            )
            for each in found
        ),
    ]


def _facts(effort: Effort) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="mammo-scale-", ignore_cleanup_errors=True) as name:
        root = Path(name)
        films = effort.files * 2 * _PATIENTS_PER_FILE
        _draw_films(root, films)
        stack_root = root / "stack"
        with scaled_stack(stack_root, root / "films", root / "small") as stack:
            retraining = stack.retrain()
            run_id, cleaning_run = stack.prepare_cleaning()
            cleaned: list[Round] = []
            scored: list[Round] = []
            for workers in _ORDER if effort == FULL else _ORDER[:2]:
                cleaned.append(stack.clean(run_id, workers))
                scored.append(stack.score(workers))
            stack.set_workers(2)
            idle = idle_services(stack.running.compose.name, _IDLE_SECONDS)
            return {
                "date": f"{datetime.now(UTC):%Y-%m-%d}",
                "revision": revision(),
                "machine": machine(),
                "films": films,
                "retrained_films": _SMALL_PATIENTS * 2,
                "retraining": retraining,
                "first_pass": cleaning_run,
                "cleaning": round_facts(cleaned),
                "scoring": round_facts(scored),
                "delays": as_facts(stack.delays),
                "idle_seconds": _IDLE_SECONDS,
                "idle": [asdict(each) for each in idle],
            }


def _draw_films(root: Path, films: int) -> None:
    """The folder that is cleaned and the small one, each drawn in a process of its own."""
    from ml_tasks.dataset.phantoms import write_sample

    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        small = pool.submit(write_sample, root / "small", _SMALL_PATIENTS)
        large = pool.submit(write_sample, root / "films", films // 2)
        small.result()
        large.result()


def _walls(rounds: Sequence[dict[str, Any]], workers: int) -> list[float]:
    return [float(each["wall"]) for each in rounds if each["workers"] == workers]


def _fixed(rounds: Sequence[dict[str, Any]], workers: int) -> list[float]:
    """Seconds beyond the busiest worker's own: all shards on one, the longest one on two."""
    own = sum if workers == 1 else max
    return [each["wall"] - own(each["shards"]) for each in rounds if each["workers"] == workers]


def _spread(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds):.1f} s ({min(seconds):.1f} to {max(seconds):.1f})"
