"""`python -m benchmarks [--quick] [--write]` runs every comparison and prints the page."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import evaluating, many, reading, training
from benchmarks.table import FULL, PAGE, QUICK, Effort, Row, page


def main(arguments: list[str] | None = None) -> int:
    """Gives 1 if a goal was missed, so that a script can tell."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds and few files")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name} in docs/")
    chosen = parser.parse_args(arguments)
    effort = QUICK if chosen.quick else FULL
    rows = measured(effort)
    text = page(rows, effort)
    if chosen.write:
        PAGE.write_text(text)
    print(text)
    missed = missed_goals(rows)
    print(*missed, sep="\n", file=sys.stderr)
    return int(bool(missed))


def missed_goals(rows: Sequence[Row]) -> list[str]:
    """A line for each goal that was missed."""
    return [
        f"goal missed: {row.what}: {row.shown_figure}, should be {row.goal}"
        for row in rows
        if row.met is False
    ]


def measured(effort: Effort) -> list[Row]:
    """The rows of all comparisons."""
    with tempfile.TemporaryDirectory(prefix="mammo-benchmarks-") as folder:
        return [
            *reading.rows(Path(folder), effort),
            *many.rows(Path(folder), effort),
            *evaluating.rows(effort),
            *training.rows(Path(folder), effort),
        ]


if __name__ == "__main__":
    sys.exit(main())
