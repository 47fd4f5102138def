"""Snapshots of announced data: exact, the same for the same content, refused once altered."""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from ml_tasks.config import DataConfig
from ml_tasks.dataset import announcement
from ml_tasks.dataset.announcement import LISTING, Snapshot, read_snapshot, take_snapshot
from ml_tasks.dataset.content import data_sha256
from ml_tasks.dataset.examine_files import Examiner
from ml_tasks.dataset.manifest import ManifestRow
from ml_tasks.dataset.raw_files import READY
from ml_tasks.dataset.scan import scan
from ml_tasks.errors import DataError, DataUnsettled
from ml_tasks.imaging.spec import ImageSpec
from ml_tasks.storage import sha256_file
from tests.builders import encoded, film, write_raw


@pytest.fixture(autouse=True)
def _settled_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's own files are written just before; only one test is about that."""
    monkeypatch.setattr(announcement, "SETTLE_SECONDS", 0.0)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = write_raw(tmp_path / "raw", patients=6)
    (folder / READY).touch()
    return folder


def taken(raw: Path) -> Snapshot:
    return take_snapshot(raw, raw.parent / "snapshots", raw.parent / "cache")


def scanned(raw: Path, snapshot: Snapshot | None, **settings: object) -> list[ManifestRow]:
    config = DataConfig.model_validate({"min_patients_per_class": 3, **settings})
    rows, _ = scan(raw, config, Examiner(ImageSpec(), raw.parent / "cache"), snapshot)
    return rows


def add_film(raw: Path, name: str = "Positive/late.png", number: int = 77) -> Path:
    (raw / name).parent.mkdir(exist_ok=True)
    (raw / name).write_bytes(encoded(film(number, lesion=True)))
    return raw / name


def test_a_snapshot_lists_every_file_with_its_hash_and_keeps_the_tables(raw: Path) -> None:
    snapshot = taken(raw)
    images = sorted(p.relative_to(raw).as_posix() for p in raw.glob("*/*.png"))
    assert sorted(snapshot.data_files) == images
    assert snapshot.images == len(images)
    assert snapshot.files["metadata.csv"].sha256 == sha256_file(raw / "metadata.csv")
    for path, listed in snapshot.files.items():
        assert (listed.bytes, listed.sha256) == (
            (raw / path).stat().st_size,
            sha256_file(raw / path),
        )
    assert (snapshot.folder / "metadata.csv").read_bytes() == (raw / "metadata.csv").read_bytes()
    assert snapshot.folder.name.endswith(f"-{snapshot.sha256[:12]}")
    assert snapshot.sha256 == sha256_file(snapshot.folder / LISTING)


def test_the_same_content_gives_the_same_snapshot_wherever_it_lies(raw: Path) -> None:
    """So announcing twice is harmless: the second run finds nothing new."""
    first = taken(raw)
    assert taken(raw).folder == first.folder
    moved = shutil.copytree(raw, raw.parent / "elsewhere")
    again = take_snapshot(moved, first.folder.parent, raw.parent / "cache")
    assert again.folder == first.folder
    add_film(raw)
    assert taken(raw).folder != first.folder


def test_the_run_uses_exactly_the_snapshot_even_if_more_files_arrive(raw: Path) -> None:
    snapshot = taken(raw)
    before = scanned(raw, snapshot)
    add_film(raw)
    add_film(raw, "Third class/other.png")
    (raw / "metadata.csv").write_text("file,patient_id\n")  # a table for the files to come
    assert scanned(raw, snapshot) == before
    assert {row.path for row in before} == set(snapshot.data_files)


def test_flags_are_no_data(raw: Path) -> None:
    before = scanned(raw, None)
    (raw / READY).unlink()
    (raw / READY).mkdir()
    (raw / "_TAKEN-20260101T000000Z").mkdir()
    assert scanned(raw, None) == before


def test_a_listed_file_that_is_missing_fails_with_the_list(raw: Path) -> None:
    snapshot = taken(raw)
    names = sorted(snapshot.data_files)[:2]
    for name in names:
        (raw / name).unlink()
    with pytest.raises(
        DataError, match=r"2 of the \d+ announced files in .* are missing"
    ) as raised:
        scanned(raw, snapshot)
    assert all(name in str(raised.value) for name in names)
    assert "announce the data anew" in str(raised.value)


def test_a_listed_file_that_has_changed_fails_with_its_name(raw: Path) -> None:
    snapshot = taken(raw)
    add_film(raw, "Positive/P001.png")
    with pytest.raises(DataError, match="are changed since") as raised:
        scanned(raw, snapshot)
    assert "Positive/P001.png" in str(raised.value)


