"""Adds one row a test folder to docs/test-results.md, from pytest's JUnit file of a full run."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

PROJECT = Path(__file__).resolve().parents[1]
TABLE = PROJECT / "docs" / "test-results.md"
HEADER = """# Results of the full test suite

Each `make test-full` adds the rows of its run: when, on which revision, how many tests of each
folder passed, failed and were skipped, and how long they took.

| date (UTC) | revision | tests | passed | failed | skipped | seconds |
|---|---|---|---|---|---|---|
"""


def main(junit: Path) -> int:
    """Writes the rows; gives 1 if a test failed."""
    revision = _git("rev-parse", "--short=10", "HEAD")
    if _git("status", "--porcelain", "--untracked-files=no"):
        revision += " with changes"
    counts: dict[str, Counter[str]] = {}
    seconds: dict[str, float] = {}
    for case in ElementTree.parse(junit).iter("testcase"):
        parts = case.get("classname", "").split(".")
        folder = parts[1] if len(parts) > 2 else "ground floor and stages"
        outcome = next((child.tag for child in case if child.tag in _OUTCOMES), "passed")
        counts.setdefault(folder, Counter())[_OUTCOMES.get(outcome, "passed")] += 1
        seconds[folder] = seconds.get(folder, 0) + float(case.get("time", 0))
    counts["all"] = sum(counts.values(), Counter())
    seconds["all"] = sum(seconds.values())
    text = TABLE.read_text() if TABLE.exists() else HEADER
    when = f"{datetime.now(UTC):%Y-%m-%d %H:%M}"
    for folder, outcomes in counts.items():
        figures = [str(outcomes[name]) for name in ("passed", "failed", "skipped")]
        text += (
            f"| {when} | {revision} | {folder} | {' | '.join(figures)} | {seconds[folder]:.0f} |\n"
        )
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(text)
    return 1 if counts["all"]["failed"] else 0


_OUTCOMES = {"failure": "failed", "error": "failed", "skipped": "skipped"}


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
