"""Patients to splits by a stable hash, and the balancing of the training split."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

from ml_tasks.config import SplitConfig
from ml_tasks.dataset.manifest import IndexRow
from ml_tasks.errors import DataError
from ml_tasks.records import Split


def split_of(patient: str, config: SplitConfig) -> Split:
    """The split of a patient: a function of the patient, the key and the shares alone."""
    position = _position(f"{config.key}\0{patient}")
    if position < config.test:
        return Split.TEST
    if position < config.test + config.validation:
        return Split.VAL
    return Split.TRAIN


def check_splits(rows: Sequence[IndexRow], classes: Sequence[str]) -> None:
    """Every split must hold both classes.

    Raises:
        DataError: a class has too few patients to be in every split.
    """
    for split in Split:
        for label in classes:
            if not any(row.split is split and row.label == label for row in rows):
                patients = len({row.patient for row in rows if row.label == label})
                raise DataError(
                    f"class {label} has too few patients to split: its {patients} patient(s) leave "
                    f"none in the {split.value} split. Add patients of that class"
                )


def balanced(rows: Sequence[IndexRow], config: SplitConfig) -> list[IndexRow]:
    """The rows with `copies` set so that both classes weigh alike in training; others keep one.

    Oversampling repeats pictures of the smaller class as evenly as can be; undersampling leaves
    out pictures of the larger one. Which ones is decided by a stable hash. Class weights (see
    `class_weights`) and none leave every row as it is.
    """
    counts = Counter(row.label for row in rows if row.split is Split.TRAIN)
    if config.balance in ("none", "class_weights") or len(counts) < 2:
        return list(rows)
    wanted = max(counts.values()) if config.balance == "oversample" else min(counts.values())
    copies: dict[str, int] = {}
    for label, count in counts.items():
        members = [row for row in rows if row.split is Split.TRAIN and row.label == label]
        members.sort(key=lambda row: _position(f"{config.key}\0copy\0{row.raw_sha256}"))
        every, more = divmod(wanted, count)
        for place, row in enumerate(members):
            copies[row.file] = every + (place < more)
    return [row.model_copy(update={"copies": copies.get(row.file, row.copies)}) for row in rows]


def class_weights(rows: Sequence[IndexRow], config: SplitConfig) -> dict[str, float]:
    """The factor of each class in the training loss; empty unless `balance` is class_weights.

    n / (k * n_c) for n pictures an epoch, k classes and n_c pictures of class c: "balanced" of
    scikit-learn's compute_class_weight, after King and Zeng (2001). Both classes then weigh alike,
    and the mean weight of a picture is 1.
    """
    counts: Counter[str] = Counter()
    for row in rows:
        if row.split is Split.TRAIN:
            counts[row.label] += row.copies
    if config.balance != "class_weights" or len(counts) < 2:
        return {}
    return {
        label: counts.total() / (len(counts) * count) for label, count in sorted(counts.items())
    }


def _position(text: str) -> float:
    """A number in [0, 1) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64
