"""Finding the engine: none, or none wanted, is said with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_tasks.errors import EngineUnavailable
from ml_tasks.release.engine import connect


def test_a_machine_without_an_engine_is_told_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match=r"no Docker engine answers .* docker\.io"):
        connect(address=f"unix://{tmp_path}/none.sock")


def test_skipping_is_said_as_such() -> None:
    with pytest.raises(EngineUnavailable, match="SKIP_DOCKER is set"):
        connect(skip=True)
