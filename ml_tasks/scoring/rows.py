"""The rows of a batch: one for each file, kept by chunk in one file that is whole or missing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, ValidationError

from ml_tasks.errors import ImageRejected, ScoringError
from ml_tasks.inference.predictor import Judged
from ml_tasks.records import Record
from ml_tasks.scoring.listing import Listed
from ml_tasks.storage import write_bytes

LONGEST_ERROR = 500  # characters


class ScoredRow(Record):
    """What is said of one file: an answer, or why there is none."""

    file: str  # below the folder, with forward slashes, as UTF-8 can hold it
    sha256: str = ""  # of the file's bytes; empty where they could not be read
    probability: float | None = Field(None, ge=0, le=1)  # calibrated, of the positive class
    prediction: str = ""  # the class that is named
    quality: tuple[str, ...] = ()  # codes of `inference.answer.Quality`
    error_code: str = ""
    error: str = ""


class ChunkHead(Record):
    """The first line of a chunk's file."""

    plan: str  # hash of the plan's file
    chunk: int
    rows: int
    sha256: str  # of the lines that follow


def answered(planned: Listed, data: bytes, judged: Judged) -> ScoredRow:
    """The row of a file that the model answered."""
    return ScoredRow(
        file=planned.shown,
        sha256=hashlib.sha256(data).hexdigest(),
        probability=judged.prediction.probability,
        prediction=judged.prediction.prediction,
        quality=tuple(warning.code.value for warning in judged.answer.quality),
    )


def refused(planned: Listed, data: bytes | None, error: ImageRejected) -> ScoredRow:
    """The row of a file that could not be scored."""
    text = " ".join(str(error).encode("utf-8", "backslashreplace").decode().split())
    return ScoredRow(
        file=planned.shown,
        sha256="" if data is None else hashlib.sha256(data).hexdigest(),
        error_code=error.code,
        error=text[:LONGEST_ERROR],
    )


def write_chunk(path: Path, plan: str, chunk: int, rows: Sequence[ScoredRow]) -> None:
    """Writes the rows of a chunk in one step.

    Raises:
        StorageError: no space left; there is no such chunk then.
    """
    body = "".join(row.model_dump_json() + "\n" for row in rows).encode()
    head = ChunkHead(
        plan=plan, chunk=chunk, rows=len(rows), sha256=hashlib.sha256(body).hexdigest()
    )
    write_bytes(path, head.model_dump_json().encode() + b"\n" + body)


def read_chunk_rows(
    path: Path, plan: str, chunk: int, planned: Sequence[Listed]
) -> list[ScoredRow]:
    """The rows of a chunk, one for each planned file, in their order.

    Raises:
        ScoringError: the file is missing, damaged, or of another plan.
    """
    try:
        head, _, body = path.read_bytes().partition(b"\n")
        found = ChunkHead.model_validate(json.loads(head))
        rows = [ScoredRow.model_validate_json(line) for line in body.splitlines()]
    except (OSError, ValueError, ValidationError) as error:
        raise _damaged(path, type(error).__name__) from error
    if (found.plan, found.chunk) != (plan, chunk):
        raise _damaged(path, "it is of another plan")
    if hashlib.sha256(body).hexdigest() != found.sha256:
        raise _damaged(path, "its rows were altered")
    if [row.file for row in rows] != [each.shown for each in planned]:
        raise _damaged(path, "its rows are not those of the planned files")
    return rows


def _damaged(path: Path, why: str) -> ScoringError:
    return ScoringError(
        f"{path} cannot be used ({why}); remove it, and run score again: only its images are "
        "scored anew"
    )
