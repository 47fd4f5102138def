"""config.yaml as typed, frozen settings: a refusal names the key, the value, what is allowed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from ml_tasks.config_gate import GatePolicy
from ml_tasks.config_operation import (
    ApprovalConfig,
    DriftConfig,
    HousekeepingConfig,
    NotificationsConfig,
    ScoringConfig,
)
from ml_tasks.config_release import ReleaseConfig
from ml_tasks.config_section import Section
from ml_tasks.config_tracking import TrackingConfig, without_login
from ml_tasks.config_training import TrainingConfig
from ml_tasks.errors import ConfigError
from ml_tasks.storage import write_bytes

# Names the file, where it does not lie beside the code: the images of the stack set it.
CONFIG_VARIABLE = "MAMMO_CONFIG"
Share = Annotated[float, Field(gt=0, lt=1)]


class PathsConfig(Section):
    """Folders; absolute once loaded."""

    raw: Path = Path("data/raw")
    cleaned: Path = Path("data/cleaned")
    cache: Path = Path("cache")
    splits: Path = Path("splits")
    runs: Path = Path("runs")
    releases: Path = Path("releases")
    model: Path = Path("model")
    logs: Path = Path("logs")
    tracking: Path = Path("mlflow")
    snapshots: Path = Path("snapshots")
    statistics: Path = Path("statistics")
    drift: Path = Path("drift")
    scoring: Path = Path("scoring")


class DataConfig(Section):
    """What the raw data must be like."""

    positive: str = Field("Positive", min_length=1)
    class_meaning: dict[str, str] = Field(default_factory=dict)
    patient_pattern: str | None = None
    min_patients_per_class: int = Field(10, ge=3)
    max_quarantine_share: float = Field(0.05, ge=0, lt=1)
    min_side: int = Field(128, ge=16, le=4096)
    max_megapixels: float = Field(50, gt=0, le=1000)
    snapshot: Path | None = None  # of announced data; None: what is there as the run begins
    announced_images: int | None = Field(None, ge=1)  # fewer are refused

    @field_validator("patient_pattern")
    @classmethod
    def _one_group(cls, pattern: str | None) -> str | None:
        if pattern is None:
            return None
        try:
            groups = re.compile(pattern).groups
        except re.error as error:
            raise ValueError(f"is no regular expression ({error})") from error
        if groups != 1:
            raise ValueError(f"must have exactly one group, e.g. '^(P\\d+)_'; it has {groups}")
        return pattern

    def anchored(self, folder: Path) -> DataConfig:
        """The same with the snapshot's path made absolute; a relative one starts at `folder`."""
        if self.snapshot is None:
            return self
        return self.model_copy(update={"snapshot": folder / self.snapshot.expanduser()})


class ValidationConfig(Section):
    """Limits of the Great Expectations suite; shares are of the usable images."""

    min_images_per_class: int = Field(10, ge=1)
    tolerated_share: float = Field(0.05, ge=0, lt=1)
    min_breast_share: float = Field(0.05, ge=0, lt=1)
    max_breast_share: float = Field(0.95, gt=0, le=1)
    max_label_blobs: int = Field(20, ge=0)
    max_saturation: float = Field(0.2, ge=0, le=1)
    min_sharpness: float = Field(0.001, ge=0)
    max_inverted_share: float = Field(0.2, ge=0, le=1)
    max_framed_share: float = Field(0.9, ge=0, le=1)
    max_mismatch_share: float = Field(0.05, ge=0, le=1)


class CleaningConfig(Section):
    """How the cleaning is shared out and what its report warns of."""

    shards: int = Field(1, ge=1, le=1000)
    workers: int = Field(0, ge=0, le=256)
    max_silhouette_auc: float = Field(0.65, ge=0.5, le=1)
    small_lesion_pixels: float = Field(3, gt=0)


class SplitConfig(Section):
    """Shares of the patients and the balancing of the training split."""

    validation: Share = 0.15
    test: Share = 0.15
    key: str = Field("mammography", min_length=1)
    balance: Literal["oversample", "undersample", "class_weights", "none"] = "oversample"

    @model_validator(mode="after")
    def _leaves_training_data(self) -> SplitConfig:
        if self.validation + self.test > 0.8:
            raise ValueError("validation + test must leave at least 0.2 for training")
        return self


class ModelConfig(Section):
    """The network."""

    input_shape: tuple[Literal[128], Literal[128], Literal[3]] = (128, 128, 3)
    weights: str = Field("imagenet", min_length=1)
    weights_sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    dropout: float = Field(0.5, ge=0, lt=1)

    @field_validator("weights", mode="before")
    @classmethod
    def _null_is_none(cls, weights: Any) -> Any:
        return "none" if weights is None else weights

    @model_validator(mode="after")
    def _hash_of_a_file(self) -> ModelConfig:
        if self.weights_sha256 and self.weights in ("imagenet", "none"):
            raise ValueError(
                f"weights_sha256 is the hash of a weights file, and weights is `{self.weights}`: "
                "name the file there, or leave the hash out"
            )
        return self


