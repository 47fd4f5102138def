"""`make up` and its like: they need Python alone, and every one leads to a verb that exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
MAKEFILE = (PROJECT / "Makefile").read_text()
VERBS = re.findall(r"^\t\$\(STACK\) ([a-z-]+)", MAKEFILE, re.M)


def without_packages(*arguments: str) -> subprocess.CompletedProcess[str]:
    """As on a machine on which nothing was installed: -S leaves every package out."""
    command = [sys.executable, "-S", "-m", "ml_tasks.deployment", *arguments]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)


def test_the_makefile_leads_to_these() -> None:
    assert {"up", "down", "logs", "scale"} <= set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_exists_and_needs_no_package(verb: str) -> None:
    done = without_packages(verb, "--help")
    assert done.returncode == 0, done.stderr


def test_without_a_stack_the_remedy_is_said(tmp_path: Path) -> None:
    done = without_packages("down", "--project", str(tmp_path))
    assert done.returncode == 1
    assert "`make up` makes it" in done.stderr
    assert "Traceback" not in done.stderr


def test_scale_asks_for_a_number(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("COMPOSE_PROJECT_NAME=none\n")
    done = without_packages("scale", "--project", str(tmp_path))
    assert "make scale WORKERS=3" in done.stderr
