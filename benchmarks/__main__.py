"""`python -m benchmarks [--only PART] [--quick] [--write]` runs comparisons and prints pages."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import (
    batch_scoring,
    evaluating,
    many,
    orchestration,
    reading,
    scale,
    serving,
    sizing,
    training,
)
from benchmarks.table import FULL, PIPELINE, QUICK, Effort, Page, Row, page

_PAGES: dict[str, Page] = {
    "pipeline": PIPELINE,
    "serving": serving.SERVING,
    "batch_scoring": batch_scoring.BATCHES,
    "orchestration": orchestration.ORCHESTRATION,
    "scale": scale.SCALE,
}
_MEASURED = {
    "serving": serving.measured,
    "batch_scoring": batch_scoring.measured,
    "orchestration": orchestration.measured,
    "scale": scale.measured,
}


def main(arguments: list[str] | None = None) -> int:
    """Gives 1 if a goal was missed, so that a script can tell."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds and few files")
    parser.add_argument("--write", action="store_true", help="write the pages in docs/")
    parser.add_argument("--only", choices=_PAGES, help="this part alone")
    chosen = parser.parse_args(arguments)
    effort = QUICK if chosen.quick else FULL
    missed: list[str] = []
    for part in (chosen.only,) if chosen.only else _PAGES:
        rows = measured(effort) if part == "pipeline" else _MEASURED[part](effort)
        text = page(rows, effort, _PAGES[part])
        if chosen.write:
            _PAGES[part].file.write_text(text)
            sizing.write_page()  # made of the figures of the other pages
        print(text)
        missed += missed_goals(rows)
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
    """The rows of everything that comes before the service."""
    with tempfile.TemporaryDirectory(prefix="mammo-benchmarks-") as folder:
        return [
            *reading.rows(Path(folder), effort),
            *many.rows(Path(folder), effort),
            *evaluating.rows(effort),
            *training.rows(Path(folder), effort),
        ]


if __name__ == "__main__":
    sys.exit(main())
