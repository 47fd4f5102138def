"""Training: our input against arrays in memory, and a GPU against Keras's defaults.

`python -m benchmarks.training` measures on the CPU in about ten minutes, `--xla` whether
compiling pays, `--gpu` a GPU (KERAS_BACKEND=jax or torch where TensorFlow does not know it).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.table import FULL, Effort, Row
from benchmarks.timing import Seconds, in_turn, ratio
from ml_tasks.config import ModelConfig
from ml_tasks.config_training import AugmentationConfig, TrainingConfig
from ml_tasks.dataset.pictures import open_pictures
from ml_tasks.model.backend import keras
from ml_tasks.model.device import preflight, read_devices
from ml_tasks.model.fit import FitStep, compiled
from ml_tasks.model.memory import out_of_memory
from ml_tasks.model.network import build_network
from ml_tasks.model.precision import Arithmetic, computing_in, precision_policy
from ml_tasks.model.training_network import Batches, training_network

WAIT_GOAL, GPU_GOAL = 0.03, 3.0
_BATCH, _STEPS, _ROUNDS = 32, 3, 5
_GPU_BATCHES = (256, 512, 1024, 2048, 4096)
_GPU_IMAGES, _GPU_ROUNDS = 16_384, 3
_STEP = FitStep(None, 1, 1e-4)


class Timed(Batches):
    """Batches that count the seconds that making them takes."""

    seconds = 0.0

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        start = time.perf_counter()
        batch = super().__getitem__(index)
        self.seconds += time.perf_counter() - start
        return batch


def main(arguments: list[str] | None = None) -> int:
    """Gives 1 if a goal was missed and 2 if there is no GPU to measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("--gpu", action="store_true", help="batches of 256 to 4096 on a GPU")
    parser.add_argument("--xla", action="store_true", help="the step compiled and not")
    chosen = parser.parse_args(arguments)
    devices = read_devices()
    print(f"{preflight(devices)}; {keras.config.backend()} backend, keras {keras.__version__}\n")
    if chosen.gpu and not devices.usable:
        return 2
    with tempfile.TemporaryDirectory(prefix="mammo-benchmarks-") as folder:
        if chosen.gpu:
            policy = precision_policy(TrainingConfig(), devices)
            found = gpu_rows(Path(folder), Arithmetic(policy, compiled=_compiles()))
        else:
            found = xla_rows(Path(folder)) if chosen.xla else rows(Path(folder), FULL)
    print("| what | ours | other | figure | goal | reached |\n|---|---|---|---|---|---|")
    print(*found, sep="\n")
    return int(any(row.met is False for row in found))


