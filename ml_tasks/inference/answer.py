"""What is answered for one image: the class, how sure, by which rule, and what to be wary of."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from ml_tasks.records import Record

# From which calibrated confidence on an answer is called so; below the last it is "low".
CONFIDENCE_WORDS = ((0.95, "very high"), (0.80, "high"), (0.65, "moderate"))
_LEAST_WORDS = "low"

Share = Field(ge=0, le=1)


class Quality(StrEnum):
    """What may make an answer worth less than it looks."""

    BLANK = "blank"
    INVERTED = "inverted"
    UNLIKE_TRAINING = "unlike_training"
    CROPPED = "cropped"
    LOW_RESOLUTION = "low_resolution"


class QualityWarning(Record):
    """One reason to look at the image before believing the answer."""

    code: Quality
    text: str


class Prediction(Record):
    """The answer for one image; `confidence` is the probability of the class that was named.

    Probability and threshold are calibrated.
    """

    prediction: str
    confidence: float = Share
    probability: float = Share
    threshold: float = Share
    model_version: str


class Answer(Record):
    """The whole answer for one image; pictures are base64 of PNG files."""

    status: Literal["answered"] = "answered"
    prediction: str = Field(description="the class that is named")
    probability: float = Field(ge=0, le=1, description="calibrated, of the positive class")
    confidence: float = Field(ge=0, le=1, description="calibrated, of the class that is named")
    confidence_words: Literal["very high", "high", "moderate", "low"]
    threshold: float = Field(
        ge=0, le=1, description="from which probability on the positive class is named"
    )
    threshold_rule: str = Field(description="by which the threshold was chosen")
    positive_class: str
    quality: tuple[QualityWarning, ...] = ()
    picture: str | None = Field(None, description="the cleaned picture, grey, as base64 of a PNG")
    activation_map: str | None = Field(
        None,
        description="places that speak for the positive class (orange) and against it (blue), "
        "to be laid over the picture: RGBA, as base64 of a PNG",
    )


def in_words(confidence: float) -> Literal["very high", "high", "moderate", "low"]:
    """A calibrated confidence (0-1) as a word."""
    for least, words in CONFIDENCE_WORDS:
        if confidence >= least:
            return words  # type: ignore[return-value]
    return _LEAST_WORDS  # type: ignore[return-value]
