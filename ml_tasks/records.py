"""The frozen records that stages leave in a run's directory and hand on by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import StrEnum
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field


class Split(StrEnum):
    """The three parts of the data; a patient is in one of them for good."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


class Verdict(StrEnum):
    """What the gate says of a model."""

    PASS = "PASS"
    INCONCLUSIVE = "INCONCLUSIVE"  # the test patients are too few to tell
    FAIL = "FAIL"


class Record(BaseModel):
    """A frozen record that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class StageRecord(Record, ABC):
    """What a completed stage says of itself; `inputs` holds the hashes of the records it used."""

    stage: ClassVar[str]
    run_id: str
    inputs: dict[str, str] = Field(default_factory=dict)

    @abstractmethod
    def summary(self) -> str:
        """One line for the log and for people."""


class ValidationRecord(StageRecord):
    """The run's snapshot: which files exist, by the hash of their manifest."""

    stage: ClassVar[str] = "validate_data"
    started_at: str
    raw: str
    manifest_sha256: str
    spec_sha256: str  # of image_spec.json
    images: int
    quarantined: int
    classes: dict[str, int]
    patients: int
    passed: bool
    snapshot: str = ""  # the announced one; "": what was there as the run began
    data_sha256: str = ""  # of what decides the model: dataset/content.py
    failures: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def summary(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in self.classes.items())
        return (
            f"data {'valid' if self.passed else 'NOT valid'}: {self.images} images ({counts}) of "
            f"{self.patients} patients, {self.quarantined} set aside"
        )


class ChangesRecord(StageRecord):
    """Whether data, settings or code differ from those of the last completed run."""

    stage: ClassVar[str] = "check_changes"
    started_at: str  # of the run, UTC
    data_sha256: str
    settings_sha256: str
    code_sha256: str
    changed: tuple[str, ...]  # of data, settings, code; all of them for a first run
    forced: bool
    compared_with: str | None = None  # the last completed run; None: there is none
    compared_at: str | None = None  # when it started
    compared_end: str = ""  # how it ended, in words

    @property
    def goes_on(self) -> bool:
        return self.forced or bool(self.changed)

    def hash_of(self, name: str) -> str:
        """The hash of `data`, `settings` or `code`."""
        return {
            "data": self.data_sha256,
            "settings": self.settings_sha256,
            "code": self.code_sha256,
        }[name]

    def summary(self) -> str:
        if self.compared_with is None:
            return "no completed run to compare with: this one trains"
        last = f"the last completed run {self.compared_with} ({self.compared_at})"
        if self.changed:
            return f"changed since {last}: {', '.join(self.changed)}"
        same = f"data, settings and code are those of {last}, which {self.compared_end}"
        if self.forced:
            return f"unchanged, but asked for: {same}"
        return (
            f"UNCHANGED, nothing is trained: {same}. Add data, or start a run by hand with "
            "`Train even if nothing changed`"
        )


class PlanRecord(StageRecord):
    """Which split and shard each film goes to, certified not to leak."""

    stage: ClassVar[str] = "plan_cleaning"
    plan_sha256: str
    films: int
    shards: int
    leaks: int
    certificate: str

    def summary(self) -> str:
        return f"{self.films} films in {self.shards} shard(s); {self.certificate}"


class ShardRecord(StageRecord):
    """One shard of cleaned films."""

    stage: ClassVar[str] = "clean_shard"
    shard: int
    shards: int
    films: int
    rows_sha256: str
    films_sha256: str

    def summary(self) -> str:
        return f"shard {self.shard + 1} of {self.shards}: {self.films} films cleaned"


class PreprocessRecord(StageRecord):
    """The cleaned set: which image went to which split, and how many times it is trained on."""

    stage: ClassVar[str] = "preprocess"
    raw: str
    started_at: str
    manifest_sha256: str
    index_sha256: str
    arrays_sha256: dict[Split, str]  # of the pictures of each split as one array
    spec_sha256: str
    training_data_sha256: str
    controls_sha256: str = ""  # of controls.json
    classes: tuple[str, str]
    positive: str
    counts: dict[Split, dict[str, int]]
    patients: dict[Split, int]
    trained_on: dict[str, int]
    class_weights: dict[str, float] = Field(default_factory=dict)  # empty: all count alike
    quarantined: int = 0
    certificate: str = ""  # what the leakage certificate says
    warnings: tuple[str, ...] = ()

    def summary(self) -> str:
        splits = ", ".join(
            f"{split.value} {sum(by_class.values())}" for split, by_class in self.counts.items()
        )
        used = ", ".join(f"{count} {name}" for name, count in self.trained_on.items())
        weights = ", ".join(f"{name} {weight:.3g}" for name, weight in self.class_weights.items())
        return f"cleaned to 128x128: {splits} images; an epoch of training shows {used}" + (
            f", weighted {weights}" if weights else ""
        )


