"""Nothing about the use of this software leaves the machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_the_runtime_reports_nothing_to_its_maker(tmp_path: Path) -> None:
    """ONNX Runtime's telemetry first writes an identifier below the home folder: none may come."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    code = "import ml_tasks.inference.scorer, onnxruntime; onnxruntime.get_available_providers()"
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        env={**kept, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")},
    )
    assert list(tmp_path.rglob("*")) == []
