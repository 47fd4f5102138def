"""`mammo import` as a user types it: a public data set by its name, or a labelled folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_tasks.dataset.importers.data_sets import KINDS, import_data_set
from ml_tasks.errors import DataError
from tests.dataset.test_importer_mini_mias import INFO, write_films
from tests.test_cli import typed


def test_a_public_data_set_is_imported_by_its_name(tmp_path: Path) -> None:
    write_films(tmp_path / "mias", "PPM", (1, 6))
    (tmp_path / "mias" / "Info.txt").write_text(INFO)
    words = ("--kind", "mini-mias", "--from", tmp_path / "mias", "--output", tmp_path / "raw")
    done = typed("import", *words)
    assert done.returncode == 0
    assert done.stdout == (
        f"{tmp_path / 'raw'}: 1 Negative, 1 Positive of 2 patients, 1 lesion(s); "
        "4 left out, see not_imported.csv\n"
    )
    again = typed("import", *words)
    assert again.returncode == 1
    assert "name another output folder" in again.stderr and "Traceback" not in again.stderr


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--kind", "rsna"),
        ("--from", "rsna"),
        ("--images", "images"),
        ("--kind", "rsna", "--from", "rsna", "--images", "images", "--labels", "labels.csv"),
    ],
)
def test_options_that_do_not_go_together_are_refused(words: tuple[str, ...]) -> None:
    done = typed("import", *words)
    assert done.returncode == 2
    assert "import takes --kind and --from, or --images and --labels" in done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_folder_is_no_data_set(tmp_path: Path, kind: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty holds no(ne of)? .*; name the folder "):
        import_data_set(kind, tmp_path / "empty", tmp_path / "raw")
    with pytest.raises(DataError, match="no folder; name the one that holds"):
        import_data_set(kind, tmp_path / "none", tmp_path / "raw")


def test_an_unknown_data_set_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'inbreast' is no known data set; known are mini-mias, "):
        import_data_set("inbreast", tmp_path, tmp_path.parent / "raw")
