"""The tables: the same rows in both forms, no formula in the CSV, every name recoverable."""

from __future__ import annotations

import csv
from pathlib import Path

import pyarrow.parquet
import pytest

from ml_tasks.scoring import tables
from ml_tasks.scoring.plan import BatchPlan
from ml_tasks.scoring.rows import ScoredRow
from ml_tasks.scoring.tables import COLUMNS, CSV_FILE, PARQUET_FILE, no_formula, open_tables

PLAN = BatchPlan(
    name="b",
    folder="/films",
    planned_at="2026-01-02T03:04:05+00:00",
    version="V1",
    digest="sha256:1",
    proof="a test says so",
    positive="Positive",
    negative="Negative",
    threshold=0.25,
    images=4,
    size=4,
    chunk=2,
    chunks=2,
    shards=1,
    format="both",
    listing_sha256="ab",
    left_out={},
    left_out_names={},
)
NAMES = (
    "plain.png",
    "=HYPERLINK(1).png",
    "+1.png",
    "-1.png",
    "@sum.png",
    "\ttab.png",
    "\nline.png",
    "'quoted.png",
    'a "quote", and; more.png',
    "日本/😀.png",
    "no utf-8 \\udcff.png",
)


def rows() -> list[ScoredRow]:
    answered = [
        ScoredRow(
            file=name,
            sha256="cd" * 32,
            probability=0.1 + 0.2,
            prediction="Positive",
            quality=("blank", "cropped"),
        )
        for name in NAMES
    ]
    return [*answered, ScoredRow(file="bad.png", error_code="unreadable", error="=cut off")]


def write(folder: Path, form: str) -> None:
    with open_tables(folder, PLAN.model_copy(update={"format": form})) as opened:
        for row in rows():
            for table in opened:
                table.add([row])


def test_both_tables_say_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_GROUP", 5)  # several groups of rows, and a rest
    write(tmp_path, "both")
    with (tmp_path / CSV_FILE).open(encoding="utf-8", newline="") as stream:
        from_csv = [list(row.values()) for row in csv.DictReader(stream)]
    table = pyarrow.parquet.read_table(tmp_path / PARQUET_FILE)
    assert tuple(table.column_names) == COLUMNS
    expected = [
        ["" if cell is None else str(no_formula(cell)) for cell in row.values()]
        for row in table.to_pylist()
    ]
    assert from_csv == expected
    assert [row["file"] for row in table.to_pylist()] == [*NAMES, "bad.png"]
    assert table.column("probability").to_pylist()[0] == 0.1 + 0.2, "to the last bit"
    assert table.schema.metadata[b"version"] == b"V1"


def test_no_cell_of_the_csv_is_a_formula_and_one_apostrophe_gives_the_name_back(
    tmp_path: Path,
) -> None:
    """Spreadsheets run what begins with one of these signs: a file name could send data away."""
    write(tmp_path, "csv")
    with (tmp_path / CSV_FILE).open(encoding="utf-8", newline="") as stream:
        found = list(csv.DictReader(stream))
    for row in found:
        assert not any(
            cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for cell in row.values()
        )
    names = [row["file"][1:] if row["file"].startswith("'") else row["file"] for row in found]
    assert names == [*NAMES, "bad.png"]
    assert found[-1]["error"] == "'=cut off"


@pytest.mark.parametrize(("form", "file"), [("csv", CSV_FILE), ("parquet", PARQUET_FILE)])
def test_only_the_wanted_table_is_written(tmp_path: Path, form: str, file: str) -> None:
    write(tmp_path, form)
    assert [path.name for path in tmp_path.iterdir()] == [file]
