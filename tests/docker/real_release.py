"""Toy releases on a real serving base: building, pushing and serving are real, and take seconds."""

from __future__ import annotations

from docker import DockerClient

from ml_tasks.build_image import keep_image
from ml_tasks.records import Decision
from ml_tasks.release.bundle import seal
from ml_tasks.release.image import build_release_image
from ml_tasks.release.sbom import keep_sbom
from ml_tasks.storage import write_json
from tests.toy_run import ToyRun, toy_parts


def build_on(toy: ToyRun, day: int, engine: DockerClient, base: str) -> None:
    """As build_image does, on a base of the test's choice and dated by the day."""
    run = toy.run
    hashes = {f"{name}_sha256": name[:2] * 32 for name in ("manifest", "config", "code")}
    started = f"2026-01-{day:02}T03:04:05+00:00"
    parents = {"records_sha256": run.mark(Decision)}
    lineage = {"run_id": run.run_id, "run_started_at": started, "parents": parents, **hashes}
    write_json(run.root / "lineage.json", lineage)
    bundle = seal(toy.config.paths.releases, toy_parts(run))
    built = build_release_image(engine, bundle, toy.config.release.image, base)
    keep_sbom(engine, bundle, built.id)
    keep_image(run, bundle, built, base)
