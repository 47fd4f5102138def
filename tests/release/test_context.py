"""Build contexts and Dockerfiles: the same parts give the same bytes, whatever files' times say."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

from ml_tasks.release.context import write_context
from ml_tasks.release.image import dockerfile


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


def test_a_label_cannot_break_out_of_its_line() -> None:
    text = dockerfile("sha256:1", {"name": 'a"b\nRUN evil $HOME'})
    assert text.splitlines() == [
        "FROM sha256:1",
        'LABEL name="a\\"b\\nRUN evil \\$HOME"',
        "COPY release /release",
    ]
