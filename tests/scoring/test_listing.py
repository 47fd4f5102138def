"""The listing: every file once, in one order, whatever it is called and however many there are."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from ml_tasks.errors import DataError
from ml_tasks.scoring import listing
from ml_tasks.scoring.listing import Listed, listing_of, read_chunk, write_listing

HOSTILE = (
    "new\nline \r tab\t.png",
    "ü ñ 日本 😀 .. a..png",
    "-rf *.png",
    "=1+1.png",
    "<script>alert(1)<|script>.png",
    "\"'; drop.png",
    "back\\slash.png",
    "no suffix",
    "n" * 251 + ".png",
    os.fsdecode(b"no utf-8 \xff\xfe.png"),
)


def listed(folder: Path, work: Path, chunk: int = 3) -> list[Listed]:
    work.mkdir(exist_ok=True)
    made = write_listing(folder, work, chunk)
    found = [each for number in range(made.chunks) for each in read_chunk(work, number)]
    assert len(found) == made.images
    assert made.sha256 == listing_of(folder, chunk).sha256 == listing.listing_sha256(work)
    return found


def test_hostile_names_come_back_as_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "films"
    for name in HOSTILE:
        (folder / f"d-{name[:20]}").mkdir(parents=True, exist_ok=True)
        (folder / f"d-{name[:20]}" / name).write_bytes(b"x")
    found = listed(folder, tmp_path / "work")
    assert {Path(each.file).name for each in found} == set(HOSTILE)
    assert all(each.size == 1 for each in found)
    assert all(each.shown.encode() for each in found), "UTF-8 can hold every shown name"


@pytest.mark.parametrize("at_once", [1, 7, 1000])
def test_the_order_is_the_same_however_many_stand_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """Sorted runs on the disk are merged: their number must not show."""
    monkeypatch.setattr(listing, "_SORTED_AT_ONCE", at_once)
    folder = tmp_path / "films"
    names = [f"{number % 5}/{number:03}-é" for number in range(50)]
    random.Random(1).shuffle(names)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    found = [each.file for each in listed(folder, tmp_path / "work")]
    assert found == sorted(names, key=os.fsencode)


def test_what_is_left_out_is_counted_with_its_names(tmp_path: Path) -> None:
    folder = tmp_path / "films"
    (folder / ".thumbnails").mkdir(parents=True)
    (folder / ".thumbnails" / "a.png").touch()
    for name in ("a.png", ".b.png", "labels.CSV", "DICOMDIR", "notes.txt"):
        (folder / name).touch()
    (folder / "elsewhere").symlink_to("/etc")
    made = listing_of(folder, 3)
    assert made.images == 1
    assert made.left_out.counts == {"hidden": 2, "tables and texts": 3, "links to folders": 1}
    assert sorted(made.left_out.names["hidden"]) == [".b.png", ".thumbnails"]


def test_what_is_no_plain_file_is_listed_as_such(tmp_path: Path) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    (tmp_path / "secret.png").write_bytes(b"secret")
    (folder / "film.png").write_bytes(b"film")
    for name, target in (
        ("inside.png", "film.png"),
        ("out.png", "../secret.png"),
        ("loop.png", "loop.png"),
        ("nothing.png", "nowhere"),
    ):
        (folder / name).symlink_to(target)
    os.mkfifo(folder / "pipe.png")
    sizes = {each.file: each.size for each in listed(folder, tmp_path / "work")}
    none = dict.fromkeys(("out.png", "loop.png", "nothing.png", "pipe.png"))
    assert sizes == {"film.png": 4, "inside.png": 4, **none}


def test_a_folder_that_cannot_be_read_is_no_empty_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its films would be missing in the tables without a word. Root may read all: hence a file."""
    (tmp_path / "a.png").touch()
    with pytest.raises(DataError, match="cannot be read .* would be missing; give this user"):
        listing_of(tmp_path / "a.png", 3)
