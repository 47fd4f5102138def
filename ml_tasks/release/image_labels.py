"""The labels of a release image: what it is and what it was made of, from its bundle alone."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from ml_tasks.errors import ReleaseError
from ml_tasks.evaluation.levels import Level
from ml_tasks.evaluation.metrics_file import Metrics
from ml_tasks.records import Split
from ml_tasks.release.bundle import read_json, run_started, sums_sha256, version_of

_OCI = "org.opencontainers.image"  # names that the OCI image specification defines
_OWN = "mammography"
VERSION = f"{_OCI}.version"
BASE_NAME = f"{_OCI}.base.name"
BASE_DIGEST = f"{_OCI}.base.digest"
REVISION = f"{_OCI}.revision"
SUMS = f"{_OWN}.sums-sha256"
_HASHES = ("manifest_sha256", "config_sha256", "code_sha256")
_FIGURES = ("auc", "sensitivity", "specificity")


def release_labels(bundle: Path, base_name: str, base_id: str) -> dict[str, str]:
    """Every label that a release image adds to those of its base.

    Raises:
        ReleaseError: lineage.json or metrics.json is missing, unreadable or incomplete.
    """
    lineage = read_json(bundle, "lineage.json")
    try:
        traced = {f"{_OWN}.{key.replace('_', '-')}": str(lineage[key]) for key in _HASHES}
        traced[f"{_OWN}.run-id"] = str(lineage["run_id"])
    except KeyError as error:
        raise ReleaseError(f"{bundle}/lineage.json has no {error}; build the release again") from (
            error
        )
    revision = lineage.get("source_revision")
    return {
        f"{_OCI}.title": "mammography inference",
        f"{_OCI}.description": "Research use; not a diagnosis.",
        VERSION: version_of(bundle),
        f"{_OCI}.created": created(bundle),
        **({REVISION: str(revision)} if revision else {}),
        BASE_NAME: base_name,
        BASE_DIGEST: base_id,
        SUMS: sums_sha256(bundle),
        **traced,
        **_figures(bundle),
    }


def created(bundle: Path) -> str:
    """The moment an image of this bundle is said to be made: the start of its run, RFC 3339."""
    return f"{run_started(bundle):%Y-%m-%dT%H:%M:%SZ}"


def _figures(bundle: Path) -> dict[str, str]:
    """How good the model was on the test patients, with 95 % intervals, and at which threshold."""
    try:
        metrics = Metrics.model_validate_json((bundle / "metrics.json").read_bytes())
        found = metrics.levels[Split.TEST][Level.PATIENT]
    except (ValidationError, KeyError, OSError) as error:
        raise ReleaseError(
            f"{bundle}/metrics.json has no figures of test patients ({type(error).__name__}: "
            f"{error}); run evaluate and what follows it again"
        ) from error
    figures = {
        f"{_OWN}.test-patients.{name}": str(found.figures[name])
        for name in _FIGURES
        if name in found.figures and found.figures[name].value is not None
    }
    return {
        f"{_OWN}.test-patients": str(found.patients),
        **figures,
        f"{_OWN}.threshold": f"{metrics.threshold:.6f}",
    }
