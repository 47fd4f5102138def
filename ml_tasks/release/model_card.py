"""The model card inside a release: what the model is, its figures, and what it is not."""

from __future__ import annotations

from ml_tasks.records import Decision, EvaluationRecord, PreprocessRecord, Split, TrainRecord


def model_card(
    data: PreprocessRecord, training: TrainRecord, evaluation: EvaluationRecord, decision: Decision
) -> str:
    """The card as Markdown, from the run's own records; the same records give the same text."""
    negative = next(name for name in data.classes if name != data.positive)
    lines = [
        "# Mammography classifier",
        "",
        "**Research use; not a diagnosis.** No clinical decision may rest on this model.",
        "",
        f"Tells {data.positive} from {negative} on one mammogram (DenseNet-121, 128x128 pixels); "
        f"the answer is the probability of {data.positive}.",
        "",
        f"- Run: {data.run_id}, started {data.started_at}",
        f"- Weights it began with: {training.weights.rsplit('/', 1)[-1]}",
        f"- Epochs trained: {training.epochs}, kept: {training.best_epoch}",
        f"- Decision threshold, chosen on the validation split: {evaluation.threshold:.6f}",
        "",
        "## Data",
        "",
        "| split | patients | " + " | ".join(data.classes) + " |",
        "|---|---|---|---|",
        *(_split_row(data, split) for split in Split),
        "",
        "No patient is in more than one split.",
        "",
        "## Figures on the test split",
        "",
        "| figure | value |",
        "|---|---|",
        *(f"| {name} | {value:.4f} |" for name, value in sorted(evaluation.headline.items())),
        "",
        f"## Gate: {decision.verdict}",
        "",
        *(f"- {rule.sentence}" for rule in decision.rules),
        "",
    ]
    return "\n".join(lines)


def _split_row(data: PreprocessRecord, split: Split) -> str:
    counts = data.counts.get(split, {})
    images = " | ".join(str(counts.get(name, 0)) for name in data.classes)
    return f"| {split.value} | {data.patients.get(split, 0)} | {images} |"
