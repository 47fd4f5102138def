"""What MLflow's registry is told of a release: its hashes as tags, its bundle as files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ml_tasks.config import Config
from ml_tasks.errors import TrackingError
from ml_tasks.records import Decision, ImageRecord, ReleaseRecord
from ml_tasks.release.bundle import bundle_of, read_json, verify
from ml_tasks.run_paths import RunPaths

_LINEAGE = ("manifest_sha256", "index_sha256", "config_sha256", "code_sha256", "run_started_at")


@dataclass(frozen=True)
class ReleaseContent:
    """One release that was pushed, as a version of a registered model."""

    model: str
    version: str
    tags: dict[str, str]
    description: str
    bundle: Path


def model_name(config: Config) -> str:
    """The image's name; MLflow allows no slash in it."""
    return config.release.image.replace("/", ".")


def release_of(run: RunPaths, config: Config) -> ReleaseContent | None:
    """The release that this run has pushed, with its sealed bundle; None before it has.

    Raises:
        TrackingError: the bundle is not where releases are.
        ReleaseError: the bundle was altered.
    """
    if not (run.has(ReleaseRecord) and run.has(ImageRecord)):
        return None
    pushed, image = run.load(ReleaseRecord), run.load(ImageRecord)
    if pushed.version != image.version:  # built anew since, and not yet pushed
        return None
    bundle = bundle_of(config.paths.releases, pushed.version)
    if not bundle.is_dir():
        raise TrackingError(
            f"the release {pushed.version} is not in {config.paths.releases}; put its folder back, "
            f"then run `mammo track --run '{run.run_id}'`"
        )
    verify(bundle)
    lineage = read_json(bundle, "lineage.json")
    return ReleaseContent(
        model=model_name(config),
        version=pushed.version,
        tags={
            "version": pushed.version,
            "run_id": run.run_id,
            "image": pushed.reference,
            "image_digest": pushed.digest,
            "image_id": pushed.image_id,
            "sums_sha256": image.sums_sha256,
            **{name: str(lineage[name]) for name in _LINEAGE if name in lineage},
        },
        description=run.load(Decision).summary() if run.has(Decision) else "",
        bundle=bundle,
    )
