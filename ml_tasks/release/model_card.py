"""The model card inside a release: what the model is, its figures, and what it is not."""

from __future__ import annotations

from ml_tasks.evaluation.levels import Level
from ml_tasks.evaluation.metrics_file import Metrics
from ml_tasks.evaluation.wording import in_words
from ml_tasks.records import Decision, PreprocessRecord, Split, TrainRecord
from ml_tasks.release.claim import ASKED, Told, filled


def model_card(
    data: PreprocessRecord, training: TrainRecord, metrics: Metrics, decision: Decision
) -> str:
    """The card as Markdown, from the run's own records; the same records give the same text."""
    negative = next(name for name in data.classes if name != data.positive)
    calibration = metrics.calibration
    lines = [
        "# Mammography classifier",
        "",
        "**Research use; not a diagnosis.** No clinical decision may rest on this model.",
        "",
        f"Tells {data.positive} from {negative} on one mammogram (DenseNet-121, 128x128 pixels); "
        f"the answer is the probability of {data.positive}.",
        "",
        *(f"- {sentence}" for sentence in in_words(metrics, negative)),
        "",
        f"- Run: {data.run_id}, started {data.started_at}",
        f"- Weights it began with: {training.weights.rsplit('/', 1)[-1]}",
        f"- Epochs trained: {training.epochs}, kept: {training.best_epoch}",
        f"- Decision threshold, chosen by the {metrics.rule}: {metrics.threshold:.6f}",
        f"- Calibration: prior shift {calibration.prior_shift:.6f} in log odds, temperature "
        f"{calibration.temperature:.6f}" + (f" ({calibration.note})" if calibration.note else ""),
        "",
        "## Data",
        "",
        "| split | patients | " + " | ".join(_cell(name) for name in data.classes) + " |",
        "|---|---|---|---|",
        *(_split_row(data, split) for split in Split),
        "",
        "No patient is in more than one split.",
        "",
        "## Figures on the test split",
        "",
        "| figure | " + " | ".join(f"{level.value}s" for level in Level) + " |",
        "|---|---|---|---|",
        *_figure_rows(metrics),
        "",
        f"## Gate: {decision.verdict}",
        "",
        *(f"- {rule.sentence}" for rule in decision.rules),
        "",
        *_by_whom(decision),
        *_claim(Told(data, training, metrics)),
    ]
    return "\n".join(lines)


def _by_whom(decision: Decision) -> list[str]:
    """Names stay in the release's record: the card travels with the image."""
    if decision.passed:
        return []
    return [
        "The gate could not tell. It ships only by the decision of a person, whose name and "
        "reason stand in the release's record (approval.json), signed with it.",
        "",
    ]


def _split_row(data: PreprocessRecord, split: Split) -> str:
    counts = data.counts.get(split, {})
    images = " | ".join(str(counts.get(name, 0)) for name in data.classes)
    return f"| {split.value} | {data.patients.get(split, 0)} | {images} |"


def _figure_rows(metrics: Metrics) -> list[str]:
    found = metrics.levels[Split.TEST]
    return [
        f"| {name.replace('_', ' ')} | "
        + " | ".join(str(found[level].figures[name]) for level in Level)
        + " |"
        for name in found[Level.PATIENT].figures
    ]


def _claim(told: Told) -> list[str]:
    """What the checklist asks, with the run's answers first and the team's share after."""
    answers = filled(told)
    return [
        "## CLAIM checklist",
        "",
        "Items of the Checklist for Artificial Intelligence in Medical Imaging (2024 update), "
        "filled from the run.",
        "",
        *(f"- **{number}. {ASKED[number]}.** {answers[number]}" for number in sorted(answers)),
        "",
        "To be filled in by the team, since no run can know:",
        "",
        *(f"- {number}. {asks}." for number, asks in ASKED.items() if number not in answers),
        "",
    ]


def _cell(text: str) -> str:
    """Text that does not end a cell of a table."""
    return text.replace("|", "\\|")
