"""The same training code on JAX, in a process of its own: a backend is chosen once for each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("jax")

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import json, sys
from pathlib import Path
import numpy as np
from ml_tasks.config import Config, ModelConfig
from ml_tasks.model.backend import keras
from ml_tasks.model.batch_norm import RefreshBatchNorm
from ml_tasks.model.determinism import make_deterministic
from ml_tasks.model.device import preflight, read_devices
from ml_tasks.model.export import save_network
from ml_tasks.model.fit import Pictures, epoch_order, fit
from ml_tasks.model.network import set_trainable
from ml_tasks.model.precision import Arithmetic, compiled
from ml_tasks.model.weights_file import load_weights
from tests.builders import fit_places, quick_training, toy_network

folder = Path(sys.argv[1])
random = np.random.default_rng(7)
pixels = random.integers(60, 100, (16, 128, 128), np.uint8)
labels = np.arange(16, dtype=np.float32) % 2
pixels[labels == 1, 40:70, 40:70] = 230
shown = Pictures(pixels, labels, epoch_order([1] * 16))
config = Config(model=ModelConfig(weights="none", dropout=0.2), training=quick_training(epochs=4))
devices = read_devices()
deterministic = make_deterministic(config.training.deterministic)
keras.utils.set_random_seed(1)
network = toy_network(config.model)
arithmetic = Arithmetic(compiled=compiled(config.training, devices, deterministic))
fitted = fit(network, shown, shown, config, fit_places(folder), arithmetic=arithmetic)
save_network(network, folder / "model.h5")
images = np.repeat(pixels[..., None].astype(np.float32), 3, axis=-1)
norm = network.get_layer("conv5_bn")
print(json.dumps({
    "backend": keras.config.backend(),
    "device": preflight(devices),
    "history": fitted.history,
    "mean": np.asarray(norm.moving_mean).tolist(),
    "answers": np.asarray(network.predict(images, verbose=0))[:, 0].tolist(),
}))
"""


def test_the_real_fit_trains_on_jax_and_leaves_a_file_for_tensorflow(tmp_path: Path) -> None:
    """A GPU machine may have no TensorFlow that knows its GPU."""
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(ROOT)}
    environment["JAX_PLATFORMS"] = "cpu"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["backend"] == "jax"
    assert found["device"].startswith("No GPU: ")
    losses = [row["val_loss"] for row in found["history"]]
    assert min(losses) < losses[0]
    assert any(abs(mean) > 1e-3 for mean in found["mean"]), "batch norms were measured"
    assert list((tmp_path / "logs").rglob("events.out.tfevents.*"))

    import numpy as np

    from ml_tasks.config import ModelConfig
    from ml_tasks.model.weights_file import load_weights
    from tests.builders import toy_network

    network = toy_network(ModelConfig(weights="none"))
    load_weights(network, tmp_path / "model.h5", "")
    pixels = np.random.default_rng(7).integers(60, 100, (16, 128, 128), np.uint8)
    pixels[np.arange(16) % 2 == 1, 40:70, 40:70] = 230
    images = np.repeat(pixels[..., None].astype(np.float32), 3, axis=-1)
    answers = network.predict(images, verbose=0)[:, 0]
    assert np.allclose(answers, found["answers"], atol=1e-4)
