"""The results as files: one row for each image, as CSV and as Parquet, written chunk by chunk."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

from ml_tasks.scoring.plan import BatchPlan
from ml_tasks.scoring.rows import ScoredRow

CSV_FILE, PARQUET_FILE = "predictions.csv", "predictions.parquet"
COLUMNS = (
    "file",
    "probability",
    "class",
    "positive_class",
    "threshold",
    "version",
    "quality_warnings",
    "error_code",
    "error",
    "sha256",
)
_NUMBERS = ("probability", "threshold")
_GROUP = 2_000  # rows that Parquet keeps together, and that stand in memory
# A spreadsheet takes a text that begins so for a formula, and would run it. The apostrophe is among
# them so that taking one off gives every name back.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "'")


class Table(Protocol):
    """A file that grows by rows."""

    def add(self, rows: Sequence[ScoredRow]) -> None: ...


@contextmanager
def open_tables(folder: Path, plan: BatchPlan) -> Iterator[list[Table]]:
    """The tables that the plan asks for, complete once the block has ended well."""
    with ExitStack() as files:
        tables: list[Table] = []
        if plan.format in ("csv", "both"):
            tables.append(files.enter_context(_csv_table(folder / CSV_FILE, plan)))
        if plan.format in ("parquet", "both"):
            tables.append(files.enter_context(_parquet_table(folder / PARQUET_FILE, plan)))
        yield tables


def cells(row: ScoredRow, plan: BatchPlan) -> tuple[str | float | None, ...]:
    """A row in the order of COLUMNS."""
    return (
        row.file,
        row.probability,
        row.prediction,
        plan.positive,
        plan.threshold,
        plan.version,
        ";".join(row.quality),
        row.error_code,
        row.error,
        row.sha256,
    )


def no_formula(cell: str | float | None) -> str | float | None:
    """A cell that no spreadsheet runs: an apostrophe stands before a text that begins like one."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


class _CsvTable:
    def __init__(self, writer: Any, plan: BatchPlan) -> None:
        self._writer, self._plan = writer, plan

    def add(self, rows: Sequence[ScoredRow]) -> None:
        for row in rows:
            self._writer.writerow([no_formula(cell) for cell in cells(row, self._plan)])


@contextmanager
def _csv_table(path: Path, plan: BatchPlan) -> Iterator[Table]:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerow(COLUMNS)
        yield _CsvTable(writer, plan)


class _ParquetTable:
    def __init__(self, writer: Any, schema: Any, plan: BatchPlan) -> None:
        self._writer, self._schema, self._plan = writer, schema, plan
        self._waiting: list[tuple[str | float | None, ...]] = []

    def add(self, rows: Sequence[ScoredRow]) -> None:
        for row in rows:
            self._waiting.append(cells(row, self._plan))
            if len(self._waiting) == _GROUP:
                self.flush()

    def flush(self) -> None:
        import pyarrow

        if self._waiting:
            columns = [list(column) for column in zip(*self._waiting, strict=True)]
            self._writer.write_table(pyarrow.table(columns, schema=self._schema))
            self._waiting.clear()


@contextmanager
def _parquet_table(path: Path, plan: BatchPlan) -> Iterator[Table]:
    import pyarrow
    import pyarrow.parquet

    kinds = {name: pyarrow.float64() if name in _NUMBERS else pyarrow.string() for name in COLUMNS}
    schema = pyarrow.schema(
        [pyarrow.field(name, kind, nullable=name == "probability") for name, kind in kinds.items()],
        metadata={"version": plan.version, "digest": plan.digest},
    )
    # Opened here, so that a full disk is Python's own error, with its number.
    with path.open("wb") as stream, pyarrow.parquet.ParquetWriter(stream, schema) as writer:
        table = _ParquetTable(writer, schema, plan)
        yield table
        table.flush()


def files_of(plan: BatchPlan) -> tuple[str, ...]:
    """The names of a batch's tables."""
    wanted = {"csv": (CSV_FILE,), "parquet": (PARQUET_FILE,), "both": (CSV_FILE, PARQUET_FILE)}
    return wanted[plan.format]
