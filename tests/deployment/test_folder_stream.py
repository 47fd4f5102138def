"""Folders of the shared volume through a tar: the same again, and never outside their place."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_tasks.deployment.folder_stream import packed, packed_as, unpack
from ml_tasks.errors import ArchiveRefused, StackError


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A volume with what a release and its neighbours may look like."""
    root = tmp_path / "shared"
    bundle = root / "releases" / "20260101T000000Z-abc" / "bundle"
    bundle.mkdir(parents=True)
    (bundle / "model.h5").write_bytes(os.urandom(2_500_001))
    (bundle / ("long-" * 40 + ".json")).write_text("{}")
    (bundle / "Größe 1.txt").write_text("ü")
    (root / "releases" / "signing_key.pem").write_text("secret")
    (root / "releases" / "signing_key.pem").chmod(0o600)
    (root / "releases" / "empty").mkdir(mode=0o2770)
    (root / "splits").mkdir()
    os.utime(bundle, (1_700_000_000, 1_700_000_000))
    return root


def tree(root: Path) -> dict[str, tuple[int, int, bytes]]:
    """Mode, time and content of everything below."""
    return {
        str(path.relative_to(root)): (
            path.stat().st_mode,
            int(path.stat().st_mtime),
            path.read_bytes() if path.is_file() else b"",
        )
        for path in sorted(root.rglob("*"))
    }


def test_everything_is_the_same_again(shared: Path, tmp_path: Path) -> None:
    tops = unpack(packed(shared, ["releases", "splits", "none"]), tmp_path / "new", None)
    assert tree(tmp_path / "new") == tree(shared)
    assert tops == ["releases", "splits"]


def test_it_is_a_tar_for_everybody(shared: Path) -> None:
    data = b"".join(packed(shared, ["releases"]))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        found = {member.name for member in tar}
    assert found == {str(path.relative_to(shared)) for path in shared.rglob("*")} - {"splits"}


def test_what_writers_are_at_is_left_out(shared: Path, tmp_path: Path) -> None:
    for name in (".sealing.12345678.tmp", ".20260101.12345678.old"):
        (shared / "releases" / name).mkdir()
        (shared / "releases" / name / "half").write_text("half")
    (shared / "releases" / ".production.lock").write_text("")
    before = {name for name in tree(shared) if "/." not in name}
    unpack(packed(shared, ["releases", "splits"]), tmp_path / "new", None)
    assert set(tree(tmp_path / "new")) == before


def test_a_folder_behind_a_link_at_the_top_is_a_folder(shared: Path, tmp_path: Path) -> None:
    """A team may keep its releases on another disk."""
    (shared / "releases").rename(tmp_path / "other-disk")
    (shared / "releases").symlink_to(tmp_path / "other-disk")
    unpack(packed(shared, ["releases"]), tmp_path / "new", None)
    assert tree(tmp_path / "new" / "releases") == tree(tmp_path / "other-disk")


def test_a_link_within_is_refused_by_name(shared: Path) -> None:
    (shared / "releases" / "latest").symlink_to("20260101T000000Z-abc")
    with pytest.raises(StackError, match="releases/latest is neither file nor folder"):
        b"".join(packed(shared, ["releases"]))


def test_a_file_that_grows_is_copied_as_it_was(shared: Path, tmp_path: Path) -> None:
    """The service appends to its statistics at any time."""
    file = shared / "splits" / "log"
    file.write_bytes(bytes(3 << 20))
    stream = packed(shared, ["splits"])
    taken = [next(stream), next(stream), next(stream)]
    with file.open("ab") as growing:
        growing.write(b"more")
    unpack(iter([*taken, *stream]), tmp_path / "new", None)
    assert (tmp_path / "new" / "splits" / "log").stat().st_size == 3 << 20


def test_a_file_that_shrinks_is_an_error(shared: Path) -> None:
    file = shared / "splits" / "log"
    file.write_bytes(bytes(3 << 20))
    stream = packed(shared, ["splits"])
    for _ in range(3):
        next(stream)
    os.truncate(file, 10)
    with pytest.raises(StackError, match="splits/log became shorter"):
        list(stream)


def test_what_disappears_meanwhile_is_left_out(shared: Path, tmp_path: Path) -> None:
    """A run's temporary files come and go."""
    (shared / "splits" / "a").mkdir()
    (shared / "splits" / "b").write_text("b")
    stream = packed(shared, ["splits"])
    first = next(stream)
    (shared / "splits" / "a").rmdir()
    (shared / "splits" / "b").unlink()
    unpack(iter([first, *stream]), tmp_path / "new", None)
    assert list(tree(tmp_path / "new")) == ["splits"]


def hostile(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> Iterator[bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(info)
    yield buffer.getvalue()


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "..", "a/b/../../../evil"])
def test_a_name_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    root = tmp_path / "volume"
    with pytest.raises(ArchiveRefused, match="would lie elsewhere"):
        unpack(hostile(name), root, None)
    assert [path.name for path in tmp_path.rglob("evil")] == []


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_pipes_are_refused(tmp_path: Path, kind: bytes) -> None:
    with pytest.raises(ArchiveRefused, match="is no file"):
        unpack(hostile("releases", kind, "/etc"), tmp_path / "volume", None)


def test_no_file_is_written_through_a_link_that_stands_there(tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume" / "file").symlink_to(tmp_path / "outside")
    with pytest.raises(OSError, match="exist"):
        unpack(hostile("file"), tmp_path / "volume", None)
    assert not (tmp_path / "outside").exists()


def test_no_right_of_another_user_comes_with_a_file(tmp_path: Path) -> None:
    info = tarfile.TarInfo("file")
    info.mode = 0o4777
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(info)
    unpack(iter([buffer.getvalue()]), tmp_path, None)
    assert (tmp_path / "file").stat().st_mode & 0o4000 == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_workers_of_then_are_those_of_now(shared: Path, tmp_path: Path) -> None:
    os.chown(shared / "splits", 50000, 0)
    os.chown(shared / "releases", 10001, 10001)
    new = {50000: 1234}
    unpack(packed(shared, ["releases", "splits"]), tmp_path / "new", lambda uid: new.get(uid, uid))
    assert (tmp_path / "new" / "splits").stat().st_uid == 1234
    assert (tmp_path / "new" / "releases").stat().st_uid == 10001


def test_a_file_gets_the_place_that_it_shall_have(shared: Path, tmp_path: Path) -> None:
    """Weights from a home folder go where the workers look for them."""
    key = shared / "releases" / "signing_key.pem"
    unpack(packed_as({"keras/models/w.h5": key}), tmp_path / "new", None)
    assert (tmp_path / "new" / "keras" / "models" / "w.h5").read_text() == "secret"
