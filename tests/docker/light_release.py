"""Runs whose image has a tiny base: building, pushing and moving are real, serving is not."""

from __future__ import annotations

import io
import os
from pathlib import Path

from docker import DockerClient

from ml_tasks.build_image import keep_image
from ml_tasks.push_model import push_model
from ml_tasks.records import Decision, ImageRecord, ReleaseRecord, SmokeRecord
from ml_tasks.release.base_labels import base_labels
from ml_tasks.release.bundle import add_record, seal
from ml_tasks.release.champion import Champion
from ml_tasks.release.context import write_context
from ml_tasks.release.image import build_release_image
from ml_tasks.release.installed import Installed
from ml_tasks.release.sbom import NAME as SBOM
from ml_tasks.release.sbom import sbom
from ml_tasks.release.serving_base import checkout_file, serving_sources
from ml_tasks.storage import write_json
from tests.builders import NO_CHAMPION
from tests.toy_run import ToyRun, make_toy_run, toy_parts

BASE = "mammography-light-base:test"


def light_run(
    root: Path,
    engine: DockerClient,
    registry: str,
    image: str,
    day: int = 1,
    champion: Champion = NO_CHAMPION,
    size: int = 200_000,
) -> ToyRun:
    """A run of a day of January 2026, judged, built and said to be smoke-tested.

    Runs below the same `root` share their releases. `size` is the bytes of its own layer.
    """
    toy = make_toy_run(root, f"run-{day}", registry=registry, image=image, champion=champion)
    bundle = _sealed(toy, day, os.urandom(size))
    built = build_release_image(engine, bundle, image, _base(engine))
    _keep_bill(engine, bundle, built.id)
    keep_image(toy.run, bundle, built, BASE)
    said_to_be_tested(toy)
    return toy


def shipped(
    root: Path, engine: DockerClient, registry: str, image: str, days: int
) -> list[tuple[ToyRun, ReleaseRecord]]:
    """So many light releases, each pushed over the one before."""
    done: list[tuple[ToyRun, ReleaseRecord]] = []
    champion = NO_CHAMPION
    for day in range(1, days + 1):
        toy = light_run(root, engine, registry, image, day, champion)
        record = push_model(toy.run, toy.config, engine)
        done.append((toy, record))
        champion = in_production(record)
    return done


def in_production(record: ReleaseRecord) -> Champion:
    """What a run would note that began after this release."""
    return Champion(version=record.version, digest=record.digest, registry=None, proof="toy")


def _sealed(toy: ToyRun, day: int, model: bytes) -> Path:
    run = toy.run
    write_json(
        run.root / "lineage.json",
        {
            "run_id": run.run_id,
            "run_started_at": f"2026-01-{day:02}T03:04:05+00:00",
            "manifest_sha256": "ab" * 32,
            "config_sha256": "cd" * 32,
            "code_sha256": "ef" * 32,
            "parents": {"records_sha256": run.mark(Decision)},
        },
    )
    return seal(
        toy.config.paths.releases,
        {**toy_parts(run), "model.h5": model},
    )


def _base(engine: DockerClient) -> str:
    """A base that says it holds the installed code, and holds one small file."""
    context = io.BytesIO()
    write_context(context, {"Dockerfile": b"FROM scratch\nCOPY base /base\n", "base": b"base\n"})
    context.seek(0)
    engine.images.build(
        fileobj=context,
        custom_context=True,
        tag=BASE,
        labels=base_labels(serving_sources(), checkout_file("requirements/serving.txt")),
        rm=True,
    )
    return BASE


def _keep_bill(engine: DockerClient, bundle: Path, image_id: str) -> None:
    """The bill of materials that the image would give of itself, were there Python in it."""
    nothing = Installed(python="3.11", system={}, python_packages=(), debian_packages=())
    labels = engine.images.get(image_id).labels
    add_record(bundle, SBOM, sbom(bundle, image_id, labels, nothing, {}))


def said_to_be_tested(toy: ToyRun) -> None:
    """Leaves the record of a smoke test that took place elsewhere: it takes seconds."""
    image_id = toy.run.load(ImageRecord).image_id
    with toy.run.writing(SmokeRecord.stage) as work:
        record = SmokeRecord(
            run_id=toy.run.run_id,
            inputs=toy.run.mark(ImageRecord),
            image_id=image_id,
            ready_seconds=1.0,
            images=1,
            largest_difference=0.0,
            tolerance=1e-5,
            refusals={},
        )
        toy.run.seal(work, record)
