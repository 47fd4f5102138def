"""What is answered with status 200: the replies, as they stand in the OpenAPI document too."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ml_tasks.inference.answer import Answer
from ml_tasks.records import Record


class Refused(Record):
    """One file of several that is no usable image."""

    status: Literal["refused"] = "refused"
    error: str
    detail: str


class PredictReply(Record):
    """The answers of /v1/predict, in the order in which the files were sent."""

    model_version: str
    notice: str
    results: tuple[Annotated[Answer | Refused, Field(discriminator="status")], ...]


class Health(Record):
    """The process is up; says nothing of the model."""

    status: Literal["ok"] = "ok"


class Ready(Record):
    """The model is loaded."""

    status: Literal["ready"] = "ready"
    model_version: str
