"""ROC curve and confusion matrix as PNG bytes."""

from __future__ import annotations

import io

from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from ml_tasks.evaluation.metrics import Labels, Scores, SplitMetrics


def roc_plot(labels: Labels, scores: Scores, metrics: SplitMetrics) -> bytes:
    """The ROC curve of the test split with the operating point, as a PNG."""
    figure = Figure(figsize=(4.6, 4.2), layout="constrained")
    axes = figure.subplots()
    false_rate, true_rate, _ = roc_curve(labels, scores)
    axes.plot(false_rate, true_rate, label=f"AUC {metrics.auc:.3f}")
    axes.plot([0, 1], [0, 1], linestyle=":", color="grey", label="guessing")
    axes.plot(1 - metrics.specificity, metrics.sensitivity, "o", label="operating point")
    axes.set(
        xlabel="1 - specificity (false alarms)",
        ylabel="sensitivity (found)",
        title="ROC curve, test split",
    )
    axes.legend(loc="lower right")
    return _png(figure)


def confusion_plot(metrics: SplitMetrics, negative: str, positive: str) -> bytes:
    """The confusion matrix of the test split as a PNG."""
    cells = [
        [metrics.true_negatives, metrics.false_positives],
        [metrics.false_negatives, metrics.true_positives],
    ]
    figure = Figure(figsize=(4.6, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.imshow(cells, cmap="Blues", vmin=0, vmax=max(1, metrics.images))
    for row, counts in enumerate(cells):
        for column, count in enumerate(counts):
            dark = count > metrics.images / 2
            axes.text(
                column,
                row,
                str(count),
                ha="center",
                va="center",
                size=16,
                color="white" if dark else "black",
            )
    names = [negative, positive]
    axes.set_xticks([0, 1], names)
    axes.set_yticks([0, 1], names)
    axes.set(xlabel="the model says", ylabel="the label says", title="Confusion matrix, test split")
    return _png(figure)


def _png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110, metadata={"Software": None})
    return stream.getvalue()