class EvaluationConfig(Section):
    """How the operating threshold is chosen and the intervals are drawn."""

    threshold_rule: Literal["youden", "sensitivity", "specificity"] = "youden"
    threshold_value: float = Field(0.9, gt=0, lt=1)  # of the last two rules
    seed: int = Field(1, ge=0)  # of the bootstrap


class Config(Section):
    """The whole of config.yaml."""

    paths: PathsConfig = PathsConfig()
    data: DataConfig = DataConfig()
    validation: ValidationConfig = ValidationConfig()
    cleaning: CleaningConfig = CleaningConfig()
    split: SplitConfig = SplitConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    gate: GatePolicy = GatePolicy()
    approval: ApprovalConfig = ApprovalConfig()
    release: ReleaseConfig = ReleaseConfig()
    tracking: TrackingConfig = TrackingConfig()
    scoring: ScoringConfig = ScoringConfig()
    drift: DriftConfig = DriftConfig()
    housekeeping: HousekeepingConfig = HousekeepingConfig()
    notifications: NotificationsConfig = NotificationsConfig()

    @model_validator(mode="after")
    def _threshold_fits_the_gate(self) -> Config:
        chosen, least = self.evaluation, self.gate.min_sensitivity
        if chosen.threshold_rule == "sensitivity" and chosen.threshold_value < least:
            raise ValueError(
                f"evaluation.threshold_value {chosen.threshold_value} contradicts "
                f"gate.min_sensitivity {least}: a threshold chosen to find fewer of the positives "
                "than the gate asks for can ship nothing; raise the one or lower the other"
            )
        return self


def load_config(
    path: Path, overrides: Mapping[str, Any] | None = None, folder: Path | None = None
) -> Config:
    """Reads config.yaml, sets `overrides` ("model.weights" -> value) and makes paths absolute.

    Relative paths start at `folder`, else at the folder of the file.

    Raises:
        ConfigError: missing file, bad YAML, unknown key or bad value; each is named.
    """
    path = path.absolute()
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist; name your configuration file") from None
    except IsADirectoryError:
        raise ConfigError(f"{path} is a folder; name the configuration file in it") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text ({error}); save it as UTF-8") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is no valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must hold sections such as `model:`, not {content!r}")
    for key, value in (overrides or {}).items():
        _set(content, key, value)
    try:
        config = Config.model_validate(content)
    except ValidationError as error:
        raise ConfigError(_explain(error, str(path.name))) from error
    return _anchored(config, folder or path.parent)


def parse_settings(settings: Iterable[str]) -> dict[str, Any]:
    """`--set key=value` words as {key: value}, the value read as YAML.

    Raises:
        ConfigError: a word without `=`, or whose value is no YAML.
    """
    parsed: dict[str, Any] = {}
    for setting in settings:
        key, found, value = setting.partition("=")
        if not found or not key:
            raise ConfigError(f"--set {setting!r}: write it as section.key=value")
        try:
            parsed[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {setting!r}: the value is no valid YAML") from error
    return parsed


def save_config(config: Config, path: Path) -> None:
    """Writes the settings as YAML, so that a run keeps those it began with."""
    write_bytes(path, yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False).encode())


def _set(content: dict[str, Any], dotted: str, value: Any) -> None:
    *sections, key = dotted.split(".")
    place: Any = content
    for section in sections:
        if place.get(section) is None:
            place[section] = {}
        place = place[section]
        if not isinstance(place, dict):
            raise ConfigError(f"{dotted}: {section} holds a value, not settings of its own")
    place[key] = value


def _anchored(config: Config, folder: Path) -> Config:
    paths = {name: folder / value.expanduser() for name, value in config.paths}
    model = config.model
    if model.weights not in ("imagenet", "none"):
        weights = folder / Path(model.weights).expanduser()
        if not weights.is_file():
            raise ConfigError(
                f"model.weights: {model.weights!r} is neither a file (looked for {weights}) nor "
                "one of the words `imagenet` and `none`"
            )
        model = model.model_copy(update={"weights": str(weights)})
    return config.model_copy(
        update={
            "paths": config.paths.model_copy(update=paths),
            "data": config.data.anchored(folder),
            "model": model,
            "release": config.release.anchored(folder),
            "tracking": config.tracking.anchored(folder),
        }
    )


def _explain(error: ValidationError, file: str) -> str:
    lines = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            allowed = _allowed(problem["loc"][:-1])
            close = difflib.get_close_matches(str(problem["loc"][-1]), allowed, n=1)
            hint = f"did you mean `{close[0]}`? " if close else ""
            lines.append(f"{key} is not a setting; {hint}Allowed here: {', '.join(allowed)}")
        else:
            reason = problem["msg"].removeprefix("Value error, ")
            given = f" (it is {without_login(repr(problem['input']))})" if key else ""
            lines.append(f"{key or 'the settings'}: {reason}{given}")
    return f"{file}: " + "\n".join(lines)


def _allowed(location: tuple[int | str, ...]) -> list[str]:
    section: Any = Config
    for part in location:
        if isinstance(part, str) and part in section.model_fields:
            section = _section_in(section.model_fields[part].annotation)
    return list(section.model_fields)


def _section_in(annotation: Any) -> Any:
    """The section that a setting holds, also one that may be null or stands in a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(found for each in get_args(annotation) if (found := _section_in(each)))
