"""Scanning the raw folder: what is used, what is set aside and why, what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from ml_tasks.config import DataConfig
from ml_tasks.dataset.manifest import ManifestRow, read_rows, write_rows
from ml_tasks.dataset.scan import class_folders
from ml_tasks.errors import DataError
from tests.builders import breast_shape, encoded, film, png_header, write_csv, write_raw
from tests.builders import scanned as films_of


def scanned(raw: Path, **settings: object) -> dict[str, ManifestRow]:
    config = DataConfig.model_validate(settings)
    rows, _ = films_of(raw, config)
    assert [row.path for row in rows] == sorted(row.path for row in rows)
    return {row.path: row for row in rows}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return write_raw(tmp_path / "raw", patients=4, metadata=False)


def test_a_row_holds_the_figures_of_its_file(raw: Path) -> None:
    row = scanned(raw)["Positive/P001.png"]
    assert row.usable and row.reason == ""
    assert (row.label, row.format, row.mode, row.bit_depth) == ("Positive", "PNG", "L", 8)
    assert (row.width, row.height) == (160, 200)
    assert row.bytes == (raw / row.path).stat().st_size
    breast = film(1, lesion=True)[breast_shape()]
    assert row.brightness == pytest.approx(breast.mean(), abs=3)
    assert row.contrast == pytest.approx(breast.std(), abs=3)
    assert row.breast_share == pytest.approx(breast_shape().mean(), abs=0.1)
    assert row.chest_wall == "left"
    assert (row.inverted, row.framed, row.label_blobs) == (False, False, 0)


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_film_that_hangs_otherwise_than_the_rest_is_marked(raw: Path, mirrored: bool) -> None:
    """Mirrored or mislabelled; a whole set that hangs the other way is only another custom."""
    rows = []
    for number in range(8):
        label = "Positive" if number % 2 else "Negative"
        turned = (number >= 4) != mirrored
        pixels = film(number)[:, ::-1] if turned else film(number)
        (raw / label / f"P{number:03}.png").write_bytes(encoded(np.ascontiguousarray(pixels)))
        side = "LEFT" if number < 4 else "r"
        rows.append(
            {
                "file": f"{label}/P{number:03}.png",
                "patient_id": str(number),
                "laterality": "R" if number == 1 else side,
            }
        )
    write_csv(raw / "metadata.csv", rows)
    found = scanned(raw)
    assert [path for path, row in found.items() if row.laterality_mismatch] == ["Positive/P001.png"]
    assert found["Positive/P005.png"].laterality == "R"


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("zero.png", b"", "the file is empty (0 bytes)"),
        ("cut.png", encoded(film(50))[:3000], "the file is cut off after"),
        ("text.png", b"not an image at all", "not a readable image"),
        ("bomb.png", png_header(60000, 60000), "the header claims 60000x60000 pixels"),
        ("tiny.png", encoded(film(50)[:8, :8]), "8x8 pixels; each side needs at least 16"),
        ("blank.png", encoded(np.full((200, 160), 90, np.uint8)), "no breast stands out"),
        ("notes.txt", b"read me", "not an image file by its name"),
        ("no_suffix", encoded(film(50)), "not an image file by its name"),
    ],
)
def test_a_bad_file_is_set_aside_with_its_reason(
    raw: Path, name: str, data: bytes, reason: str
) -> None:
    (raw / "Positive" / "deeper").mkdir()
    (raw / "Positive" / "deeper" / name).write_bytes(data)
    rows = scanned(raw)
    row = rows.pop(f"Positive/deeper/{name}")
    assert row.status == "quarantined"
    assert reason in row.reason
    assert all(other.usable for other in rows.values())
    assert (raw / "Positive" / "deeper" / name).read_bytes() == data


def test_a_link_out_of_the_folder_is_not_followed(raw: Path, tmp_path: Path) -> None:
    """Else a file of another study, or /etc/passwd, becomes training data."""
    (tmp_path / "other.png").write_bytes(encoded(film(60)))
    (raw / "Positive" / "out.png").symlink_to(tmp_path / "other.png")
    (raw / "Positive" / "dangling.png").symlink_to(raw / "nowhere.png")
    (raw / "Positive" / "folder").symlink_to(tmp_path)
    rows = scanned(raw)
    for name in ("out.png", "dangling.png", "folder"):
        assert "a link to nothing, to itself or to outside" in rows[f"Positive/{name}"].reason
    assert "Positive/folder/other.png" not in rows


def test_a_name_that_is_no_text_is_set_aside(raw: Path) -> None:
    """Names from old archives are bytes in some other encoding: no manifest can hold them."""
    (raw / "Positive" / os.fsdecode(b"f\xfcr.png")).write_bytes(encoded(film(61)))
    rows = scanned(raw)
    row = rows["Positive/f\\udcfcr.png"]
    assert "its name is not UTF-8; rename it" in row.reason


def test_hidden_files_are_passed_over(raw: Path) -> None:
    (raw / "Positive" / ".DS_Store").write_bytes(b"x")
    (raw / ".cache").mkdir()
    assert len(scanned(raw)) == 4


def test_a_copy_within_a_class_is_set_aside(raw: Path) -> None:
    """Also under another file format: the pixels decide."""
    (raw / "Positive" / "copy.tif").write_bytes(encoded(film(1, lesion=True), "TIFF"))
    rows = scanned(raw)
    assert rows["Positive/P001.png"].reason == "" or rows["Positive/copy.tif"].reason == ""
    assert rows["Positive/copy.tif"].reason == "same picture as Positive/P001.png"


def test_a_copy_under_the_other_class_is_kept_for_validation_to_refuse(raw: Path) -> None:
    (raw / "Negative" / "copy.png").write_bytes(encoded(film(1, lesion=True)))
    rows = scanned(raw)
    assert rows["Negative/copy.png"].usable and rows["Positive/P001.png"].usable


def test_a_manifest_reads_back_the_same(raw: Path, tmp_path: Path) -> None:
    (raw / "Positive" / 'comma, "quote" and\nline.png').write_bytes(encoded(film(62)))
    (raw / "Positive" / "zero.png").touch()
    rows = list(scanned(raw).values())
    first = write_rows(tmp_path / "manifest.csv", rows, ManifestRow)
    assert read_rows(tmp_path / "manifest.csv", ManifestRow) == rows
    assert write_rows(tmp_path / "again.csv", rows, ManifestRow) == first


@pytest.mark.parametrize(
    ("folders", "says"),
    [
        (None, r"the data folder .* does not exist; put the images into .*/<Class>/"),
        ([], "holds no class folder; put the images into"),
        (["Positive"], r"holds 1 class folder\(s\) \(Positive\); exactly two are needed"),
        (["A", "B", "Positive"], r"holds 3 class folder\(s\) \(A, B, Positive\)"),
        (["Benign", "Malignant"], "data.positive is 'Positive', but the classes .* are Benign and"),
    ],
)
def test_another_layout_is_refused_by_name(
    tmp_path: Path, folders: list[str] | None, says: str
) -> None:
    if folders is not None:
        (tmp_path / "raw").mkdir()
        for name in folders:
            (tmp_path / "raw" / name).mkdir()
    with pytest.raises(DataError, match=says):
        class_folders(tmp_path / "raw", "Positive")


def test_other_class_names_work(tmp_path: Path) -> None:
    for name in ("malignant", "benign"):
        (tmp_path / name).mkdir()
    assert class_folders(tmp_path, "malignant") == ("benign", "malignant")


def test_an_empty_class_folder_is_named(raw: Path) -> None:
    for file in (raw / "Negative").iterdir():
        file.unlink()
    with pytest.raises(DataError, match=r"class folder .*Negative is empty; both classes need"):
        scanned(raw)
