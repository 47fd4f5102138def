"""What int8 does to a trained model's answers: `python -m benchmarks.int8` (about eight minutes).

A real run of `mammo run` with release.precision int8, on synthetic films whose lesions are fainter
than the sample's, so that the model makes mistakes and its AUC has room to move. The figures are
those that evaluate decides by, from the run's own metrics.json.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from benchmarks.table import PROJECT, Row
from ml_tasks.dataset.phantoms import write_sample
from ml_tasks.evaluation.metrics_file import Metrics
from ml_tasks.evaluation.shipped_precision import (
    LEAST_AGREEMENT,
    MOST_AUC_CHANGE,
    ShippedPrecision,
)

_CONTRAST = 0.65  # of the sample's lesions
_RUN = "int8"


def main(arguments: list[str] | None = None) -> int:
    """Gives 1 if int8 would not ship."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.int8", description=__doc__)
    parser.add_argument("--patients", type=int, default=600, help="half of them are tested on")
    parser.add_argument("--epochs", type=int, default=4)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="mammo-benchmarks-") as folder:
        found = rows(decided(Path(folder), chosen.patients, chosen.epochs))
    print("| what | ours | other | figure | goal | reached |\n|---|---|---|---|---|---|")
    print(*found, sep="\n")
    return int(any(row.met is False for row in found))


def rows(found: ShippedPrecision) -> list[Row]:
    """The two figures that decide."""
    change = abs(found.auc_change) if found.auc_change is not None else float("nan")
    return [
        Row(
            f"Test images of {found.images} that keep their label in int8, in per cent",
            found.shipped,
            "float32",
            100 * found.agreement,
            f"at least {100 * LEAST_AGREEMENT:g}",
            found.agreement >= LEAST_AGREEMENT,
        ),
        Row(
            "Change of the AUC by int8, in thousandths",
            _shown(found.int8_auc),
            _shown(found.float32_auc),
            1000 * change,
            f"at most {1000 * MOST_AUC_CHANGE:g}",
            change <= MOST_AUC_CHANGE,
        ),
    ]


def _shown(auc: float | None) -> str:
    return "not computable" if auc is None else f"{auc:.4f}"


def decided(folder: Path, patients: int, epochs: int) -> ShippedPrecision:
    """What evaluate decided in a run from raw films on; its log goes to stderr.

    Raises:
        RuntimeError: the run did not get as far as that.
    """
    write_sample(folder / "raw", patients, contrast=_CONTRAST)
    config = folder / "config.yaml"
    settings = {
        "split": {"validation": 0.15, "test": 0.5},
        "model": {"weights": "none"},
        "training": {"epochs": epochs},
        "gate": {"min_accuracy": 1.0},  # it ends here: nothing of this is to be shipped
        "release": {"push": False, "precision": "int8"},
        "tracking": {"enabled": False},
        "paths": {"raw": "raw"},
    }
    config.write_text(yaml.safe_dump(settings))
    words = [sys.executable, "-m", "ml_tasks.cli", "run", "--config", str(config), "--run", _RUN]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(words, cwd=folder, env=environment, stdout=sys.stderr, check=False)
    metrics = folder / "runs" / _RUN / "evaluate" / "metrics.json"
    precision = (
        Metrics.model_validate_json(metrics.read_bytes()).precision if metrics.exists() else None
    )
    if precision is None:
        raise RuntimeError(f"the run ended with {done.returncode} before evaluate had decided")
    return precision


if __name__ == "__main__":
    sys.exit(main())
