"""What a worker of each queue need not have installed: the builder needs no TensorFlow."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ml_tasks.sequences import IMAGE_STAGES

_LOADED = "import sys, ml_tasks.{stage}; print(*sorted({{m.split('.')[0] for m in sys.modules}}))"


@pytest.mark.parametrize("stage", [*IMAGE_STAGES, "sequences", "batch_scoring"])
def test_the_image_stages_and_their_order_load_no_heavy_library(stage: str) -> None:
    """The builder's image would otherwise grow by gigabytes; MLflow takes 4 s to import."""
    done = subprocess.run(
        [sys.executable, "-c", _LOADED.format(stage=stage)],
        capture_output=True,
        text=True,
        check=True,
    )
    heavy = {"tensorflow", "keras", "tf2onnx", "great_expectations", "airflow", "sklearn", "mlflow"}
    assert heavy & set(done.stdout.split()) == set()


@pytest.mark.parametrize("stage", ["preprocessing", "gate", *IMAGE_STAGES])
def test_a_stage_that_computes_no_statistics_starts_without_their_libraries(stage: str) -> None:
    """Each task is a new process: what it imports is paid by every run."""
    done = subprocess.run(
        [sys.executable, "-c", _LOADED.format(stage=stage)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert {"scipy", "sklearn", "pandas", "matplotlib"} & set(done.stdout.split()) == set()
