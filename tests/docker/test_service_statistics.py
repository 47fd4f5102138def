"""The service in its container writes down what drift is told by, and the comparison reads it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from ml_tasks.local_stack.engine import Engine
from ml_tasks.local_stack.service import start_service, stop_service
from ml_tasks.monitoring.reference import read_reference
from ml_tasks.monitoring.service_log import Window, read_statistics
from ml_tasks.records import ImageRecord
from tests.free_ports import free_ports
from tests.toy_run import phantom
from tests.waiting import PATIENCE

pytestmark = pytest.mark.docker


def test_what_the_service_judges_is_found_by_the_comparison(
    built: ImageRecord,
    engine_place: Engine,
    stack_state: Path,
    tmp_path: Path,
) -> None:
    """Its user is another one than who reads, its root is read-only, and it has no capability."""
    folder, said = tmp_path / "figures" / "statistics", list[str]()
    place = stack_state / "statistics-test"
    address = start_service(
        place, engine_place, built.image, free_ports(1)[0], said.append, statistics=folder
    )
    try:
        for brightness in (70, 110, 150):
            url, files = f"{address}/inference/predict", {"file": ("film.png", phantom(brightness))}
            assert httpx.post(url, files=files, timeout=PATIENCE).status_code == 200
        now = datetime.now(UTC) + timedelta(minutes=5)
        window = Window(built.version, now - timedelta(days=1), now)
        deadline = time.monotonic() + PATIENCE
        # An answer is on its way before its line is written.
        while (seen := read_statistics(folder, window)).images < 3:
            assert time.monotonic() < deadline, seen.line_counts()
            time.sleep(0.1)
    finally:
        stop_service(place, engine_place)
    assert [path.name for path in folder.iterdir()] == ["images.jsonl"]
    assert (seen.images, seen.formats["PNG"]) == (3, 3)
    assert seen.line_counts().foreign == seen.line_counts().unusable == 0
    # The release keeps figures of the same kind: here those of the very same pictures' kin.
    own = read_reference(Path(built.bundle).parent.parent, built.version)
    assert own is not None and len(own) == 20
    assert {len(row.figures()) for row in own} == {len(figures) for figures in seen.figures}
