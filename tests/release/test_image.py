"""The archive of a release image: its bytes depend on the bundle and the base, on nothing else."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from ml_tasks.errors import ReleaseError
from ml_tasks.release.base_labels import LOCK, SOURCES, base_labels, check_base_labels
from ml_tasks.release.bundle import FILES, SUMS, bundle_of
from ml_tasks.release.image import layer_digest, write_archive
from ml_tasks.release.image_config import BaseImage, release_config
from ml_tasks.release.image_labels import release_labels
from tests.toy_run import make_toy_bundle

BASE = BaseImage(
    name="mammography-serving-base:toy",
    id="sha256:" + "b" * 64,
    platform={"architecture": "amd64", "os": "linux"},
    config={"User": "10001:10001", "Env": ["PATH=/bin"], "Labels": {SOURCES: "1" * 64}},
    layers=("sha256:" + "c" * 64,),
    history=({"created": "2026-01-01T00:00:00Z", "created_by": "toy"},),
)
REFERENCE = "mammography-toy:1"


def archive(bundle: Path) -> bytes:
    target = io.BytesIO()
    write_archive(target, bundle, BASE, REFERENCE)
    return target.getvalue()


def test_twenty_archives_in_twenty_folders_on_twenty_days_are_one(tmp_path: Path) -> None:
    bundle = make_toy_bundle(tmp_path / "toy")
    first, layer = archive(bundle), layer_digest(bundle)
    for day in range(20):
        copy = bundle_of(tmp_path / f"elsewhere-{day}", bundle.parent.name)
        shutil.copytree(bundle, copy)
        for file in copy.iterdir():
            file.chmod(0o600 if day % 2 else 0o664)
            os.utime(file, (day * 86400, day * 86400))
        assert archive(copy) == first
        assert layer_digest(copy) == layer


def test_an_archive_holds_the_configuration_and_one_layer(tmp_path: Path) -> None:
    bundle = make_toy_bundle(tmp_path)
    with tarfile.open(fileobj=io.BytesIO(archive(bundle))) as opened:
        files = {entry.name: _read(opened, entry) for entry in opened}
    (manifest,) = json.loads(files.pop("manifest.json"))
    assert manifest["RepoTags"] == [REFERENCE]
    config, layer = files.pop(manifest["Config"]), files.pop(manifest["Layers"][-1])
    assert files == {}
    assert manifest["Config"] == f"{hashlib.sha256(config).hexdigest()}.json"
    with tarfile.open(fileobj=io.BytesIO(layer)) as opened:
        names = [entry.name for entry in opened]
    assert names == ["release", *sorted(f"release/{name}" for name in (*FILES, SUMS))]
    content = json.loads(config)
    assert content["rootfs"]["diff_ids"] == [*BASE.layers, layer_digest(bundle)]
    assert len(content["history"]) == 2 and content["history"][0] == BASE.history[0]
    assert content["config"]["User"] == "10001:10001"
    assert content["created"] == "2026-01-02T03:04:05Z"


def test_other_content_is_another_layer(tmp_path: Path) -> None:
    first = layer_digest(make_toy_bundle(tmp_path / "a"))
    assert layer_digest(make_toy_bundle(tmp_path / "b", run_id="another")) != first


def test_labels_tell_what_the_release_was_made_of(tmp_path: Path) -> None:
    bundle = make_toy_bundle(tmp_path)
    labels = release_labels(bundle, BASE.name, BASE.id)
    lineage = json.loads((bundle / "lineage.json").read_bytes())
    assert labels["org.opencontainers.image.version"] == bundle.parent.name
    assert labels["org.opencontainers.image.created"] == "2026-01-02T03:04:05Z"
    assert labels["org.opencontainers.image.base.digest"] == BASE.id
    for name in ("manifest", "config", "code"):
        assert labels[f"mammography.{name}-sha256"] == lineage[f"{name}_sha256"]
    assert labels["mammography.test-patients.auc"] == "0.950 [0.920, 0.980]"
    assert labels["mammography.test-patients.sensitivity"] == "0.850 [0.820, 0.880]"
    assert labels["mammography.threshold"] == "0.500000"
    config = json.loads(release_config(BASE, "sha256:d", labels, "2026-01-02T03:04:05Z", "toy"))
    assert config["config"]["Labels"] == {**BASE.labels, **labels}


def test_a_lineage_without_a_hash_is_named(tmp_path: Path) -> None:
    bundle = make_toy_bundle(tmp_path)
    lineage = bundle / "lineage.json"
    content = json.loads(lineage.read_bytes())
    del content["code_sha256"]
    lineage.chmod(0o644)
    lineage.write_text(json.dumps(content))
    with pytest.raises(ReleaseError, match="has no 'code_sha256'"):
        release_labels(bundle, BASE.name, BASE.id)


def test_a_base_of_other_code_is_named_with_both_values(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("one")
    (tmp_path / "lock").write_text("numpy==1")
    expected = base_labels({"a.py": tmp_path / "a.py"}, tmp_path / "lock")
    check_base_labels("base:toy", expected, expected)
    (tmp_path / "a.py").write_text("two")
    other = base_labels({"a.py": tmp_path / "a.py"}, tmp_path / "lock")
    assert other[LOCK] == expected[LOCK] and other[SOURCES] != expected[SOURCES]
    with pytest.raises(ReleaseError, match=f"is {other[SOURCES][:12]}, here it is") as refusal:
        check_base_labels("base:toy", other, expected)
    assert "docker rmi base:toy" in str(refusal.value)
    with pytest.raises(ReleaseError, match=f"{SOURCES} is missing"):
        check_base_labels("base:toy", {}, expected)


def _read(opened: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    content = opened.extractfile(entry)
    assert content is not None
    return content.read()
