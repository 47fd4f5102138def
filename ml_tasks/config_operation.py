"""The settings of everyday operation: who decides, batch scoring, drift, retention, notices."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, ValidationError, field_validator

from ml_tasks.config_section import Section
from ml_tasks.errors import ConfigError

# Shorter than a week: a waiting run holds up the next one of the schedule.
LONGEST_WAIT_HOURS = 144.0


class ApprovalConfig(Section):
    """When a person is asked before a judged model becomes an image."""

    ask: Literal["always", "when_inconclusive", "never"] = "when_inconclusive"
    timeout_hours: float = Field(72, gt=0, le=LONGEST_WAIT_HOURS)  # then it counts as rejected


class ScoringConfig(Section):
    """How a folder of images is scored with the production release."""

    chunk: int = Field(200, ge=1, le=10_000)  # images that are committed together
    shards: int = Field(2, ge=1, le=1000)  # tasks that work side by side, one for each worker
    threads: int = Field(0, ge=0, le=256)  # images at once in a shard; 0: shards share the cores
    format: Literal["csv", "parquet", "both"] = "both"


class DriftConfig(Section):
    """When images and scores of the service count as unlike those of the training."""

    window_days: float = Field(7, gt=0, le=366)  # of the service's log that is looked at
    min_images: int = Field(100, ge=10)  # fewer prove nothing
    max_drifted_share: float = Field(0.3, gt=0, le=1)  # of the figures
    # Distances are Wasserstein's, in standard deviations of the release's own images.
    figure_distance: float = Field(0.2, gt=0)  # above it a figure counts as drifted
    max_score_distance: float = Field(0.2, gt=0)  # of the probabilities
    positive_share: float | None = Field(None, gt=0, lt=1)  # of the service's; None: as trained on
    images_per_patient: int = Field(4, ge=1, le=20)  # so alike that they count as one
    cooldown_days: float = Field(14, ge=0, le=366)  # between two suggestions
    retrain: bool = False  # true: asks for the retraining itself; false: only suggests it


class HousekeepingConfig(Section):
    """What may go; never what serves, what stood before it, or what they were made of."""

    keep_runs: int = Field(10, ge=1)  # the newest runs' folders
    keep_releases: int = Field(5, ge=1)  # the newest releases' images
    keep_days: float = Field(90, ge=1, le=36_500)  # runs and logs younger than this stay
    remove: bool = False  # false: only says what may go


class NotificationsConfig(Section):
    """Who is told of failures, verdicts, approval requests and lateness; off by default."""

    connection: str | None = Field(None, min_length=1)  # id of an Airflow connection
    events: tuple[Literal["failure", "verdict", "approval", "late", "drift"], ...] = (
        "failure",
        "verdict",
        "approval",
        "late",
        "drift",
    )
    to: tuple[str, ...] = ()  # e-mail addresses, where the connection is one of type smtp

    @field_validator("to")
    @classmethod
    def _addresses(cls, to: tuple[str, ...]) -> tuple[str, ...]:
        for address in to:
            if address.count("@") != 1 or any(sign.isspace() for sign in address):
                raise ValueError(f"holds {address!r}; an address is name@host")
        return to


def load_notifications(path: Path) -> NotificationsConfig:
    """Only this section of config.yaml: a mistake elsewhere in it must not silence its own notice.

    Raises:
        ConfigError: the file is no YAML, or the section is wrong.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        section = content.get("notifications") if isinstance(content, dict) else None
        return NotificationsConfig.model_validate(section or {})
    except (OSError, ValueError, yaml.YAMLError, ValidationError) as error:
        raise ConfigError(f"{path}: notifications cannot be read ({error})") from None
