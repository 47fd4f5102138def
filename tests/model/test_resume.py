"""A training that is interrupted: nothing unreadable, at most an epoch lost, the same weights."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ml_tasks.config import Config, ModelConfig, save_config
from ml_tasks.model import stopping
from ml_tasks.records import TrainRecord
from ml_tasks.run_paths import RunPaths
from tests.builders import prepared, quick_training, toy_config
from tests.counts import cases

PROJECT = Path(__file__).resolve().parents[2]
KILLS = cases(3, 28)  # for each of the two ways to train
EPOCHS = 2 * KILLS + 8  # more than the attempts can complete before the last one
STEPS = [
    {"blocks": [], "share": 1, "learning_rate": 0.02},
    {"blocks": ["conv5"], "share": 1, "learning_rate": 0.01},
]
AIRFLOW_WAITS = 5.0  # seconds from SIGTERM to SIGKILL
STOPPED_EPOCHS = 20  # must not be through before the signals have come
ENDLESS = 1000
ORDERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "from scratch": ({"epochs": EPOCHS}, {"kills": KILLS, "shift": 0}),
    "in steps": ({"epochs": EPOCHS, "unfreezing": STEPS}, {"kills": KILLS, "shift": 0.5}),
    "stopped": (
        {"epochs": STOPPED_EPOCHS},
        {"stop_at": ["training the whole", "epoch 2/"]},
    ),
}


@dataclass(frozen=True)
class Interrupted:
    """The settings of a training and what its attempts did, in their order."""

    config: Config
    attempts: list[dict[str, Any]]

    def run(self, name: str) -> RunPaths:
        return RunPaths(self.config.paths.runs, name)


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Interrupted]:
    """All trainings of this file, by one process: it takes seconds to import TensorFlow."""
    root = tmp_path_factory.mktemp("interrupted")
    cleaned = prepared(toy_config(root)).stage("preprocess")
    configs, orders = {}, {}
    for name, (training, order) in ORDERS.items():
        configs[name] = toy_config(
            root / name,
            training=quick_training(
                early_stopping_patience=ENDLESS, reduce_lr_patience=1, **training
            ),
            model=ModelConfig(
                weights="imagenet" if "unfreezing" in training else "none", dropout=0.2
            ),
        )
        file = root / name / "config.yaml"
        save_config(configs[name], file)
        orders[name] = {"config": str(file), "cleaned": str(cleaned), **order}
    (root / "orders.json").write_text(json.dumps(orders))
    words = [sys.executable, "-m", "tests.model.interrupted_training", str(root / "orders.json")]
    subprocess.run(words, cwd=PROJECT, check=True)
    found = json.loads((root / "attempts.json").read_text())
    return {name: Interrupted(configs[name], found[name]) for name in ORDERS}


def epochs_of(attempt: dict[str, Any]) -> list[int]:
    """The epochs that an attempt got through, by its log."""
    lines = (re.match(r"epoch (\d+)/", line) for line in attempt["lines"])
    return [int(found[1]) for found in lines if found]


def resumed_from(attempt: dict[str, Any]) -> int:
    """The epoch after which an attempt went on, 0 for a start from nothing."""
    found = [line for line in attempt["lines"] if line.startswith("resumed from epoch ")]
    return int(found[0].split()[-1]) if found else 0


@pytest.mark.parametrize("way", ["from scratch", "in steps"])
def test_a_training_killed_at_any_moment_ends_with_the_weights_of_an_unbroken_one(
    trainings: dict[str, Interrupted], way: str
) -> None:
    """SIGKILL before every line of the checkpoint's writer in turn, and at random moments."""
    whole, *broken = trainings[way].attempts
    assert [each["status"] for each in (whole, *broken)] == [0, *[-9] * KILLS, 0]
    done = 0
    for each in broken:
        assert not [line for line in each["lines"] if "damaged" in line or "anew" in line]
        assert done - 1 <= resumed_from(each) <= done, "more than an epoch was lost"
        done = max(epochs_of(each), default=resumed_from(each))
    assert done == EPOCHS
    runs = [trainings[way].run(name) for name in ("whole", "broken")]
    of_whole, of_broken = (run.load(TrainRecord) for run in runs)
    assert of_broken.model_sha256 == of_whole.model_sha256
    histories = [(run.stage("train") / "history.json").read_text() for run in runs]
    assert histories[0] == histories[1]
    rates = {row["learning_rate"] for row in json.loads(histories[0])}
    assert len(rates) > 2, "the learning rate must have been reduced for this to show something"
    assert of_broken.resumed_from[-1] == resumed_from(broken[-1])
    assert not runs[1].checkpoint.exists()


def test_sigterm_ends_training_before_airflow_kills_it_and_the_next_attempt_goes_on(
    trainings: dict[str, Interrupted],
) -> None:
    """While the functions are traced, and between two batches.

    Where the machine is too busy for that, it ends in the middle of a batch, and says so.
    """
    assert stopping.PATIENCE < AIRFLOW_WAITS
    tracing, training, last = trainings["stopped"].attempts
    statuses = [each["status"] for each in (tracing, training, last)]
    assert statuses == [143, 143, 0], "it did not end by itself"
    said = (
        tracing["lines"][-1]
        .removeprefix("TrainingStopped: ")
        .removesuffix(" (in the middle of a batch, which takes long)")
    )
    assert said == (
        "SIGTERM asked this process to end; no epoch was complete. "
        "Run train again: it goes on after its last complete epoch"
    )
    done = resumed_from(last)
    assert max(epochs_of(training)) - 1 <= done <= max(epochs_of(training))
    assert f"; the checkpoint of epoch {done} is kept. " in training["lines"][-1]
    assert trainings["stopped"].run("stopped").load(TrainRecord).epochs == STOPPED_EPOCHS