def rows(folder: Path, effort: Effort) -> list[Row]:
    """Bytes mapped from the disk, as training reads them, against floats in memory; one network."""
    pixels, labels = _pictures(folder, _BATCH * _STEPS)
    floats = pixels[..., np.newaxis].astype(np.float32)
    trainer, rounds = _trainer(Arithmetic()), max(2, effort.rounds // 2)
    batches = Timed(pixels, labels, np.arange(len(labels)), _BATCH, seed=1)
    seconds = in_turn(
        {
            "ours": lambda: trainer.fit(batches, shuffle=False, verbose=0),
            "plain": lambda: trainer.fit(floats, labels, batch_size=_BATCH, verbose=0),
        },
        rounds,
    )
    found = ratio(seconds["plain"], seconds["ours"])
    made = batches.seconds / (rounds + 1)
    share = made / float(np.median(seconds["ours"]))
    return [
        Row(
            "CPU, images a second: fit on mapped bytes / on float32 arrays in memory",
            _rate(seconds["ours"], len(labels)),
            _rate(seconds["plain"], len(labels)),
            found,
            "at least 1 within the interval",
            found.high >= 1,
        ),
        Row(
            "Making batches, as a share of the step; they are made ahead, so this is the most that "
            "training can wait",
            f"{1000 * made / _STEPS:.2f} ms",
            f"{float(np.median(seconds['ours'])) / _STEPS:.2f} s",
            share,
            f"under {WAIT_GOAL:g}",
            share < WAIT_GOAL,
        ),
    ]


def xla_rows(folder: Path) -> list[Row]:
    """One step compiled by XLA and not, after the first one, and what the first one takes."""
    pixels, labels = _pictures(folder, _BATCH)
    images, first, steps = pixels[..., np.newaxis], {}, {}
    for name, how in (("plain", Arithmetic()), ("xla", Arithmetic(compiled=True))):
        step = _step(_trainer(how), images, labels)
        start = time.perf_counter()
        step()
        first[name], steps[name] = time.perf_counter() - start, step
    seconds = in_turn(steps, _ROUNDS)
    found = ratio(seconds["plain"], seconds["xla"])
    return [
        Row("First step, with tracing", f"{first['xla']:.0f} s", f"{first['plain']:.0f} s",
            first["plain"] / first["xla"]),
        Row("Later steps: compiled by XLA / not", f"{np.median(seconds['xla']):.2f} s",
            f"{np.median(seconds['plain']):.2f} s", found),
    ]  # fmt: skip


def gpu_rows(folder: Path, ours: Arithmetic) -> list[Row]:
    """Batches of 256 to 4096 in our arithmetic against Keras's defaults: float32, batches of 32."""
    pixels, labels = _pictures(folder, _GPU_IMAGES)
    few = slice(0, _GPU_IMAGES // 8)  # the slow one sees fewer pictures; rates are compared
    floats = pixels[few, ..., np.newaxis].astype(np.float32)
    default = _trainer(Arithmetic(compiled=_compiles()))

    def plain() -> object:
        return default.fit(floats, labels[few], batch_size=32, verbose=0)

    rows = []
    for size in _GPU_BATCHES:
        what = f"GPU, images a second: batch {size}, {ours.policy} / Keras's defaults"
        seconds = _within_memory(_fit(_trainer(ours), pixels, labels, size), plain)
        if seconds is None:
            rows.append(Row(what, "out of memory", "", 0.0))
            continue
        found = ratio(seconds["plain"] * 8, seconds["ours"])
        rates = _rate(seconds["ours"], len(labels)), _rate(seconds["plain"], len(floats))
        rows.append(Row(what, *rates, found, f"at least {GPU_GOAL:g}", found.median >= GPU_GOAL))
    return rows


def _fit(
    trainer: keras.Model, pixels: NDArray[np.uint8], labels: NDArray[np.float32], size: int
) -> Callable[[], object]:
    batches = Batches(pixels, labels, np.arange(len(labels)), size, seed=1)
    return lambda: trainer.fit(batches, shuffle=False, verbose=0)


def _within_memory(
    ours: Callable[[], object], plain: Callable[[], object]
) -> dict[str, Seconds] | None:
    try:
        return in_turn({"ours": ours, "plain": plain}, _GPU_ROUNDS)
    except Exception as error:
        if not out_of_memory(error):
            raise
        return None


def _pictures(folder: Path, count: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Pictures (count,128,128) uint8 mapped from the disk, and labels (count,)."""
    path = folder / "train.npy"
    random = np.random.default_rng(1)
    np.save(path, random.integers(0, 256, (count, 128, 128), np.uint8), allow_pickle=False)
    return open_pictures(path, count), (np.arange(count) % 2).astype(np.float32)


def _trainer(how: Arithmetic) -> keras.Model:
    """The real network as training compiles it, all of it learning."""
    with computing_in(how.policy):
        network = build_network(ModelConfig(weights="none"))
        trainer = training_network(network, AugmentationConfig(), seed=1)
    return compiled(network, trainer, _STEP, how)


def _step(
    trainer: keras.Model, images: NDArray[np.uint8], labels: NDArray[np.float32]
) -> Callable[[], object]:
    return lambda: trainer.train_on_batch(images, labels[:, np.newaxis])


def _compiles() -> bool:
    """Keras's own default: everything but PyTorch."""
    return str(keras.config.backend()) != "torch"


def _rate(seconds: Seconds, images: int) -> str:
    return f"{images / float(np.median(seconds)):.1f}"


if __name__ == "__main__":
    sys.exit(main())
