"""Reading CSV files that people and other programs wrote: columns checked, lines counted."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ml_tasks.errors import DataError


@dataclass(frozen=True)
class TableRow:
    """One row: its cells by column, without blanks around them, and the line it ends on."""

    cells: dict[str, str]
    line: int

    def __getitem__(self, column: str) -> str:
        return self.cells.get(column, "")


@dataclass(frozen=True)
class Table:
    """A CSV file's columns and rows."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]

    def problem(self, row: TableRow, text: str) -> DataError:
        """An error that names the file and the line."""
        return DataError(f"{self.path} line {row.line}: {text}")


def read_table(path: Path, required: Sequence[str], aka: dict[str, str] | None = None) -> Table:
    """Reads a CSV file; a column named as a key of `aka` counts as the one it stands for.

    Raises:
        DataError: the file does not exist, is no UTF-8 text or no CSV, lacks a column of
            `required`, or has a row that is longer than its first line.
    """
    names = aka or {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream)
            columns = [names.get(name.strip(), name.strip()) for name in next(reader, [])]
            missing = [name for name in required if name not in columns]
            if missing:
                raise DataError(
                    f"{path} lacks the column(s) {', '.join(missing)}; "
                    f"it has {', '.join(columns) or 'none'}: correct the names in its first line"
                )
            rows = [_row(path, columns, cells, reader.line_num) for cells in reader if cells]
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is no UTF-8 text; save it as CSV UTF-8") from None
    except csv.Error as error:
        raise DataError(f"{path} is no CSV file ({error})") from None
    return Table(path, tuple(columns), tuple(rows))


def _row(path: Path, columns: list[str], cells: list[str], line: int) -> TableRow:
    if len(cells) > len(columns):
        raise DataError(f"{path} line {line} has more fields than the first line")
    return TableRow({name: cell.strip() for name, cell in zip(columns, cells, strict=False)}, line)
