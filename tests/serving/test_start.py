"""What the service imports before it is ready: each heavy library would delay every start."""

from __future__ import annotations

import subprocess
import sys

LATER = {"pydicom", "ml_tasks.serving.openapi", "ml_tasks.serving.documentation"}
NEVER = {"fastapi", "keras", "tensorflow", "pandas", "scipy", "matplotlib", "docker", "requests"}


def test_what_only_some_requests_need_is_imported_later() -> None:
    code = (
        "import sys, uvicorn, ml_tasks.serving.__main__, ml_tasks.serving.app, "
        "ml_tasks.serving.connection, ml_tasks.inference.predictor; print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "ml_tasks.imaging.decode" in done.stdout.split()
    assert not (LATER | NEVER) & set(done.stdout.split())
