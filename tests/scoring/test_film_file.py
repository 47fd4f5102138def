"""Only the very file that was planned is read; everything else is a reason for its row."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ml_tasks.errors import ImageRejected, ImagesUnreachable
from ml_tasks.scoring.film_file import read_film
from ml_tasks.scoring.listing import Listed


def planned(folder: Path, name: str = "film.png", data: bytes = b"film") -> Listed:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "other.png").write_bytes(b"other")
    (folder / name).write_bytes(data)
    found = (folder / name).stat()
    return Listed(name, found.st_size, found.st_mtime_ns)


def to_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/hostname")


def to_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def to_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def touched(path: Path) -> None:
    os.utime(path, ns=(1, 1))


def other_bytes(path: Path) -> None:
    path.write_bytes(b"longer than before")


def test_the_planned_bytes_are_read(tmp_path: Path) -> None:
    assert read_film(tmp_path.resolve(), planned(tmp_path)) == b"film"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (Path.unlink, "missing"),
        (to_link, "no_file"),
        (to_pipe, "no_file"),
        (to_folder, "no_file"),
        (touched, "changed"),
        (other_bytes, "changed"),
    ],
)
def test_a_file_that_is_another_by_now_is_not_scored(
    tmp_path: Path, change: Callable[[Path], None], code: str
) -> None:
    film = planned(tmp_path)
    change(tmp_path / film.file)
    with pytest.raises(ImageRejected) as refused:
        read_film(tmp_path.resolve(), film)
    assert refused.value.code == code


def test_a_file_of_too_many_bytes_is_refused_unread(tmp_path: Path) -> None:
    planned(tmp_path)
    path = tmp_path / "film.png"
    os.truncate(path, 1 << 33)  # no block of it is on the disk
    found = path.stat()
    with pytest.raises(ImageRejected, match="at most") as refused:
        read_film(tmp_path.resolve(), Listed(path.name, found.st_size, found.st_mtime_ns))
    assert refused.value.code == "too_large"


@pytest.mark.parametrize("state", ["gone", "empty"])
def test_a_disk_that_is_away_is_an_error_of_the_batch(tmp_path: Path, state: str) -> None:
    """An unmounted folder is empty: ten thousand rows that say "gone" would look like a result."""
    folder = tmp_path.resolve() / "mount"
    film = planned(folder)
    shutil.rmtree(folder)
    if state == "empty":
        folder.mkdir()
    with pytest.raises(ImagesUnreachable, match="gone or empty .* is a network disk away"):
        read_film(folder, film)
