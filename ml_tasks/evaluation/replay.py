"""`mammo gate --replay N`: the last N evaluated runs judged under other limits; nothing changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ml_tasks.config_gate import GatePolicy
from ml_tasks.errors import MammoError
from ml_tasks.evaluation.evaluated_run import decision_on
from ml_tasks.records import Decision, EvaluationRecord, GateDecision
from ml_tasks.run_paths import RECORD, RunPaths

_COLUMNS = ("run", "evaluated (UTC)", "verdict then", "verdict now", "rules that changed")


@dataclass(frozen=True)
class Replayed:
    """One run: what its gate said, what it would say now, and by which rules the two differ."""

    run_id: str
    evaluated: datetime
    then: str
    now: str
    changed: tuple[str, ...]


def replay(runs: Path, policy: GatePolicy, last: int) -> list[Replayed]:
    """The `last` evaluated runs below `runs`, the latest first, judged by `policy`.

    A run that cannot be judged says why in place of its verdict.
    """
    records = runs.glob(f"*/{EvaluationRecord.stage}/{RECORD}")
    latest = sorted(records, key=lambda path: path.stat().st_mtime, reverse=True)[:last]
    return [_replayed(runs, path, policy) for path in latest]


def table(replayed: Sequence[Replayed]) -> str:
    """The rows as text, one line a run."""
    rows = [_COLUMNS] + [
        (row.run_id, f"{row.evaluated:%Y-%m-%d %H:%M}", row.then, row.now, "; ".join(row.changed))
        for row in replayed
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _replayed(runs: Path, path: Path, policy: GatePolicy) -> Replayed:
    record = EvaluationRecord.model_validate_json(path.read_bytes())
    evaluated = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    try:
        run = RunPaths.reopen(runs, record.run_id)
        before = run.load(Decision) if run.has(Decision) else None
        after = decision_on(run, policy)
    except MammoError as error:
        return Replayed(record.run_id, evaluated, "?", "cannot be judged", (str(error),))
    then = "not judged" if before is None else before.verdict.value
    changed = () if before is None else _changed(before, after)
    return Replayed(record.run_id, evaluated, then, after.verdict.value, changed)


def _changed(before: Decision, after: GateDecision) -> tuple[str, ...]:
    old = {rule.rule: rule.verdict.value for rule in before.rules}
    new = {rule.rule: rule.verdict.value for rule in after.rules}
    return tuple(
        f"{name} {old.get(name, 'no rule')} -> {new.get(name, 'no rule')}"
        for name in dict.fromkeys([*old, *new])
        if old.get(name) != new.get(name)
    )
