"""The settings of the gate: which rules a model is held to, and how strict they are."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from ml_tasks.config_section import Section

SPECIFICITIES = (0.8, 0.9, 0.95)  # those that every evaluation tells the sensitivity at


class SensitivityAtSpecificity(Section):
    """The least sensitivity of the threshold that leaves so many negatives alone."""

    specificity: float = 0.8
    min: float = Field(ge=0, le=1)

    @field_validator("specificity")
    @classmethod
    def _one_that_is_computed(cls, specificity: float) -> float:
        if specificity not in SPECIFICITIES:
            raise ValueError(f"must be one of {', '.join(map(str, SPECIFICITIES))}")
        return specificity


class SliceMinima(Section):
    """The least a model must reach in each slice of the test patients that is large enough."""

    min_auc: float | None = Field(None, ge=0, le=1)
    min_sensitivity: float | None = Field(None, ge=0, le=1)
    min_patients: int = Field(30, ge=2)

    @model_validator(mode="after")
    def _asks_for_something(self) -> SliceMinima:
        if self.min_auc is None and self.min_sensitivity is None:
            raise ValueError("asks for nothing: give min_auc or min_sensitivity, or write null")
        return self


class NonInferiority(Section):
    """How much worse than the production model a new one may be at most."""

    metric: Literal["auc", "sensitivity", "specificity", "accuracy"] = "auc"
    margin: float = Field(0.05, gt=0, lt=0.5)


class GatePolicy(Section):
    """The least a model must reach on the test patients to be shipped."""

    min_accuracy: float = Field(0.80, ge=0, le=1)
    min_auc: float = Field(0.80, ge=0, le=1)
    min_sensitivity: float = Field(0.75, ge=0, le=1)
    sensitivity_at_specificity: SensitivityAtSpecificity | None = None
    max_ece: float | None = Field(0.25, gt=0, le=1)
    max_control_auc: float | None = Field(0.70, ge=0.5, le=1)
    slices: SliceMinima | None = None
    non_inferiority: NonInferiority | None = NonInferiority()
    first_model: Literal["minima", "ask"] = "minima"
