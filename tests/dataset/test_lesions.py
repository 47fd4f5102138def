"""lesions.csv: read by file, faulty rows refused with their line, unknown files a warning."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_tasks.dataset.lesions import Lesion, read_lesions, unknown_files, write_lesions
from ml_tasks.errors import DataError
from tests.counts import cases

FIRST = Lesion(file="Positive/a.png", x=10, y=20.5, radius=3)
SECOND = Lesion(file="Positive/a.png", x=1, y=2, radius=0.5)
OTHER = Lesion(file="Positive/b, c.png", x=0, y=0, radius=7)


def test_lesions_are_given_by_file_in_their_order(tmp_path: Path) -> None:
    write_lesions(tmp_path / "lesions.csv", [FIRST, OTHER, SECOND])
    assert (tmp_path / "lesions.csv").read_text().startswith("file,x,y,radius\n")
    assert read_lesions(tmp_path) == {FIRST.file: (FIRST, SECOND), OTHER.file: (OTHER,)}


def test_a_folder_without_annotations_has_no_lesions(tmp_path: Path) -> None:
    assert read_lesions(tmp_path) == {}


coordinates = st.floats(min_value=-0.5, max_value=1e5)


@settings(max_examples=cases(50, 2000), deadline=None)
@given(
    drawn=st.lists(
        st.builds(
            Lesion,
            file=st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1)
            .map(str.strip)
            .filter(bool),
            x=coordinates,
            y=coordinates,
            radius=st.floats(min_value=1e-3, max_value=1e5),
        )
    )
)
def test_what_was_written_is_read_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[Lesion]
) -> None:
    folder = tmp_path_factory.mktemp("raw")
    write_lesions(folder / "lesions.csv", drawn)
    found = read_lesions(folder)
    assert sorted(map(repr, drawn)) == sorted(repr(one) for each in found.values() for one in each)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("file,x,y\na,1,2\n", r"lesions\.csv lacks the column\(s\) radius; it has file, x, y"),
        ("file,x,y,radius\na,1,2,3\na,left,2,3\n", "line 3: x is 'left'; file, x, y and radius"),
        ("file,x,y,radius\na,1,,3\n", "line 2: y is ''"),
        ("file,x,y,radius\n,1,2,3\n", "line 2: file is ''"),
        ("file,x,y,radius\na,1,2,0\n", "line 2: radius is '0'; .* the radius above 0"),
        ("file,x,y,radius\na,-7,2,3\n", "line 2: x is '-7'"),
        ("file,x,y,radius\na,1,nan,3\n", "line 2: y is 'nan'"),
        ("file,x,y,radius\na,1,2,inf\n", "line 2: radius is 'inf'"),
        ("file,x,y,radius\na,1,2,3,4\n", "line 2 has more fields than the first line"),
    ],
)
def test_faulty_lesions_are_refused_with_the_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "lesions.csv").write_text(text)
    with pytest.raises(DataError, match=says):
        read_lesions(tmp_path)


def test_lesions_of_files_that_are_not_there_are_a_warning() -> None:
    lesions = {FIRST.file: (FIRST,), OTHER.file: (OTHER,)}
    assert unknown_files(lesions, [FIRST.file, OTHER.file]) is None
    warning = unknown_files(lesions, [FIRST.file])
    assert warning is not None
    assert "1 file(s) that are not there, e.g. Positive/b, c.png" in warning
