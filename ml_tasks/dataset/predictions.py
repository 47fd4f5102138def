"""The evaluated answers: one row for each validation and test image, to the last bit."""

from __future__ import annotations

from pydantic import Field

from ml_tasks.records import Record, Split


class PredictionRow(Record):
    """What the shipped ONNX model answers for one raw file."""

    raw: str  # below the raw folder, with forward slashes
    label: str
    patient: str
    split: Split
    probability: float = Field(ge=0, le=1)  # of the positive class; CSV keeps every digit