def test_a_listed_file_that_cannot_be_read_any_more_is_not_set_aside(raw: Path) -> None:
    """Else the run would go on with other data than were announced, and only a count would tell."""
    (raw / "Positive" / "nowhere.png").symlink_to(raw / "nothing")  # announced as it is
    snapshot = taken(raw)
    scanned(raw, snapshot)
    path = raw / "Positive" / "P001.png"
    path.unlink()
    path.symlink_to(raw / "nothing")
    with pytest.raises(
        DataError, match=r"1 of the \d+ announced files in .* are not readable"
    ) as e:
        scanned(raw, snapshot)
    assert "Positive/P001.png" in str(e.value) and "nowhere.png" not in str(e.value)


@pytest.mark.parametrize("name", [LISTING, "metadata.csv"])
def test_a_snapshot_that_was_edited_is_refused(raw: Path, name: str) -> None:
    folder = taken(raw).folder
    (folder / name).write_text((folder / name).read_text().replace("P001", "P002"))
    with pytest.raises(DataError, match=f"was edited after it was taken .*{name}"):
        read_snapshot(folder)


def test_a_snapshot_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the snapshot .*nowhere-abc cannot be read"):
        read_snapshot(tmp_path / "nowhere-abc")


def test_a_file_that_is_still_being_written_is_waited_out_and_refused(
    raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of a large film pauses for less than the time that a fresh file is watched."""
    monkeypatch.setattr(announcement, "SETTLE_SECONDS", 1.0)
    path, ended = add_film(raw), threading.Event()

    def copy_slowly() -> None:
        with path.open("ab", buffering=0) as stream:
            while not ended.wait(0.05):
                stream.write(b"more")

    copy = threading.Thread(target=copy_slowly)
    copy.start()
    try:
        with pytest.raises(DataUnsettled, match="changed while they were listed") as raised:
            taken(raw)
    finally:
        ended.set()
        copy.join()
    assert "Positive/late.png" in str(raised.value)
    assert not (raw.parent / "snapshots").exists()


def test_a_copy_that_keeps_the_times_of_the_files_is_waited_out_too(
    raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `cp -p` and rsync do: by the time of writing every film is old the moment it comes."""
    monkeypatch.setattr(announcement, "SETTLE_SECONDS", 1.0)
    ended, year = threading.Event(), time.time() - 365 * 86400

    def copy_on() -> None:
        number = 0
        while not ended.wait(0.3):
            path = raw.parent / f"{number}.png"
            path.write_bytes(b"an old film")
            os.utime(path, (year, year))
            path.rename(raw / "Positive" / path.name)
            number += 1

    for path in raw.rglob("*.*"):
        os.utime(path, (year, year))
    copy = threading.Thread(target=copy_on)
    copy.start()
    try:
        with pytest.raises(DataUnsettled, match=r"Positive/\d+\.png"):
            taken(raw)
    finally:
        ended.set()
        copy.join()


def test_a_file_that_comes_while_the_others_are_read_is_noticed(
    raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = announcement._wait_until_settled
    monkeypatch.setattr(
        announcement, "_wait_until_settled", lambda looked: (add_film(raw), wait(looked))
    )
    with pytest.raises(DataUnsettled, match=r"Positive/late\.png"):
        taken(raw)


def test_files_that_were_read_before_are_not_read_again(
    raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look at ten thousand films every five minutes would read the disk all day."""
    long_ago = time.time() - 60
    for path in raw.rglob("*.*"):
        os.utime(path, (long_ago, long_ago))
    scan_cache = raw.parent / "cache"
    monkeypatch.setattr("ml_tasks.dataset.seen_files._TICK", -1.0)  # their ctime is of just now
    take_snapshot(raw, raw.parent / "snapshots", scan_cache)
    read: list[Path] = []

    def noted(path: Path) -> str:
        read.append(path)
        return sha256_file(path)

    monkeypatch.setattr(announcement, "sha256_file", noted)
    take_snapshot(raw, raw.parent / "snapshots", scan_cache)
    assert [path for path in read if raw in path.parents] == []


def test_an_empty_or_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        taken(tmp_path / "raw")
    (tmp_path / "raw" / "Positive").mkdir(parents=True)
    with pytest.raises(DataError, match="holds no images"):
        taken(tmp_path / "raw")


def test_fewer_images_than_announced_are_refused(raw: Path) -> None:
    there = len(list(raw.glob("*/*.png")))
    assert scanned(raw, None, announced_images=there) == scanned(raw, None)
    with pytest.raises(DataError, match=f"announced {there + 12} images, found {there} in .*copy"):
        scanned(raw, None, announced_images=there + 12)


def test_the_hash_of_the_data_depends_on_what_decides_and_on_nothing_else(raw: Path) -> None:
    first = data_sha256(scanned(raw, None), raw)
    moved = shutil.copytree(raw, raw.parent / "elsewhere")
    assert data_sha256(reversed(scanned(moved, None)), moved) == first
    metadata = moved / "metadata.csv"
    before = metadata.read_text()
    metadata.write_text(before.replace("P001,", "P901,") + "\n")
    assert data_sha256(scanned(moved, None), moved) != first
    metadata.write_text(before)
    add_film(moved, "Positive/P001.png")
    assert data_sha256(scanned(moved, None), moved) != first
