"""The page of evaluate: the figures of the model that would ship, with plots, self-contained."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

from ml_tasks.evaluation.bootstrap import RESAMPLES
from ml_tasks.evaluation.metrics import SplitMetrics
from ml_tasks.evaluation.performance import HeldOut
from ml_tasks.pages.layout import render
from ml_tasks.records import EvaluationRecord, PreprocessRecord, TrainRecord

_TEMPLATE = """{% block content %}
<h1>Evaluation report</h1>
<p class="lead">{{ summary }}</p>
<p class="quiet">Every figure was computed from the ONNX model on the raw files, through the
predictor that the service uses. Data {{ cleaned.raw }}, manifest
<code>{{ cleaned.manifest_sha256[:12] }}</code>; model <code>{{ trained.model_sha256[:12] }}</code>,
ONNX <code>{{ onnx_sha256[:12] }}</code>.</p>
<p>The positive class is <strong>{{ cleaned.positive }}</strong>:
{{ meaning.get(cleaned.positive) or "no meaning given in config.yaml" }}.
The threshold {{ '%.4f'|format(threshold) }} was chosen before the test split was looked at, by the
{{ rule }}.</p>
<h2>Figures</h2>
<table><tr><th>Split</th>{% for name in columns %}
<th class="number">{{ name.replace("auc", "AUC") }}</th>{% endfor %}</tr>
{% for split, figures in splits.items() %}<tr><td>{{ split }}</td>
{% for name in columns %}<td class="number">{% if figures[name] is integer %}{{ figures[name] }}
{% else %}{{ '%.3f'|format(figures[name]) }}{% endif %}</td>{% endfor %}</tr>{% endfor %}</table>
<p>Sensitivity is the share of {{ cleaned.positive }} images that the model finds; specificity the
share of the others that it leaves alone. Both splits keep their own share of
{{ cleaned.positive }} images; balancing touches the training split only.</p>
<h2>Test split, with 95 % intervals</h2>
<p>Intervals come from {{ resamples }} bootstraps over patients: all images of a patient are drawn
together. A breast's score is the mean of its images, a patient's the highest of her breasts; either
is positive if any of its images is. Read the patients' column first.</p>
<table><tr><th></th>{% for level in levels %}
<th class="number">{{ level.value }}</th>{% endfor %}</tr>
<tr><td>cases (positive)</td>{% for found in levels.values() %}
<td class="number">{{ found.cases }} ({{ found.positives }})</td>{% endfor %}</tr>
{% for name, key in figures %}<tr><td>{{ name }}</td>{% for found in levels.values() %}
<td class="number">{{ found.figures[key] }}</td>{% endfor %}</tr>{% endfor %}
<tr><td>AUC, interval by DeLong (cases taken as independent)</td>{% for found in levels.values() %}
<td class="number">{{ found.auc_delong }}</td>{% endfor %}</tr>
<tr><td>calibration slope (1 is right, below 1 too sure)</td>{% for found in levels.values() %}
<td class="number">{% if found.calibration_slope is none %}not computable{% else %}
{{ '%.2f'|format(found.calibration_slope) }}{% endif %}</td>{% endfor %}</tr></table>
<h2>Slices of the test split</h2>
{% if slices %}<p>The same figures for parts of the patients. The smallest slice has
{{ smallest.performance.patients }} patient(s): {{ smallest.attribute }}
{{ smallest.value or "not known" }}. Small slices have wide intervals and prove little.</p>
<table><tr><th>By</th><th>Value</th><th class="number">Patients (positive)</th>
<th class="number">AUC</th><th class="number">Sensitivity</th>
<th class="number">Specificity</th></tr>
{% for part in slices %}<tr><td>{{ part.attribute }}</td><td>{{ part.value or "not known" }}</td>
<td class="number">{{ part.performance.patients }} ({{ part.performance.positives }})</td>
{% for key in ("auc", "sensitivity", "specificity") %}
<td class="number">{{ part.performance.figures[key] }}</td>{% endfor %}</tr>{% endfor %}</table>
{% else %}<p>Nothing is known by which the patients could be told apart: metadata.csv may name view,
laterality, density, site and age_band.</p>{% endif %}
<h2>Plots of the test split</h2>
{% for title, picture in plots %}<figure><img alt="{{ title }}"
src="data:image/png;base64,{{ picture }}"></figure>{% endfor %}
<h2>Data</h2>
<table><tr><th>Split</th><th class="number">Patients</th>
{% for name in cleaned.classes %}<th class="number">{{ name }}</th>{% endfor %}</tr>
{% for split, count in cleaned.patients.items() %}<tr>
<td>{{ split.value }}</td>
<td class="number">{{ count }}</td>{% for name in cleaned.classes %}
<td class="number">{{ cleaned.counts[split].get(name, 0) }}</td>{% endfor %}</tr>
{% endfor %}</table>
<p>No patient is in two splits. {{ cleaned.quarantined }} file(s) were set aside.</p>
<h2>Training</h2>
<p>{{ trained.summary() }}; weights: {{ trained.weights }}.</p>
<table><tr>{% for name in curves %}<th class="number">{{ name }}</th>{% endfor %}</tr>
{% for row in epochs %}<tr>{% for cell in row %}<td class="number">{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>
{% endblock %}"""

_ESTIMATES = (
    ("AUC", "auc"),
    ("average precision", "average_precision"),
    ("sensitivity", "sensitivity"),
    ("specificity", "specificity"),
    ("sensitivity at specificity 0.80", "sensitivity_at_specificity_0.8"),
    ("sensitivity at specificity 0.90", "sensitivity_at_specificity_0.9"),
    ("sensitivity at specificity 0.95", "sensitivity_at_specificity_0.95"),
    ("accuracy", "accuracy"),
    ("balanced accuracy", "balanced_accuracy"),
    ("F1", "f1"),
    ("Brier score (0 is best)", "brier"),
    ("expected calibration error (0 is best)", "ece"),
)
_FIGURES = ("images", "positives", "accuracy", "auc", "sensitivity", "specificity")
# Columns of the training table: heading, key in the history, format.
_CURVES = (
    ("epoch", "epoch", ".0f"),
    ("loss", "loss", ".3f"),
    ("AUC", "auc", ".3f"),
    ("validation loss", "val_loss", ".3f"),
    ("accuracy", "val_accuracy", ".3f"),
    ("AUC", "val_auc", ".3f"),
    ("learning rate", "learning_rate", ".2g"),
)


def evaluation_report(
    record: EvaluationRecord,
    splits: Mapping[str, SplitMetrics],
    test: HeldOut,
    cleaned: PreprocessRecord,
    trained: TrainRecord,
    history: Sequence[Mapping[str, float]],
    plots: Mapping[str, bytes],
    meaning: Mapping[str, str],
) -> str:
    """The report as HTML text; `plots` are PNG bytes by title."""
    return render(
        _TEMPLATE,
        {
            "title": "Evaluation report",
            "run_id": record.run_id,
            "summary": record.summary(),
            "onnx_sha256": record.onnx_sha256,
            "threshold": record.threshold,
            "cleaned": cleaned,
            "trained": trained,
            "splits": {name: figures.model_dump() for name, figures in splits.items()},
            "columns": _FIGURES,
            "levels": test.levels,
            "figures": _ESTIMATES,
            "slices": test.slices,
            "smallest": min(test.slices, key=lambda part: part.performance.patients, default=None),
            "rule": test.rule,
            "resamples": f"{RESAMPLES:,}",
            "curves": [heading for heading, _, _ in _CURVES],
            "epochs": [[format(row[key], form) for _, key, form in _CURVES] for row in history],
            "plots": [(t, base64.b64encode(png).decode()) for t, png in plots.items()],
            "meaning": meaning,
        },
    )
