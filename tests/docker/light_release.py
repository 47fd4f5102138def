"""Runs whose image is a small one: pushing and moving are real, what is in it is not the point."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

from docker import DockerClient

from ml_tasks.push_model import push_model
from ml_tasks.records import Decision, ImageRecord, ReleaseRecord, SmokeRecord
from ml_tasks.release.bundle import seal, sums_sha256, version_of
from ml_tasks.release.champion import Champion
from ml_tasks.storage import write_json
from tests.builders import NO_CHAMPION
from tests.toy_run import ToyRun, make_toy_run


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
    bundle = _sealed(toy, day)
    version = version_of(bundle)
    image_id = _built(engine, f"{image}:{version}", sums_sha256(bundle), os.urandom(size))
    with toy.run.writing(ImageRecord.stage) as work:
        record = ImageRecord(
            run_id=toy.run.run_id,
            inputs=toy.run.mark(Decision),
            version=version,
            bundle=str(bundle),
            sums_sha256=sums_sha256(bundle),
            image=f"{image}:{version}",
            image_id=image_id,
            serving_base="none",
            size_bytes=size,
        )
        toy.run.seal(work, record)
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


def _sealed(toy: ToyRun, day: int) -> Path:
    run = toy.run
    write_json(
        run.root / "lineage.json",
        {
            "run_id": run.run_id,
            "run_started_at": f"2026-01-{day:02}T03:04:05+00:00",
            "manifest_sha256": "ab" * 32,
            "config_sha256": "cd" * 32,
        },
    )
    return seal(
        toy.config.paths.releases,
        {
            "model.h5": run.stage("train") / "model.h5",
            "classes.json": run.stage("train") / "classes.json",
            "model.onnx": run.stage("evaluate") / "model.onnx",
            "metrics.json": run.stage("evaluate") / "metrics.json",
            "image_spec.json": run.stage("preprocess") / "image_spec.json",
            "decision.json": run.stage("gate") / "decision.json",
            "lineage.json": run.root / "lineage.json",
            "model_card.md": b"research use\n",
        },
    )


def _built(engine: DockerClient, tag: str, sums: str, content: bytes) -> str:
    context = io.BytesIO()
    label = f"LABEL mammography.sums-sha256={sums}"
    with tarfile.open(fileobj=context, mode="w") as archive:
        for name, data in {
            "Dockerfile": f"FROM scratch\n{label}\nCOPY content /content\n".encode(),
            "content": content,
        }.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    context.seek(0)
    built, _ = engine.images.build(fileobj=context, custom_context=True, tag=tag, rm=True)
    return str(built.id)


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
