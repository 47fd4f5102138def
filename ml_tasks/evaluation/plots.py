"""The plots of the evaluation report as PNG bytes, each with words for those who cannot see it."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve, roc_curve

from ml_tasks.evaluation.levels import Level, Scored
from ml_tasks.evaluation.metrics import Confusion, Labels, Scores
from ml_tasks.evaluation.performance import Performance
from ml_tasks.evaluation.reliability import Bin, reliability

# Okabe and Ito's colours (Color universal design, 2008): no colour blindness merges them. Lines
# differ in their dashes, too.
_BLUE, _ORANGE, _GREEN, _GREY = "#0072B2", "#D55E00", "#009E73", "#777777"
_STYLES = {Level.PATIENT: (_BLUE, "-", "o"), Level.IMAGE: (_ORANGE, "--", "s")}
_SIZE = (4.6, 4.2)  # inches


@dataclass(frozen=True)
class Plot:
    """One plot: its title, what it shows in words, and the PNG."""

    title: str
    alt: str
    png: bytes

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{self.title.lower().replace(' ', '_').replace('-', '_')}.png"


def roc_plot(scored: Mapping[Level, Scored], found: Mapping[Level, Performance]) -> Plot:
    """ROC curves of patients and images with the operating points."""
    figure, axes = _frame("ROC curve", "1 - specificity (false alarms)", "sensitivity (found)")
    told = []
    for level, (colour, dashes, marker) in _STYLES.items():
        one, figures = scored[level], found[level].figures
        false_rate, true_rate, _ = roc_curve(one.labels, one.scores)
        name = f"{level.value}s, AUC {figures['auc'].value:.3f}"
        axes.plot(false_rate, true_rate, dashes, color=colour, label=name)
        sensitivity, specificity = figures["sensitivity"].value, figures["specificity"].value
        if sensitivity is not None and specificity is not None:
            axes.plot(1 - specificity, sensitivity, marker, color=colour, markersize=8)
            told.append(
                f"{name}, operating point at sensitivity {sensitivity:.2f} and specificity "
                f"{specificity:.2f}"
            )
    axes.plot([], [], "o", color=_GREY, label="operating point")
    axes.plot([0, 1], [0, 1], ":", color=_GREY, label="guessing")
    axes.legend(loc="lower right", fontsize=8)
    return Plot("ROC curve", "ROC curves of the test split: " + "; ".join(told), _png(figure))


def precision_recall_plot(
    scored: Mapping[Level, Scored], found: Mapping[Level, Performance]
) -> Plot:
    """Precision against sensitivity, for patients and images, with the share of positives."""
    figure, axes = _frame("Precision-recall curve", "sensitivity (recall)", "precision")
    told = []
    for level, (colour, dashes, _) in _STYLES.items():
        one = scored[level]
        precision, recall, _ = precision_recall_curve(one.labels, one.scores)
        name = f"{level.value}s, average {found[level].figures['average_precision'].value:.3f}"
        axes.step(recall, precision, linestyle=dashes, color=colour, label=name, where="pre")
        told.append(f"{name} where {one.labels.mean():.2f} are positive")
    share = float(scored[Level.PATIENT].labels.mean())
    axes.axhline(share, linestyle=":", color=_GREY, label="guessing (share of patients)")
    axes.legend(loc="lower left", fontsize=8)
    alt = "Precision-recall curves of the test split: " + "; ".join(told)
    return Plot("Precision-recall curve", alt, _png(figure))


def calibration_plot(labels: Labels, told: Scores, raw: Scores) -> Plot:
    """What was the case against what was told, in ten bins of the images, with 95 % intervals."""
    figure, axes = _frame("Calibration", "probability that is told", "share that is positive")
    axes.plot([0, 1], [0, 1], ":", color=_GREY, label="right")
    before, bins = reliability(labels, raw), reliability(labels, told)
    places = [part.told for part in before], [part.seen for part in before]
    axes.plot(*places, "x--", color=_ORANGE, alpha=0.7, label="before calibration")
    _reliability_bars(axes, bins)
    axes.legend(loc="upper left", fontsize=8)
    words = "; ".join(
        f"told {part.told:.2f}, seen {part.seen:.2f} among {part.cases}" for part in bins
    )
    return Plot("Calibration", f"Calibration of the test images: {words}", _png(figure))


def _reliability_bars(axes: Axes, bins: Sequence[Bin]) -> None:
    seen = np.array([part.seen for part in bins])
    reach = np.array([[part.seen - part.low, part.high - part.seen] for part in bins]).T
    told = [part.told for part in bins]
    axes.errorbar(
        told,
        seen,
        np.maximum(reach, 0),
        color=_BLUE,
        marker="o",
        capsize=3,
        label="as told (images)",
    )
    for part in bins:
        at = (part.told, part.seen)
        axes.annotate(str(part.cases), at, (5, 3), textcoords="offset points", fontsize=8)


def confusion_plot(counts: Confusion, negative: str, positive: str) -> Plot:
    """The confusion matrix of the test patients."""
    cells = [[counts.left_alone, counts.false_alarms], [counts.missed, counts.found]]
    total = sum(map(sum, cells))
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    axes.imshow(cells, cmap="Blues", vmin=0, vmax=max(1, total))
    for row, line in enumerate(cells):
        for column, count in enumerate(line):
            colour = "white" if count > total / 2 else "black"
            axes.text(column, row, str(count), ha="center", va="center", size=16, color=colour)
    names = [_plain(negative), _plain(positive)]
    axes.set_xticks([0, 1], names)
    axes.set_yticks([0, 1], names, rotation=90, va="center")
    axes.set(xlabel="the model says", ylabel="the label says", title="Confusion matrix, patients")
    return Plot(
        "Confusion matrix", f"Confusion matrix of the test patients: {counts}", _png(figure)
    )


def scores_plot(scored: Scored, threshold: float, negative: str, positive: str) -> Plot:
    """How the probabilities of both classes lie, and where the threshold is."""
    figure, axes = _frame("Scores of patients", "probability that is told", "patients")
    edges = np.linspace(0, 1, 21)
    of_each = [scored.scores[~scored.labels], scored.scores[scored.labels]]
    looks = ((_BLUE, "", negative), (_ORANGE, "///", positive))
    for place, (values, (colour, hatch, name)) in enumerate(zip(of_each, looks, strict=True)):
        counts, _ = np.histogram(values, edges)
        at = edges[:-1] + 0.0125 + 0.025 * place  # side by side in each of the bins
        axes.bar(
            at, counts, 0.025, color=colour, hatch=hatch, edgecolor="white", label=_plain(name)
        )
    axes.axvline(threshold, color="black", linestyle="--", label=f"threshold {threshold:.3f}")
    axes.legend(fontsize=8)
    medians = [f"{np.median(values):.2f}" if len(values) else "none" for values in of_each]
    alt = (
        f"Scores of the test patients: the middle one of {len(of_each[0])} {negative} has "
        f"{medians[0]}, of {len(of_each[1])} {positive} {medians[1]}; threshold {threshold:.3f}"
    )
    return Plot("Score distributions", alt, _png(figure))


def training_plot(history: Sequence[Mapping[str, float]], best_epoch: int) -> Plot:
    """Loss and AUC over the epochs, training and validation, with the epoch that was kept."""
    figure = Figure(figsize=(9.2, 3.4), layout="constrained")
    epochs = [row["epoch"] for row in history]
    for axes, key, name in zip(
        figure.subplots(1, 2), ("loss", "auc"), ("loss", "AUC"), strict=True
    ):
        mark = "." if len(epochs) < 40 else ""
        axes.plot(
            epochs, [row[key] for row in history], f"{mark}--", color=_ORANGE, label="training"
        )
        held_out = [row[f"val_{key}"] for row in history]
        axes.plot(epochs, held_out, f"{mark}-", color=_BLUE, label="validation")
        axes.axvline(best_epoch, color=_GREEN, linestyle=":", label=f"kept: epoch {best_epoch}")
        axes.set(xlabel="epoch", title=f"Training: {name}")
        axes.set_xlim(0.5, max(epochs) + 0.5)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes.legend(fontsize=8)
    last = history[-1]
    alt = (
        f"Training curves over {len(history)} epochs; at the end the loss is {last['loss']:.3f} in "
        f"training and {last['val_loss']:.3f} in validation; epoch {best_epoch} was kept"
    )
    return Plot("Training curves", alt, _png(figure))


def _frame(title: str, across: str, upwards: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=across, ylabel=upwards, title=title, xlim=(-0.02, 1.02))
    if upwards != "patients":
        axes.set_ylim(-0.03, 1.05)
    return figure, axes


def _plain(name: str) -> str:
    """A class name as it is: Matplotlib reads what stands between dollar signs as a formula."""
    return name.replace("$", r"\$")


def _png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110, metadata={"Software": None})
    return stream.getvalue()