class TrainRecord(StageRecord):
    """The trained network and how it came about."""

    stage: ClassVar[str] = "train"
    model_sha256: str
    weights: str
    device: str
    epochs: int
    best_epoch: int
    val_loss: float
    val_auc: float
    seconds: float  # in all attempts together
    resumed_from: tuple[int, ...] = ()  # after which epochs it was taken up again

    def summary(self) -> str:
        return (
            f"trained {self.epochs} epochs in {self.seconds:.0f} s on {self.device}; kept epoch "
            f"{self.best_epoch} (validation loss {self.val_loss:.4f}, AUC {self.val_auc:.4f})"
        )


class EvaluationRecord(StageRecord):
    """The figures of the model that would ship, from its ONNX file."""

    stage: ClassVar[str] = "evaluate"
    onnx_sha256: str
    metrics_sha256: str
    predictions_sha256: str
    threshold: float
    onnx_difference: float
    headline: dict[str, float]  # patients' figures; what cannot be computed is missing

    def summary(self) -> str:
        figures = ", ".join(f"{name} {value:.3f}" for name, value in self.headline.items())
        return f"test patients: {figures} at threshold {self.threshold:.4f}"


class RuleResult(Record):
    """One rule of the gate and its plain sentence; a figure not computed has no value."""

    rule: str
    value: float | None = None
    low: float | None = None  # of the 95 % interval
    high: float | None = None
    bound: float | None = None
    verdict: Verdict
    sentence: str

    @property
    def passed(self) -> bool:
        return self.verdict is Verdict.PASS


class GateDecision(Record):
    """What the rules together say: the worst of them."""

    verdict: Verdict
    rules: tuple[RuleResult, ...]


class Decision(StageRecord):
    """The gate's verdict with its reasons."""

    stage: ClassVar[str] = "gate"
    verdict: Verdict
    rules: tuple[RuleResult, ...]
    production: str | None = None  # digest that the gate compared with; None: none was released

    @property
    def passed(self) -> bool:
        return self.verdict is Verdict.PASS

    def summary(self) -> str:
        told = {
            Verdict.PASS: "PASSED the gate",
            Verdict.INCONCLUSIVE: "is INCONCLUSIVE at the gate, so it ships only by approval",
            Verdict.FAIL: "FAILED the gate",
        }[self.verdict]
        shown = [rule for rule in self.rules if rule.verdict is self.verdict]
        return f"{told}: " + "; ".join(rule.sentence for rule in shown)


class ImageRecord(StageRecord):
    """The built image and the release inside it."""

    stage: ClassVar[str] = "build_image"
    version: str
    bundle: str
    sums_sha256: str
    image: str
    image_id: str
    serving_base: str
    size_bytes: int

    def summary(self) -> str:
        return f"built {self.image} ({self.image_id[:19]}, {self.size_bytes / 1e6:.0f} MB)"


class Trial(Record):
    """One trial of the smoke test: what was found, what it is held against, in which unit."""

    trial: str
    value: float | str
    limit: float | str
    unit: str = ""
    passed: bool

    def in_words(self) -> str:
        """One line for the log and for people."""
        value, limit = (
            f"{each:.5g}" if isinstance(each, float) else each for each in (self.value, self.limit)
        )
        unit = f" {self.unit}" if self.unit else ""
        if isinstance(value, str) and value == limit:  # it is what it must be
            return f"{self.trial}: {value}"
        return f"{self.trial} is {value}{unit}, the limit is {limit}{unit}"


class SmokeRecord(StageRecord):
    """What the very image answered when it was run."""

    stage: ClassVar[str] = "smoke_test"
    image_id: str
    ready_seconds: float
    images: int
    largest_difference: float
    tolerance: float
    refusals: dict[str, int]
    trials: tuple[Trial, ...] = ()

    def summary(self) -> str:
        return (
            f"the image was ready in {self.ready_seconds:.1f} s and answered {self.images} test "
            f"images as evaluated (largest difference {self.largest_difference:.1e}); "
            f"{len(self.trials)} trials passed"
        )


class ReleaseRecord(StageRecord):
    """The image as the registry holds it."""

    stage: ClassVar[str] = "push_model"
    version: str
    reference: str
    digest: str
    image_id: str
    bytes_pushed: int
    bytes_skipped: int
    production_before: str | None
    production: str

    def summary(self) -> str:
        return (
            f"shipped {self.reference}@{self.digest[:19]}: {self.bytes_pushed:,} bytes pushed, "
            f"{self.bytes_skipped:,} already there; production points to it"
        )


# The order of the pipeline. The record of approve lies with its rules, in release/approval.py.
STAGES: tuple[str, ...] = (
    ValidationRecord.stage,
    ChangesRecord.stage,
    PreprocessRecord.stage,
    TrainRecord.stage,
    EvaluationRecord.stage,
    Decision.stage,
    "approve",
    ImageRecord.stage,
    SmokeRecord.stage,
    ReleaseRecord.stage,
)
