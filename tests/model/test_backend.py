"""Keras without noise, in a process of its own, and without a network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import logging, sys
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
from ml_tasks.model.device import preflight, read_devices
from ml_tasks.config import ModelConfig
from ml_tasks.errors import TrainingError
from ml_tasks.model.network import build_network

print(preflight(read_devices()))
try:
    build_network(ModelConfig(weights="imagenet"))
except TrainingError as error:
    print("refused:", error)
"""


def test_a_failed_download_names_the_remedies_and_nothing_makes_noise(tmp_path: Path) -> None:
    """TensorFlow's start-up lines and Keras' progress bar would bury the task's log."""
    environment = {
        name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")
    } | {"KERAS_HOME": str(tmp_path), "https_proxy": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    assert done.stderr == ""
    device, loading, refused = done.stdout.splitlines()
    assert device.startswith(("No GPU: ", "GPU"))
    assert loading == "loading the ImageNet weights (29 MB, downloaded once by Keras)"
    assert refused.startswith("refused: model.weights: the ImageNet weights could not be downlo")
    assert "path of a DenseNet-121 weights file without top" in refused
    assert "`none` to train from scratch" in refused
    assert "\b" not in done.stdout and "\r" not in done.stdout
