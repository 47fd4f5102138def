"""Backups and bundles as files: whole or refused by name, and never half-written."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import stat
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from ml_tasks.deployment import archive as archives
from ml_tasks.deployment.archive import BACKUP, BUNDLE, new_archive, open_archive
from ml_tasks.errors import ArchiveRefused, StorageError
from tests.builders import fill, small_disk

LARGE = os.urandom(3 << 20) + b"end"


def chunks(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), 70_001):
        yield data[start : start + 70_001]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An archive of a large and two small parts."""
    made = tmp_path / "kept.tar"
    with new_archive(made, BACKUP) as writer:
        writer.about["stack"] = "there"
        writer.add("releases.tar", chunks(LARGE))
        writer.add("settings", [b"A=", b"1\n"])
        writer.add("empty", [])
    return made


def test_what_went_in_comes_out(path: Path) -> None:
    found = open_archive(path, BACKUP)
    assert b"".join(found.chunks("releases.tar")) == LARGE
    assert b"".join(found.chunks("settings")) == b"A=1\n"
    assert b"".join(found.chunks("empty")) == b""
    assert found.about["stack"] == "there"


def test_only_its_owner_may_read_it_and_nothing_else_is_left(path: Path) -> None:
    """A backup holds every secret of the stack."""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_it_is_a_tar_that_every_machine_can_read(path: Path) -> None:
    """The checkout comes out of a bundle with nothing but tar."""
    listed = subprocess.run(["tar", "-tf", path], capture_output=True, text=True, check=True)
    ends = ["manifest.json", "manifest.sha256"]
    assert listed.stdout.split() == ["releases.tar", "settings", "empty", *ends]
    out = subprocess.run(["tar", "-xOf", path, "releases.tar"], capture_output=True, check=True)
    assert out.stdout == LARGE


def test_a_header_states_more_than_eight_gigabytes() -> None:
    size = 9 << 30
    header = archives._header("images.tar.gz", size)
    assert len(header) == tarfile.BLOCKSIZE
    assert tarfile.TarInfo.frombuf(header, "utf-8", "strict").size == size


@pytest.mark.parametrize("kept", [0, 1, 511, 512, 4096, 3 << 20, -2048, -1025])
def test_one_that_was_cut_short_is_refused(path: Path, kept: int) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:kept])
    with pytest.raises(ArchiveRefused, match=r"kept\.tar.*(cut short|not as listed|damaged)"):
        open_archive(path, BACKUP)


def test_every_altered_byte_is_noticed(path: Path) -> None:
    """One byte in each kilobyte, and each in the list: of a part, of a header, of the list."""
    data = bytearray(path.read_bytes())
    with tarfile.open(path) as tar:
        listed = tar.getmember("manifest.json")
        meant = sum(max(each.size, 0) for each in tar.getmembers())
    assert meant > len(LARGE)
    end = listed.offset_data + listed.size
    places = [*range(600, len(LARGE), 97 * 1024), *range(listed.offset_data, end, 7)]
    for place in places:
        data[place] ^= 1
        path.write_bytes(data)
        with pytest.raises(ArchiveRefused):
            list(open_archive(path, BACKUP).chunks("settings"))
        data[place] ^= 1
    path.write_bytes(data)
    open_archive(path, BACKUP)


def test_an_altered_part_is_named(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data.replace(b"A=1\n", b"A=2\n"))
    with pytest.raises(ArchiveRefused, match="settings is not as listed .* another copy"):
        open_archive(path, BACKUP)


def test_a_part_altered_after_the_look_is_noticed_while_it_is_read(path: Path) -> None:
    found = open_archive(path, BACKUP)
    path.write_bytes(path.read_bytes().replace(b"A=1\n", b"A=2\n"))
    with pytest.raises(ArchiveRefused, match="settings was altered while it was read"):
        list(found.chunks("settings"))


def test_the_other_kind_is_refused_with_its_own_command(path: Path) -> None:
    with pytest.raises(ArchiveRefused, match="is a backup, which `make restore` takes"):
        open_archive(path, BUNDLE)


def test_a_part_that_is_not_listed_is_refused(path: Path) -> None:
    with tarfile.open(path, "a") as tar:
        tar.addfile(tarfile.TarInfo("more"))
    with pytest.raises(ArchiveRefused, match="more is missing, or not listed"):
        open_archive(path, BACKUP)


