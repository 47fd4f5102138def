"""What a retraining's release costs: build and push, with the base and its layers already there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import h5py
import numpy as np
import onnx
from docker import DockerClient
from onnx import numpy_helper

from benchmarks import image_size
from benchmarks.served_release import ServedRelease
from benchmarks.table import PROJECT, Row, not_measured
from benchmarks.timing import median_of
from ml_tasks.build_image import build_image
from ml_tasks.errors import MammoError
from ml_tasks.local_stack.registry import registry_program
from ml_tasks.push_model import push_model
from ml_tasks.records import ImageRecord, ReleaseRecord
from ml_tasks.release.champion import Champion
from ml_tasks.release.engine import connect
from ml_tasks.release.serving_base import ensure_serving_base
from ml_tasks.smoke_test import smoke_test
from tests.builders import NO_CHAMPION
from tests.docker.registry_process import RegistryProcess
from tests.toy_run import ToyRun, make_toy_run

SECONDS_GOAL = 3.0
_WHAT = "A retraining's release, base present: build and push to a local registry, in seconds"


@dataclass(frozen=True)
class _Shipped:
    build_seconds: float
    push_seconds: float
    image: ImageRecord
    release: ReleaseRecord


@dataclass(frozen=True)
class _Place:
    """Where releases are made, and where they go."""

    client: DockerClient
    registry: RegistryProcess
    folder: Path
    image: str


def rows(release: ServedRelease, folder: Path, times: int) -> list[Row]:
    """The first release brings the base's layers to the registry; `times` more are measured."""
    try:
        with _place(folder) as place:
            champion, shipped = NO_CHAMPION, list[_Shipped]()
            for number in range(times + 1):
                toy = _retrained(place, release.models, number, champion)
                shipped.append(_ship(place, toy))
                champion = _in_production(shipped[-1].release, place)
            return [*_rows(shipped[1:]), *image_size.rows(*_sizes(place, shipped[-1]))]
    except MammoError as error:
        return [not_measured(_WHAT, str(error))]


def _rows(shipped: list[_Shipped]) -> list[Row]:
    seconds = np.asarray([each.build_seconds + each.push_seconds for each in shipped])
    builds = [each.build_seconds for each in shipped]
    pushed = [each.release.bytes_pushed for each in shipped]
    layer = [sum(f.stat().st_size for f in Path(each.image.bundle).iterdir()) for each in shipped]
    figure = median_of(seconds)
    above = float(np.median(np.asarray(pushed) / np.asarray(layer)))
    return [
        Row(
            _WHAT,
            f"build {np.median(builds):.2f} s, push {np.median(seconds - builds):.2f} s",
            "",
            figure,
            f"at most {SECONDS_GOAL:g} s",
            figure.median <= SECONDS_GOAL,
        ),
        Row(
            "Bytes uploaded for it / bytes of the release's files (the base is uploaded once)",
            f"{np.median(pushed) / 1e6:.1f} MB",
            f"{np.median(layer) / 1e6:.1f} MB",
            above,
            "at most 1.05",
            above <= 1.05,
        ),
    ]


@contextmanager
def _place(folder: Path) -> Iterator[_Place]:
    """An engine with the base, a registry, and names of this run's own; images go afterwards."""
    client = connect()
    registry = RegistryProcess(registry_program(PROJECT / ".local"), folder / "registry")
    place = _Place(client, registry, folder, f"mammography-benchmark-{uuid4().hex[:8]}")
    registry.start()
    try:
        ensure_serving_base(client, PROJECT / ".local" / "wheels")
        yield place
    finally:
        registry.stop()
        for tag in [tag for image in client.images.list() for tag in image.tags]:
            if place.image in tag:
                client.images.remove(tag)
        client.close()


def _retrained(place: _Place, models: Path, number: int, champion: Champion) -> ToyRun:
    """A run whose every weight differs from the last one's, as after a training."""
    made = place.folder / f"models {number}"
    made.mkdir()
    random = np.random.default_rng(number)
    _other_onnx(models / "model.onnx", made / "model.onnx", random)
    _other_weights(models / "model.h5", made / "model.h5", random)
    return make_toy_run(
        place.folder / "runs",
        run_id=f"benchmark-{number}",
        registry=place.registry.address,
        image=place.image,
        champion=champion,
        models=made,
    )


def _ship(place: _Place, toy: ToyRun) -> _Shipped:
    start = time.perf_counter()
    image = build_image(toy.run, toy.config, place.client)
    built = time.perf_counter() - start
    smoke_test(toy.run, toy.config, place.client)
    start = time.perf_counter()
    release = push_model(toy.run, toy.config, place.client)
    return _Shipped(built, time.perf_counter() - start, image, release)


def _in_production(release: ReleaseRecord, place: _Place) -> Champion:
    return Champion(
        version=release.version,
        digest=release.digest,
        registry=place.registry.address,
        proof="pushed by this benchmark",
    )


def _sizes(place: _Place, shipped: _Shipped) -> tuple[float, float]:
    """MB of the image, unpacked by the engine's account and compressed by the registry's."""
    unpacked = place.client.images.get(shipped.image.image_id).attrs["Size"]
    return unpacked / 1e6, place.registry.image_bytes(place.image, shipped.release.digest) / 1e6


def _other_onnx(path: Path, to: Path, random: np.random.Generator) -> None:
    model = onnx.load(str(path))
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.ndim > 1:
            tensor.CopyFrom(numpy_helper.from_array(_noisy(values, random), tensor.name))
    onnx.save(model, str(to))


def _other_weights(path: Path, to: Path, random: np.random.Generator) -> None:
    to.write_bytes(path.read_bytes())

    def change(_: str, found: object) -> None:
        if isinstance(found, h5py.Dataset) and found.dtype == np.float32:
            found[...] = _noisy(found[...], random)

    with h5py.File(to, "r+") as file:
        file.visititems(change)


def _noisy(values: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return (values * random.normal(1, 1e-3, values.shape)).astype(np.float32)
