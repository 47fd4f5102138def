"""Versions: they sort by time, the same content keeps its own, and none is called latest."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from ml_tasks.config_release import ReleaseConfig
from ml_tasks.release.bundle import FILES, seal, version_of


def sealed(releases: Path, started: str, card: str = "a") -> str:
    parts: dict[str, Path | bytes] = dict.fromkeys(FILES, b"{}")
    parts["lineage.json"] = json.dumps({"run_started_at": started}).encode()
    parts["model_card.md"] = card.encode()
    return version_of(seal(releases, parts))


def test_versions_sort_by_the_time_of_their_runs_wherever_those_were(tmp_path: Path) -> None:
    moments = [
        "2025-12-31T23:59:59+00:00",
        "2026-01-01T01:30:00+02:00",  # earlier than it looks: 23:30 UTC of the day before
        "2026-01-01T00:00:01+00:00",
        "2026-01-01T09:00:00+00:00",
        "2026-10-01T09:00:00+00:00",
    ]
    moments[0], moments[1] = moments[1], moments[0]
    versions = [sealed(tmp_path, moment) for moment in moments]
    shuffled = random.Random(1).sample(versions, len(versions))
    assert sorted(shuffled) == versions


def test_the_same_content_keeps_its_version_and_other_content_gets_another(tmp_path: Path) -> None:
    moment = "2026-01-02T03:04:05+00:00"
    first = sealed(tmp_path / "here", moment)
    assert sealed(tmp_path / "elsewhere", moment) == first == sealed(tmp_path / "here", moment)
    other = sealed(tmp_path / "here", moment, card="b")
    assert other != first and other.partition("-")[0] == first.partition("-")[0]


def test_nothing_that_is_built_or_pushed_is_called_latest(tmp_path: Path) -> None:
    """A name that means another image every week cannot be gone back to."""
    source = Path(version_of.__code__.co_filename).parents[1]
    for path in source.rglob("*.py"):
        assert ":latest" not in path.read_text(), path
    with pytest.raises(ValueError, match="image"):
        ReleaseConfig(image="mammography-inference:latest")
