"""Writes docs/faults.md from what the fault tests recorded: fault, what happened, recovery."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tests.stack.faults import DEAD_WORKER, QUEUED_AGAIN, RECORDED, RETRY, Fault
from tests.stack.running_stack import CHECKOUT, HEARTBEAT_TIMEOUT, QUEUE_TIMEOUT, RETRY_SECONDS

PAGE = CHECKOUT / "docs" / "faults.md"
HEADER = """# Faults and what comes of them

Each was made for real, in the stack of `docker-compose.yaml` (CeleryExecutor, Postgres, Redis, two
default workers, a worker of the queue `gpu`, a builder), by a test that you can run. The tests
demand that the run completes, that nothing is lost and nothing half-done is read; a watcher looks
at `production` five times a second and wants each digest that it sees to be whole, noted in the
ledger, and of an image whose smoke test had passed.

**Only what was measured is listed**: a row stands here once its test has recorded it.

**Time to recovery** is from the fault until the stage went on. It holds three waits that a test
makes shorter than a team's stack does: a dead worker is noticed after {heartbeat} s (a team's:
{team_heartbeat} s, `MAMMO_HEARTBEAT_TIMEOUT`), a retry follows after {retry} s (a team's:
{other} s, of train {train} s), and what waits for a worker is queued anew after {queue} s (a
team's: {team_queue} s, `MAMMO_QUEUE_TIMEOUT`), looked for every two minutes. The
column *a team's* has those waits exchanged.

| stage | fault | what happened | here | a team's | `.venv/bin/python -m pytest` … |
|---|---|---|---|---|---|
"""
FOOTER = """
Measured on two cores, the newest {newest}. `python -m tests.stack.fault_table` writes this page
from what the tests recorded (`.local/faults.jsonl`).
"""


@dataclass(frozen=True)
class Waits:
    """How long a stack waits, in seconds: for a dead worker, before it queues anew, and before a
    retry by stage."""

    heartbeat: float
    queue: float
    retries: dict[str, float]
    other: float

    def of(self, fault: Fault) -> float:
        """What of a recovery is waiting."""
        retry = self.retries.get(fault.stage, self.other)
        waits = {DEAD_WORKER: self.heartbeat, QUEUED_AGAIN: self.queue, RETRY: retry}
        return sum(seconds for wait, seconds in waits.items() if wait in fault.waits)


HERE = Waits(HEARTBEAT_TIMEOUT, QUEUE_TIMEOUT, {}, RETRY_SECONDS)


def team_waits(compose: str, dag: str) -> Waits:
    """A team's, as the stack's file and the retraining's say."""
    (heartbeat,) = re.findall(r"\$\{MAMMO_HEARTBEAT_TIMEOUT:-(\d+)\}", compose)
    (queue,) = re.findall(r"\$\{MAMMO_QUEUE_TIMEOUT:-(\d+)\}", compose)
    (other,) = re.findall(r'"retry_delay": timedelta\(minutes=(\d+)\)', dag)
    (train,) = re.findall(r"retry_delay=timedelta\(minutes=(\d+)\)", dag)
    retries = {"train": 60.0 * int(train)}
    return Waits(float(heartbeat), float(queue), retries, 60.0 * int(other))


def page(lines: list[dict[str, Any]], team: Waits) -> str:
    """The page of the newest record of each fault."""
    newest = {(each["stage"], each["fault"], each["happened"]): each for each in lines}
    names = {field.name for field in fields(Fault)}
    rows = []
    for each in sorted(newest.values(), key=lambda line: (line["test"], line["when"])):
        fault = Fault(**{name: each[name] for name in names})
        there = fault.seconds - HERE.of(fault) + team.of(fault)
        shown = (f"{fault.seconds:.0f} s", f"{there:.0f} s", f"`{each['test']}`")
        rows.append(f"| {' | '.join((fault.stage, fault.fault, fault.happened, *shown))} |\n")
    header = HEADER.format(
        heartbeat=f"{HERE.heartbeat:g}",
        team_heartbeat=f"{team.heartbeat:g}",
        queue=f"{HERE.queue:g}",
        team_queue=f"{team.queue:g}",
        retry=f"{HERE.other:g}",
        other=f"{team.other:g}",
        train=f"{team.retries['train']:g}",
    )
    return header + "".join(rows) + FOOTER.format(newest=max(each["when"] for each in lines))


def main(recorded: Path) -> int:
    """Writes the page."""
    dag = (CHECKOUT / "dags" / "mammography_retraining.py").read_text()
    team = team_waits((CHECKOUT / "docker-compose.yaml").read_text(), dag)
    lines = [json.loads(line) for line in recorded.read_text().splitlines()]
    PAGE.write_text(page(lines, team))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else RECORDED))