@pytest.mark.parametrize("name", ["../evil", "/etc/cron.d/evil", "folder/evil", "Settings", ""])
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "evil.tar"
    data = b"* * * * * root true\n"
    with tarfile.open(path, "w") as tar:
        _add(tar, name, data)
        _add_list(tar, _list(name, data))
    with pytest.raises(ArchiveRefused, match="is no archive of this pipeline"):
        open_archive(path, BACKUP)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "evil.tar"
    info = tarfile.TarInfo("settings")
    info.type, info.linkname = kind, "/etc/shadow"
    with tarfile.open(path, "w") as tar:
        tar.addfile(info)
    with pytest.raises(ArchiveRefused, match="is no archive of this pipeline"):
        open_archive(path, BACKUP)


@pytest.mark.parametrize(
    "content",
    [b"PK\x03\x04 a zip", b"", b"{}", Random(1).randbytes(5000), bytes(10240)],
    ids=["zip", "empty", "JSON", "noise", "zeros"],
)
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.tar"
    path.write_bytes(content)
    with pytest.raises(ArchiveRefused, match=r"other\.tar"):
        open_archive(path, BACKUP)


@pytest.mark.parametrize(
    "content",
    [b"[]", b"{", b'{"format": 1, "kind": "backup", "about": {}, "parts": {"a": 1}}',
     b'{"format": 2, "kind": "backup", "about": {}, "parts": {}}',
     b'{"format": 1, "kind": "backup", "about": [], "parts": {}}', b"[" * 100_000],
)  # fmt: skip
def test_a_list_of_anything_else_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd.tar"
    with tarfile.open(path, "w") as tar:
        _add_list(tar, content)
    with pytest.raises(ArchiveRefused, match="damaged, or of another version"):
        open_archive(path, BACKUP)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.tar", tmp_path):
        with pytest.raises(ArchiveRefused, match="cannot be read"):
            open_archive(path, BACKUP)


def test_nothing_is_replaced(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(StorageError, match="is there already"), new_archive(path, BACKUP):
        pass
    assert path.read_bytes() == before


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 512) as disk:
        fill(disk)
        before = sorted(disk.iterdir())
        with (
            pytest.raises(StorageError, match="no space left while writing .*kept.tar"),
            new_archive(disk / "kept.tar", BACKUP) as writer,
        ):
            writer.add("part", chunks(LARGE))
        assert sorted(disk.iterdir()) == before


def test_a_source_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def failing() -> Iterator[bytes]:
        yield b"half"
        raise ArchiveRefused("the database went away")

    with (
        pytest.raises(ArchiveRefused, match="went away"),
        new_archive(tmp_path / "kept.tar", BACKUP) as writer,
    ):
        writer.add("part", failing())
    assert list(tmp_path.iterdir()) == []


KILLED = """
import sys, time
from pathlib import Path
from ml_tasks.deployment.archive import new_archive
with new_archive(Path(sys.argv[1]), "backup") as writer:
    def slow():
        yield bytes(1 << 20)
        print("writing", flush=True)
        time.sleep(600)
    writer.add("part", slow())
"""


def test_what_a_killed_writer_left_goes_with_the_next(tmp_path: Path) -> None:
    """And what another one is at stays."""
    command = [sys.executable, "-c", KILLED, str(tmp_path / "one.tar")]
    killed = subprocess.Popen(command, stdout=subprocess.PIPE)
    command[-1] = str(tmp_path / "two.tar")
    alive = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        for each in (killed, alive):
            assert each.stdout is not None
            assert each.stdout.readline() == b"writing\n"
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        with new_archive(tmp_path / "three.tar", BACKUP) as writer:
            writer.add("part", [b"whole"])
        left = sorted(each.name[:8] for each in tmp_path.iterdir())
        assert left == [".two.tar", "three.ta"]
    finally:
        for each in (killed, alive):
            each.kill()
            each.wait()
            assert each.stdout is not None
            each.stdout.close()


def test_it_is_written_without_being_held_in_memory(tmp_path: Path) -> None:
    """An archive of the images is gigabytes: 300 MB go through with a few MB more in memory."""
    script = """
import resource, sys
from pathlib import Path
from ml_tasks.deployment.archive import new_archive, open_archive
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with new_archive(Path(sys.argv[1]), "backup") as writer:
    writer.add("part", (bytes(1 << 20) for _ in range(300)))
found = open_archive(Path(sys.argv[1]), "backup")
assert sum(len(chunk) for chunk in found.chunks("part")) == 300 << 20
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    command = [sys.executable, "-c", script, str(tmp_path / "kept.tar")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 30_000, "kB"


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def _add_list(tar: tarfile.TarFile, content: bytes) -> None:
    _add(tar, "manifest.json", content)
    _add(tar, "manifest.sha256", hashlib.sha256(content).hexdigest().encode())


def _list(name: str, data: bytes) -> bytes:
    parts = {name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}}
    content = {"format": 1, "kind": "backup", "about": {}, "parts": parts}
    return json.dumps(content).encode()
