"""Tables with any text in them: an importer refuses, or writes the films and nothing elsewhere."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_tasks.dataset.importers.data_sets import import_data_set
from ml_tasks.dataset.importers.labelled_folder import import_images
from ml_tasks.errors import DataError
from tests.counts import cases

SECRET = b"nobody may copy this"
HOSTILE = (
    "../secret.png",
    "images/../../secret.png",
    "/etc/passwd",
    "link.png",
    ".",
    "..",
    "metadata.csv",
    "lesions.csv",
    "Negative/../../../out",
    "Mass-Test_P_00016_LEFT_CC/../../secret.png",
    "Mass-Test_P_00016_LEFT_CC",
    "..\\..\\secret.png",
    "a\nb",
    "x" * 300,
    "x/" * 3000,
)
words = st.sampled_from(
    [*HOSTILE, "0.png", "1.png", "Negative", "Positive", "10006", "0"]
) | st.text(st.characters(codec="utf-8"), max_size=12)

labels = st.sampled_from(["Negative", "Positive"])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """source/ with two images, a link out of it and a file beside it that must stay where it is."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "secret.png").write_bytes(SECRET)
    cases_of_cbis = ("Mass-Test_P_00016_LEFT_CC", "Mass-Test_P_00017_RIGHT_CC")
    for name in ("images", "train_images/10006", *cases_of_cbis):
        below = folder / "source" / name
        below.mkdir(parents=True)
        (below / "0.png").write_bytes(b"0")
        (below / "link.png").symlink_to(folder / "secret.png")
    for name in ("images", "train_images/10006"):
        (folder / "source" / name / "1.png").write_bytes(b"1")
    for name in ("train_images/10006/7.png", "Mass-Test_P_00018_LEFT_MLO/1.png"):
        (folder / "source" / name).parent.mkdir(exist_ok=True)
        (folder / "source" / name).symlink_to(folder / "secret.png")
    return folder


def write_table(path: Path, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([columns, *rows])


def check(place: Path) -> None:
    """Nothing new outside of the new folder, nothing in it from outside of the source."""
    assert sorted(path.name for path in place.iterdir() if path.name != "raw") == [
        "secret.png",
        "source",
    ]
    assert (place / "secret.png").read_bytes() == SECRET
    for path in sorted((place / "raw").rglob("*"), reverse=True):
        assert not path.is_symlink()
        if path.is_file():
            assert SECRET not in path.read_bytes()
            path.unlink()
        else:
            path.rmdir()


@settings(max_examples=cases(150, 5000), deadline=None)
@given(rows=st.lists(st.tuples(words, labels | words, words), max_size=2))
def test_a_labelled_folder(place: Path, rows: list[tuple[str, ...]]) -> None:
    table = place / "source" / "labels.csv"
    known = [("0.png", "Negative", "P0"), ("1.png", "Positive", "P1")]
    write_table(table, ("file", "label", "patient_id"), [*known, *rows])
    try:
        done = import_images(place / "source" / "images", table, place / "raw")
    except DataError:
        assert not any((place / "raw").glob("*"))
    else:
        assert sum(done.films.values()) == len([*known, *rows])
    check(place)


@settings(max_examples=cases(100, 5000), deadline=None)
@given(rows=st.lists(st.tuples(words, words, words, words, words), max_size=1))
def test_rsna(place: Path, rows: list[tuple[str, ...]]) -> None:
    columns = ("patient_id", "image_id", "laterality", "view", "cancer")
    linked = ("10006", "7", "L", "CC", "0")
    known = [("10006", "0", "L", "CC", "0"), ("10006", "1", "R", "CC", "1"), linked]
    write_table(place / "source" / "train.csv", columns, [*known, *rows])
    try:
        import_data_set("rsna", place / "source", place / "raw")
    except DataError:
        assert not any((place / "raw").glob("*"))
    check(place)


@settings(max_examples=cases(100, 5000), deadline=None)
@given(paths=st.lists(st.tuples(words, words), max_size=2))
def test_cbis_ddsm(place: Path, paths: list[tuple[str, str]]) -> None:
    columns = ("patient_id", "left or right breast", "image view", "pathology")
    known = "Mass-Test_P_00016_LEFT_CC", "Mass-Test_P_00016_LEFT_CC_1"
    other = "P_00017", "RIGHT", "CC", "MALIGNANT", "Mass-Test_P_00017_RIGHT_CC", "/etc"
    linked = "P_00018", "LEFT", "MLO", "MALIGNANT", "Mass-Test_P_00018_LEFT_MLO", "/etc"
    rows = [("P_00016", "LEFT", "CC", "BENIGN", *pair) for pair in [known, *paths]]
    write_table(
        place / "source" / "mass_case_description_test_set.csv",
        (*columns, "image file path", "ROI mask file path"),
        [other, linked, *rows],
    )
    try:
        done = import_data_set("cbis-ddsm", place / "source", place / "raw")
    except DataError:
        assert not any((place / "raw").glob("*"))
    else:
        assert (done.films, done.lesions) == ({"Negative": 1, "Positive": 1}, 0)
    check(place)
