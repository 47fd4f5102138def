"""Writing: whole or not at all, on a full disk, after an error and after kill -9."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ml_tasks.errors import StorageError
from ml_tasks.storage import (
    replaced_directory,
    sha256_file,
    storage_errors,
    write_bytes,
    write_json,
)
from tests.builders import fill, small_disk
from tests.waiting import PATIENCE

WRITER = """
import os, signal, sys
from pathlib import Path
from ml_tasks.storage import replaced_directory

path, moment = Path(sys.argv[1]), sys.argv[2]
rename = Path.rename

def killed_before_the_new_one_is_in_place(self, target):
    if Path(target) == path:
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(self, target)

if moment == "swapping":
    Path.rename = killed_before_the_new_one_is_in_place
with replaced_directory(path) as work:
    (work / "file").write_text("half")
    if moment == "writing":
        os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_writer(path: Path, moment: str) -> None:
    words = [sys.executable, "-c", WRITER, str(path), moment]
    killed = subprocess.run(words, capture_output=True, check=False, timeout=PATIENCE)
    assert killed.returncode == -signal.SIGKILL, killed.stderr


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_file_is_written_with_its_folders_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a" / "b" / "file", b"one")
    write_bytes(tmp_path / "a" / "b" / "file", b"two")
    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"two"
    assert names(tmp_path / "a" / "b") == ["file"]


def test_the_hash_is_that_of_the_bytes(tmp_path: Path) -> None:
    data = os.urandom(3 * (1 << 20) + 5)
    write_bytes(tmp_path / "file", data)
    assert sha256_file(tmp_path / "file") == hashlib.sha256(data).hexdigest()


def test_json_refuses_nan(tmp_path: Path) -> None:
    """NaN is no JSON: the gate's input must never hold one."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "file.json", {"auc": float("nan")})
    assert names(tmp_path) == []


def test_a_full_disk_leaves_the_old_file_as_it_was(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 256) as disk:
        write_bytes(disk / "file", b"old")
        with pytest.raises(StorageError, match="no space left while writing .*disk/file .* again"):
            write_bytes(disk / "file", bytes(400_000))
        assert (disk / "file").read_bytes() == b"old"
        assert names(disk) == ["file"]


def test_a_full_disk_leaves_the_old_directory_as_it_was(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 256) as disk:
        with replaced_directory(disk / "out") as work:
            (work / "file").write_text("old")
        fill(disk)
        with (
            pytest.raises(StorageError, match="no space left while writing .*disk/out .* again"),
            replaced_directory(disk / "out") as work,
        ):
            (work / "file").write_bytes(bytes(400_000))
        assert (disk / "out" / "file").read_text() == "old"
        assert names(disk) == ["filler", "out"]


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, "no space left while writing /data/x .* Free some space .* run the stage"),
        (errno.EDQUOT, "no space left while writing /data/x"),
        (errno.EACCES, "/data/x cannot be written .* give this user the right"),
        (errno.EPERM, "/data/x cannot be written .* give this user the right"),
        (errno.EROFS, "/data/x cannot be written .* or name another folder"),
    ],
)
def test_the_path_and_the_remedy_are_named(number: int, says: str) -> None:
    with pytest.raises(StorageError, match=says), storage_errors(Path("/data/x")):
        raise OSError(number, os.strerror(number))


def test_other_errors_of_the_system_pass_unchanged() -> None:
    with pytest.raises(FileNotFoundError), storage_errors(Path("/data/x")):
        raise FileNotFoundError(errno.ENOENT, "gone")


def test_an_error_in_the_block_leaves_the_old_directory(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with replaced_directory(path) as work:
        (work / "file").write_text("old")
    with pytest.raises(RuntimeError, match="no"), replaced_directory(path) as work:
        (work / "file").write_text("new")
        raise RuntimeError("no")
    assert (path / "file").read_text() == "old"
    assert names(tmp_path) == ["out"]


def test_the_old_content_is_gone_once_the_new_one_stands(tmp_path: Path) -> None:
    path = tmp_path / "out"
    for name in ("first", "second"):
        with replaced_directory(path) as work:
            (work / name).touch()
    assert names(path) == ["second"]
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_is_not_owned_is_refused_and_kept(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "theirs"
    if kind == "folder":
        path.mkdir()
        (path / "letter").write_text("mine")
    else:
        path.write_text("mine")
    with (
        pytest.raises(StorageError, match="theirs holds files .* name another output folder"),
        replaced_directory(path, owned=lambda _: False),
    ):
        pass
    assert (path / "letter" if kind == "folder" else path).read_text() == "mine"


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with replaced_directory(tmp_path / "out", owned=lambda _: False) as work:
        (work / "file").touch()
    assert names(tmp_path / "out") == ["file"]


def test_a_writer_killed_while_writing_leaves_the_old_directory(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with replaced_directory(path) as work:
        (work / "file").write_text("old")
    killed_writer(path, "writing")
    assert (path / "file").read_text() == "old"
    assert len(names(tmp_path)) == 2, "the killed writer leaves its half-written sibling"
    with replaced_directory(path) as work:
        (work / "file").write_text("new")
    assert names(tmp_path) == ["out"]
    assert (path / "file").read_text() == "new"


def test_a_writer_killed_while_swapping_loses_nothing(tmp_path: Path) -> None:
    """The old directory is set aside for a moment: a kill right then must not lose it."""
    path = tmp_path / "out"
    with replaced_directory(path) as work:
        (work / "file").write_text("old")
    killed_writer(path, "swapping")
    assert not path.exists()
    with pytest.raises(RuntimeError, match="fails too"), replaced_directory(path):
        raise RuntimeError("fails too")
    assert (path / "file").read_text() == "old"
    assert names(tmp_path) == ["out"]
