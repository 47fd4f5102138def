"""A release that is not whole is never served, and /ready says why."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import onnx
import pytest
from onnx import external_data_helper

from ml_tasks.serving.app import create_app
from ml_tasks.serving.loading import LoadingRelease
from ml_tasks.serving.settings import Settings
from ml_tasks.storage import write_bytes
from tests.toy_run import METRICS, SPEC, make_bundle, phantom, write_onnx


def rewrite(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


def altered(root: Path, name: str) -> Path:
    bundle = make_bundle(root)
    rewrite(bundle / name, (bundle / name).read_bytes() + b" ")
    return bundle


def without(root: Path, name: str) -> Path:
    bundle = make_bundle(root)
    (bundle / name).unlink()
    return bundle


def resealed(root: Path, name: str, data: bytes) -> Path:
    """A bundle with another file, whose hash is right: only what it says is wrong."""
    bundle = make_bundle(root)
    old = hashlib.sha256((bundle / name).read_bytes()).hexdigest()
    rewrite(bundle / name, data)
    sums = (bundle / "SHA256SUMS").read_text()
    rewrite(bundle / "SHA256SUMS", sums.replace(old, hashlib.sha256(data).hexdigest()).encode())
    return bundle


def external(root: Path) -> Path:
    """A sealed bundle whose model keeps its weights in a file outside of it."""
    outside = root / "outside"
    outside.mkdir()

    def write(path: Path) -> None:
        write_onnx(outside / "model.onnx")
        model = onnx.load(str(outside / "model.onnx"))
        weight = model.graph.initializer[3]
        weight.raw_data = onnx.numpy_helper.to_array(weight).tobytes()
        weight.ClearField("float_data")
        external_data_helper.set_external_data(weight, str(outside / "weights.bin"))
        write_bytes(outside / "weights.bin", weight.raw_data)
        weight.ClearField("raw_data")
        write_bytes(path, model.SerializeToString())

    return make_bundle(root, write_model=write)


def of_another_size(path: Path) -> None:
    write_onnx(path)
    model = onnx.load(str(path))
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 64
    write_bytes(path, model.SerializeToString())


BROKEN: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a wrong hash of the model": (
        lambda root: altered(root, "model.onnx"),
        "altered since it was sealed: model.onnx",
    ),
    "a wrong hash of the weights": (
        lambda root: altered(root, "model.h5"),
        "altered since it was sealed: model.h5",
    ),
    "an altered spec": (
        lambda root: altered(root, "image_spec.json"),
        "altered since it was sealed: image_spec.json",
    ),
    "no classes": (lambda root: without(root, "classes.json"), "missing: classes.json"),
    "no hashes": (lambda root: without(root, "SHA256SUMS"), "no readable SHA256SUMS"),
    "weights in another file": (external, "keeps the tensor 'slope' as external data"),
    "a model that is no model": (
        lambda root: resealed(root, "model.onnx", b"no model"),
        "cannot be loaded as an ONNX model",
    ),
    "a model of another size": (
        lambda root: make_bundle(root, write_model=of_another_size),
        "expected one float input (N,128,128,3)",
    ),
    "a spec of another size": (
        lambda root: make_bundle(root, spec=SPEC.model_copy(update={"side": 64})),
        "expected one float input (N,64,64,3)",
    ),
    "a spec with an unknown field": (
        lambda root: resealed(root, "image_spec.json", b'{"sides": 128}'),
        "image_spec.json is no image spec",
    ),
    "a reference that is none": (
        lambda root: make_bundle(root, metrics={**METRICS, "reference": {"limit": 3}}),
        "reference is not what evaluate writes",
    ),
    "a lineage that is no JSON": (
        lambda root: resealed(root, "lineage.json", b"{"),
        "lineage.json is no valid JSON",
    ),
    "nothing at all": (lambda root: root / "nowhere", "no readable SHA256SUMS"),
}


async def asked(release: LoadingRelease) -> dict[str, httpx.Response]:
    """What a service with this release answers, by path."""
    settings = Settings(release=release.bundle, statistics="off")
    transport = httpx.ASGITransport(create_app(settings, release))
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        answers = {path: await client.get(path) for path in ("/ready", "/health", "/v1/model")}
        for path in ("/inference/predict", "/v1/predict"):
            answers[path] = await client.post(path, files={"file": ("x", phantom(220))})
    return answers


@pytest.mark.parametrize("kind", BROKEN)
def test_it_never_becomes_ready_and_says_why(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make, reason = BROKEN[kind]
    release = LoadingRelease(make(tmp_path))
    release.start()
    while not release.broken:
        assert release.predictor is None
        time.sleep(0.01)
    answers = asyncio.run(asked(release))
    assert answers.pop("/health").status_code == 200
    for answer in answers.values():
        assert (answer.status_code, answer.json()["error"]) == (503, "release_broken")
        assert reason in answer.json()["detail"]
        assert int(answer.headers["retry-after"]) >= 1
    assert any(reason in record.message for record in caplog.records if record.levelname == "ERROR")
