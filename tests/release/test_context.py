"""Build contexts and layers: the same parts give the same bytes, whatever files' times say."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

from ml_tasks.release.context import write_context, write_layer


def context(parts: dict[str, Path | bytes]) -> bytes:
    target = io.BytesIO()
    write_context(target, parts)
    return target.getvalue()


def test_times_owners_and_order_do_not_matter(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"one")
    first = context({"x/a": file, "Dockerfile": b"FROM x"})
    os.utime(file, (1, 1))
    file.chmod(0o600)
    assert context({"Dockerfile": b"FROM x", "x/a": file}) == first
    with tarfile.open(fileobj=io.BytesIO(first)) as archive:
        assert archive.getnames() == ["Dockerfile", "x/a"]
        assert {(entry.uid, entry.mode, entry.mtime) for entry in archive} == {
            (0, 0o644, 1577836800)
        }


def test_a_layer_holds_the_folders_of_its_files_before_them() -> None:
    """Without them the engine makes them up, with the time of the day: another layer each time."""
    target = io.BytesIO()
    write_layer(target, {"release/deep/b": b"two", "release/a": b"one"})
    target.seek(0)
    with tarfile.open(fileobj=target) as archive:
        assert [(entry.name, entry.isdir(), entry.mode) for entry in archive] == [
            ("release", True, 0o755),
            ("release/deep", True, 0o755),
            ("release/a", False, 0o444),
            ("release/deep/b", False, 0o444),
        ]
        assert {(entry.uid, entry.gid, entry.uname, entry.mtime) for entry in archive} == {
            (0, 0, "", 1577836800)
        }
