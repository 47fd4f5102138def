"""Locks as text, what one adds to another, and the markers judged for the image's Python."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_tasks.errors import ReleaseError
from ml_tasks.release.locks import added, lock_text, read_lock
from ml_tasks.release.serving_base import checkout_file
from ml_tasks.release.wheelhouse import wanted

LOWER = """\
numpy==2.4.6 ; python_full_version < '3.12' \\
    --hash=sha256:aa \\
    --hash=sha256:bb
numpy==2.5.5 ; python_full_version >= '3.12' \\
    --hash=sha256:cc
celery[redis]==5.6.0 \\
    --hash=sha256:dd
"""


def _lock(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_lock_is_read_and_written_unchanged(tmp_path: Path) -> None:
    entries = read_lock(_lock(tmp_path, "lower.txt", LOWER))
    assert [(entry.name, entry.version) for entry in entries] == [
        ("numpy", "2.4.6"),
        ("numpy", "2.5.5"),
        ("celery", "5.6.0"),
    ]
    assert lock_text(entries) == LOWER


@pytest.mark.parametrize("name", ["airflow", "cpu", "gpu", "bootstrap", "serving", "all"])
def test_every_lock_of_this_project_is_read_whole(name: str) -> None:
    path = checkout_file(f"requirements/{name}.txt")
    lines = [line for line in path.read_text().splitlines(True) if not line.startswith("#")]
    assert lock_text(read_lock(path)) == "".join(lines)


def test_only_what_the_lower_lock_lacks_is_added(tmp_path: Path) -> None:
    lower = read_lock(_lock(tmp_path, "lower.txt", LOWER))
    upper = read_lock(
        _lock(tmp_path, "upper.txt", LOWER + "keras==3.15.1 \\\n    --hash=sha256:ee\n")
    )
    assert [entry.name for entry in added(upper, lower, "upper.txt")] == ["keras"]


def test_another_version_than_below_is_refused(tmp_path: Path) -> None:
    lower = read_lock(_lock(tmp_path, "lower.txt", LOWER))
    upper = read_lock(_lock(tmp_path, "upper.txt", LOWER.replace("5.6.0", "5.6.1")))
    with pytest.raises(ReleaseError, match=r"upper.txt pins celery 5.6.1.*5.6.0.*make lock"):
        added(upper, lower, "upper.txt")


def test_a_line_that_pins_nothing_is_named(tmp_path: Path) -> None:
    path = _lock(tmp_path, "loose.txt", LOWER + "keras>=3\n")
    with pytest.raises(ReleaseError, match=r"loose.txt, line 8: 'keras>=3' is no pinned package"):
        read_lock(path)


@pytest.mark.parametrize(
    ("marker", "expected"),
    [
        ("python_full_version < '3.12'", True),
        ("python_full_version >= '3.12'", False),
        ("python_full_version < '3.11.3'", True),  # Debian's is 3.11.2, upstream's is newer
        ("python_full_version == '3.13.*'", False),
        ("sys_platform == 'win32'", False),
        ("platform_python_implementation != 'PyPy' and sys_platform != 'cygwin'", True),
    ],
)
def test_markers_are_judged_for_the_image_and_not_for_this_python(
    tmp_path: Path, marker: str, expected: bool
) -> None:
    path = _lock(tmp_path, "lock.txt", f"it==1.0 ; {marker} \\\n    --hash=sha256:aa\n")
    (entry,) = read_lock(path)
    assert entry.marker == marker
    assert wanted(entry) is expected
