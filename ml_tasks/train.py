"""Stage train: DenseNet-121 learns the training split; the best epoch on validation is kept."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

from ml_tasks.config import Config
from ml_tasks.dataset.manifest import IndexRow, read_rows
from ml_tasks.dataset.pictures import array_file, open_pictures
from ml_tasks.model.backend import keras
from ml_tasks.model.checkpoint import CheckpointStore
from ml_tasks.model.determinism import make_deterministic
from ml_tasks.model.device import holders, preflight, read_devices
from ml_tasks.model.export import save_network
from ml_tasks.model.fit import FitPlaces, Fitted, Pictures, epoch_order, fit
from ml_tasks.model.memory import within_memory
from ml_tasks.model.network import build_network
from ml_tasks.model.precision import Arithmetic, compiled, computing_in, precision_policy
from ml_tasks.model.stopping import StopRequest, stopping_at_sigterm
from ml_tasks.records import PreprocessRecord, Split, TrainRecord, ValidationRecord
from ml_tasks.run_paths import RunPaths
from ml_tasks.storage import sha256_file, write_json

log = logging.getLogger(__name__)


def train(run: RunPaths, config: Config) -> TrainRecord:
    """Writes model.h5, classes.json and history.json; TensorBoard logs go to run.logs as it runs.

    After each epoch a checkpoint is written; where one is left of the same settings, data and code,
    training goes on from it.

    Raises:
        StorageError: no space left; the model of an earlier attempt and the checkpoint still stand.
        TrainingError: the weights cannot be had, or the loss became no number.
        TrainingStopped: SIGTERM came; the next attempt goes on after the last complete epoch.
        RunBusy: another process trains this run.
        StageOrderError: preprocess is not complete, or its index or pictures were altered.
    """
    cleaned = run.load(PreprocessRecord)
    if run.has(ValidationRecord):  # a set cleaned by hand was validated in a run of its own
        run.check_built_on(cleaned, ValidationRecord)
    store = CheckpointStore(run.checkpoint, training_key(cleaned, config))
    with store.owned(), stopping_at_sigterm(store.kept) as stop:
        record = _trained(run, config, cleaned, store, stop)
        store.remove()
    log.info(record.summary())
    return record


def training_key(cleaned: PreprocessRecord, config: Config) -> dict[str, str]:
    """What a training hangs on, each with its hash: a checkpoint is good for the same ones only."""
    of_this_run = {"run_id", "inputs", "started_at", "raw", "manifest_sha256", "warnings"}
    of_this_run |= {"certificate", "quarantined"}
    code = sorted((Path(__file__).parent / "model").glob("*.py"))
    libraries = {name: version(name) for name in ("keras", "numpy")}
    return {
        "the section model": _hash(config.model.model_dump(mode="json")),
        "the section training": _hash(config.training.model_dump(mode="json")),
        "the cleaned data": _hash(cleaned.model_dump(mode="json", exclude=of_this_run)),
        "the code": _hash({path.name: sha256_file(path) for path in code}),
        "the libraries": _hash({**libraries, "backend": keras.config.backend()}),
    }


def _hash(content: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _trained(
    run: RunPaths,
    config: Config,
    cleaned: PreprocessRecord,
    store: CheckpointStore,
    stop: StopRequest,
) -> TrainRecord:
    deterministic = make_deterministic(config.training.deterministic)
    devices = read_devices()
    log.info(preflight(devices))
    log.info("weights: %s%s", config.model.weights, "; deterministic" if deterministic else "")
    index = read_rows(run.unaltered(cleaned, "index.csv", cleaned.index_sha256), IndexRow)
    train_set, validation = (
        _pictures(run, cleaned, index, split) for split in (Split.TRAIN, Split.VAL)
    )
    log.info(
        "an epoch shows %d pictures; %d for validation", len(train_set.order), len(validation.order)
    )
    weights = _class_weights(cleaned)
    places = FitPlaces(run.logs, store, stop)
    arithmetic = Arithmetic(
        precision_policy(config.training, devices),
        compiled(config.training, devices, deterministic),
    )

    def attempt(parts: int) -> tuple[keras.Model, Fitted]:
        keras.utils.set_random_seed(config.training.seed)
        with computing_in(arithmetic.policy):
            network = build_network(config.model)
        how = replace(arithmetic, parts=parts)
        return network, fit(network, train_set, validation, config, places, weights, how)

    network, fitted = within_memory(attempt, config.training.batch_size, _holders)
    with run.writing("train") as work:
        save_network(network, work / "model.h5")
        write_json(work / "classes.json", _classes(cleaned, config))
        write_json(work / "history.json", fitted.history)
        record = _record(run, config, devices.summary(), fitted, sha256_file(work / "model.h5"))
        run.seal(work, record)
    return record


def _holders() -> str:
    """Who holds the memory of the device that trains, as it is now."""
    gpu = read_devices().gpu
    return holders(gpu) if gpu else "see what else runs on this machine"


def _record(
    run: RunPaths, config: Config, device: str, fitted: Fitted, model_sha256: str
) -> TrainRecord:
    return TrainRecord(
        run_id=run.run_id,
        inputs=run.mark(PreprocessRecord),
        model_sha256=model_sha256,
        weights=config.model.weights,
        device=device,
        epochs=len(fitted.history),
        best_epoch=int(fitted.best["epoch"]),
        val_loss=fitted.best["val_loss"],
        val_auc=fitted.best["val_auc"],
        seconds=round(fitted.seconds, 1),
        resumed_from=fitted.resumed_from,
    )


def _pictures(
    run: RunPaths, cleaned: PreprocessRecord, index: Sequence[IndexRow], split: Split
) -> Pictures:
    rows = [row for row in index if row.split is split]
    labels = np.array([row.label == cleaned.positive for row in rows], np.float32)
    array = run.unaltered(cleaned, array_file(split), cleaned.arrays_sha256[split])
    return Pictures(
        pixels=open_pictures(array, len(rows)),
        labels=labels,
        order=epoch_order([row.copies for row in rows]),
    )


def _class_weights(cleaned: PreprocessRecord) -> dict[int, float] | None:
    """The weights that preprocess recorded, by the network's labels; None: all count alike."""
    if not cleaned.class_weights:
        return None
    log.info("class weights in training: %s", cleaned.class_weights)
    return {int(name == cleaned.positive): weight for name, weight in cleaned.class_weights.items()}


def _classes(cleaned: PreprocessRecord, config: Config) -> dict[str, object]:
    """What the network's output means; nobody has to infer it from the order of folders."""
    negative = next(name for name in cleaned.classes if name != cleaned.positive)
    return {
        "classes": [negative, cleaned.positive],
        "positive": cleaned.positive,
        "output": f"probability of {cleaned.positive}",
        "meaning": {name: config.data.class_meaning.get(name, "") for name in cleaned.classes},
    }


if __name__ == "__main__":
    import sys

    from ml_tasks.cli import train_main

    sys.exit(train_main())
