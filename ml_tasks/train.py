"""Stage train: DenseNet-121 learns the training split; the best epoch on validation is kept."""

from __future__ import annotations

import logging
import shutil
import time

import numpy as np

from ml_tasks.config import Config
from ml_tasks.dataset.manifest import IndexRow, read_rows
from ml_tasks.dataset.pictures import array_file, open_pictures
from ml_tasks.model.backend import keras
from ml_tasks.model.device import preflight, read_devices
from ml_tasks.model.export import save_network
from ml_tasks.model.fit import Pictures, epoch_order, fit
from ml_tasks.model.network import build_network
from ml_tasks.records import PreprocessRecord, Split, TrainRecord, ValidationRecord
from ml_tasks.run_paths import RunPaths
from ml_tasks.storage import sha256_file, write_json

log = logging.getLogger(__name__)


def train(run: RunPaths, config: Config) -> TrainRecord:
    """Writes model.h5, classes.json and history.json; TensorBoard logs go to run.logs as it runs.

    Raises:
        StorageError: no space left; the model of an earlier attempt still stands.
        TrainingError: the weights cannot be had, or the loss became no number.
        StageOrderError: preprocess is not complete, or its index or pictures were altered.
    """
    cleaned = run.load(PreprocessRecord)
    if run.has(ValidationRecord):  # a set cleaned by hand was validated in a run of its own
        run.check_built_on(cleaned, ValidationRecord)
    keras.utils.set_random_seed(config.training.seed)
    devices = read_devices()
    log.info(preflight(devices))
    log.info("weights: %s", config.model.weights)
    train_set, validation = (_pictures(run, cleaned, split) for split in (Split.TRAIN, Split.VAL))
    log.info(
        "an epoch shows %d pictures; %d for validation", len(train_set.order), len(validation.order)
    )
    weights = _class_weights(cleaned)
    start = time.monotonic()
    network = build_network(config.model)
    with run.writing("train") as work:
        shutil.rmtree(run.logs, ignore_errors=True)  # of an earlier attempt of this very run
        best, history = fit(network, train_set, validation, config, run.logs, weights)
        save_network(network, work / "model.h5")
        write_json(work / "classes.json", _classes(cleaned, config))
        write_json(work / "history.json", history)
        record = TrainRecord(
            run_id=run.run_id,
            inputs=run.mark(PreprocessRecord),
            model_sha256=sha256_file(work / "model.h5"),
            weights=config.model.weights,
            device=devices.summary(),
            epochs=len(history),
            best_epoch=int(best.best["epoch"]),
            val_loss=best.best["val_loss"],
            val_auc=best.best["val_auc"],
            seconds=round(time.monotonic() - start, 1),
        )
        run.seal(work, record)
    log.info(record.summary())
    return record


def _pictures(run: RunPaths, cleaned: PreprocessRecord, split: Split) -> Pictures:
    index = run.unaltered(cleaned, "index.csv", cleaned.index_sha256)
    rows = [row for row in read_rows(index, IndexRow) if row.split is split]
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
