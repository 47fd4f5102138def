"""The bundle: sealed once, the same content gives the same version, damage is named."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import pytest

from ml_tasks.errors import ReleaseError, StorageError
from ml_tasks.release.bundle import FILES, SUMS, add_record, seal, sums_sha256, verify, version_of
from tests.toy_run import make_bundle


def parts_of(bundle: Path, **changed: bytes) -> dict[str, Path | bytes]:
    parts: dict[str, Path | bytes] = {name: bundle / name for name in FILES}
    return parts | {name.replace("__", "."): data for name, data in changed.items()}


def test_the_version_is_the_runs_time_and_the_hash_of_the_sums(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path)
    assert version_of(bundle) == f"20260102T030405Z-{sums_sha256(bundle)[:12]}"
    assert bundle == tmp_path / "releases" / version_of(bundle) / "bundle"
    assert {path.name for path in bundle.iterdir()} == {*FILES, SUMS}


def test_the_time_is_taken_as_utc(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path)
    lineage = {"run_id": "toy", "run_started_at": "2026-01-02T05:04:05+02:00"}
    again = seal(tmp_path, parts_of(bundle, lineage__json=json.dumps(lineage).encode()))
    assert version_of(again).startswith("20260102T030405Z-")


def test_the_same_content_is_the_same_release(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in bundle.iterdir()}
    assert seal(tmp_path / "releases", parts_of(bundle)) == bundle
    assert {path: path.stat().st_mtime_ns for path in bundle.iterdir()} == before


def test_other_content_is_another_release_and_the_old_one_stays(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path)
    other = seal(tmp_path / "releases", parts_of(bundle, model_card__md=b"other"))
    assert other != bundle
    verify(bundle)
    verify(other)


def test_a_missing_part_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path)
    with pytest.raises(ReleaseError, match="gone is missing"):
        seal(tmp_path / "new", parts_of(bundle) | {"model.h5": tmp_path / "gone"})
    assert list((tmp_path / "new").iterdir()) == []


def test_a_set_of_other_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=r"check extra\.txt"):
        seal(tmp_path, dict.fromkeys((*FILES, "extra.txt"), b""))


def test_sealing_over_an_altered_release_is_refused(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path)
    parts = parts_of(bundle, model__h5=(bundle / "model.h5").read_bytes())
    (bundle / "model.h5").chmod(0o644)
    (bundle / "model.h5").write_bytes(b"altered")
    with pytest.raises(ReleaseError, match=r"altered since it was sealed: model\.h5"):
        seal(tmp_path / "releases", parts)


def test_no_space_left_while_sealing_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = make_bundle(tmp_path)

    def full(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(StorageError, match="no space left"):
        seal(tmp_path / "new", parts_of(bundle))
    assert list((tmp_path / "new").iterdir()) == []


def test_the_record_folder_only_grows(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path)
    first = add_record(bundle, "push", {"digest": "a"})
    assert add_record(bundle, "push", {"digest": "a"}) == first
    second = add_record(bundle, "push", {"digest": "b"})
    assert [first.name, second.name] == ["push.json", "push-2.json"]
    assert json.loads(first.read_text()) == {"digest": "a"}
    verify(bundle)
