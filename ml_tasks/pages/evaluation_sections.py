"""The sections of the evaluation report as templates, in the order in which they are read."""

from __future__ import annotations

_SUMMARY = """<h1>Evaluation report</h1>
<p class="lead">For each mammogram the model gives the probability that it is
<strong>{{ positive }}</strong> ({{ meaning.get(positive) or "no meaning given in config.yaml" }})
and not {{ negative }} ({{ meaning.get(negative) or "no meaning given in config.yaml" }}).
It is for research; it is not a diagnosis.</p>
<ul>{% for sentence in words %}<li>{{ sentence }}</li>{% endfor %}</ul>
<p class="quiet">Every figure was computed from the ONNX model on the raw files, through the
code that the service runs. Data {{ cleaned.raw }}, manifest
<code>{{ cleaned.manifest_sha256[:12] }}</code>; model <code>{{ trained.model_sha256[:12] }}</code>,
ONNX <code>{{ record.onnx_sha256[:12] }}</code>. Whether the model ships is the gate's matter, not
this page's.</p>
"""

_PLOTS = """<h2>The test split in pictures</h2>
<p>Blue solid lines are patients, orange dashed ones single images; the dot is the threshold that
the service uses.</p>
<div class="plots">{% for plot in plots %}{{ figure(plot) }}{% endfor %}</div>
"""

_FIGURES = """<h2>Figures of the test split, with 95 % intervals</h2>
<p><strong>Read the patients' column first.</strong> The intervals come from {{ resamples }}
bootstraps over patients: all images of a patient are drawn together. A breast's score is the mean
of its images, a patient's the highest of her breasts; either is positive if any of its images
is.</p>
<table><tr><th></th>{% for level in test %}
<th class="number">{{ level.value }}</th>{% endfor %}</tr>
<tr><td>cases (positive)</td>{% for found in test.values() %}
<td class="number">{{ found.cases }} ({{ found.positives }})</td>{% endfor %}</tr>
{% for name, key in figures %}<tr><td>{{ name }}</td>{% for found in test.values() %}
<td class="number">{{ found.figures[key] }}</td>{% endfor %}</tr>{% endfor %}
<tr><td>AUC, interval by DeLong (cases taken as independent)</td>{% for found in test.values() %}
<td class="number">{{ found.auc_delong }}</td>{% endfor %}</tr>
<tr><td>calibration slope (1 is right, below 1 too sure)</td>{% for found in test.values() %}
<td class="number">{{ slope(found) }}</td>{% endfor %}</tr></table>
<details><summary>The same of the validation split, which chose the threshold</summary>
<table><tr><th></th>{% for level in val %}<th class="number">{{ level.value }}</th>{% endfor %}</tr>
<tr><td>cases (positive)</td>{% for found in val.values() %}
<td class="number">{{ found.cases }} ({{ found.positives }})</td>{% endfor %}</tr>
{% for name, key in figures %}<tr><td>{{ name }}</td>{% for found in val.values() %}
<td class="number">{{ found.figures[key] }}</td>{% endfor %}</tr>{% endfor %}</table></details>
"""

_THRESHOLD = """<h2>Threshold and calibration</h2>
<p>An image counts as {{ positive }} from a probability of
<strong>{{ '%.4f'|format(metrics.threshold) }}</strong> on. This threshold was chosen before the
test split was looked at, by the {{ metrics.rule }}; the service uses it.</p>
<p>The probability is calibrated: the network's own log odds are shifted by
{{ '%+.3f'|format(metrics.calibration.prior_shift) }}, which takes back what balancing did to the
training split, and divided by the temperature {{ '%.3f'|format(metrics.calibration.temperature) }},
which was fitted on the validation split (above 1 the network was too sure, below 1 not sure
enough).{% if metrics.calibration.note %} <span class="warn">Note:
{{ metrics.calibration.note }}.</span>{% endif %} The order of the images, and so their AUC, stays
as it is.</p>
"""

_SLICES = """<h2>Slices of the test split</h2>
{% if metrics.slices %}<p>The patients' figures for parts of the test split. <strong>The smallest
slice has {{ smallest.performance.patients }} patient(s): {{ smallest.attribute }}
{{ smallest.value or "not known" }}.</strong> Small slices have wide intervals and prove little.</p>
<table><tr><th>By</th><th>Value</th><th class="number">Patients (positive)</th>
<th class="number">AUC</th><th class="number">Sensitivity</th>
<th class="number">Specificity</th></tr>
{% for part in metrics.slices %}
<tr><td>{{ part.attribute }}</td><td>{{ part.value or "not known" }}</td>
<td class="number">{{ part.performance.patients }} ({{ part.performance.positives }})</td>
{% for key in ("auc", "sensitivity", "specificity") %}
<td class="number">{{ part.performance.figures[key] }}</td>{% endfor %}</tr>{% endfor %}</table>
{% else %}<p>Nothing is known by which the patients could be told apart: metadata.csv may name view,
laterality, density, manufacturer, site and age_band.</p>{% endif %}
"""

_CASES = """{% macro cases(shown) %}{% if shown %}<div class="cases">
{% for case in shown %}<figure>
<img class="film" alt="cleaned picture of {{ case.raw }}" width="192" height="192"
src="data:image/png;base64,{{ case.picture }}">
<img class="film" alt="the same under its activation map; strongest place {{ case.strongest }} log
odds" width="192" height="192" src="data:image/png;base64,{{ case.overlay }}">
<figcaption>{{ case.raw }}<br>patient {{ case.patient }}, probability
{{ '%.3f'|format(case.probability) }}</figcaption></figure>{% endfor %}</div>
{% else %}<p>None.</p>{% endif %}{% endmacro %}
<h2>The worst mistakes</h2>
{% if missed or alarms %}<p>Left the picture as the model gets it, 128×128 pixels; right the same
under its class activation map: <b class="for">orange</b> places speak for {{ positive }},
<b class="against">blue</b> ones against it. One colour means the same on every picture; the
fullest is {{ scale }} log odds. The map has {{ cells }} cells only: it
says where to look, not where a border runs. Whoever may not see the patients' films may not see
this page.</p>{% endif %}
<h3>Missed: {{ positive }} below the threshold</h3>
{{ cases(missed) }}
<h3>False alarms: {{ negative }} from the threshold on</h3>
{{ cases(alarms) }}
"""

_DATA = """<h2>Data certificate</h2>
<p>{{ cleaned.certificate or "no leakage certificate: the set was cleaned by an earlier version" }}.
No patient is in two splits; {{ cleaned.quarantined }} file(s) were set aside.</p>
{% for warning in warnings %}<p class="warn">Warning: {{ warning }}</p>{% endfor %}
<table><tr><th>Split</th><th class="number">Patients</th>
{% for name in cleaned.classes %}<th class="number">{{ name }}</th>{% endfor %}</tr>
{% for split, count in cleaned.patients.items() %}<tr>
<td>{{ split.value }}</td>
<td class="number">{{ count }}</td>{% for name in cleaned.classes %}
<td class="number">{{ cleaned.counts[split].get(name, 0) }}</td>{% endfor %}</tr>
{% endfor %}</table>
<p>Both held-out splits keep their own share of {{ positive }}. An epoch of training shows
{% for name, count in cleaned.trained_on.items() %}{{ count }} {{ name }}
{%- if not loop.last %}, {% endif %}{% endfor %}
{%- if cleaned.class_weights %}, weighted {% for name, weight in cleaned.class_weights.items() %}
{{ name }} {{ '%.3g' % weight }}{% if not loop.last %}, {% endif %}{% endfor %}{% endif %}.</p>
<p class="quiet">Index <code>{{ cleaned.index_sha256[:12] }}</code>, cleaning
<code>{{ cleaned.spec_sha256[:12] }}</code>, training data
<code>{{ cleaned.training_data_sha256[:12] }}</code>.</p>
"""

_TRAINING = """<h2>Training</h2>
<p>{{ trained.summary() }}; weights: {{ trained.weights }}.</p>
{{ figure(training) }}
<details><summary>The epochs as a table</summary>
<table><tr>{% for name in curves %}<th class="number">{{ name }}</th>{% endfor %}</tr>
{% for row in epochs %}<tr>{% for cell in row %}<td class="number">{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table></details>
"""

_MACROS = """{% macro figure(plot) %}<figure><img alt="{{ plot.alt }}"
src="data:image/png;base64,{{ plot.png }}"></figure>
{% endmacro %}
{% macro slope(found) %}{% if found.calibration_slope is none %}not computable{% else %}
{{ '%.2f'|format(found.calibration_slope) }}{% endif %}{% endmacro %}
<style>.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(24rem, 1fr)); }
.plots img { width: 100%; } .cases figure { width: 400px; }
.cases figcaption { overflow-wrap: anywhere; font-size: .85rem; }
img.film { image-rendering: pixelated; } b.for { color: #d55e00; }
b.against { color: #0072b2; } summary { cursor: pointer; }</style>
"""

TEMPLATE = "".join(
    (
        "{% block content %}",
        _MACROS,
        _SUMMARY,
        _PLOTS,
        _FIGURES,
        _THRESHOLD,
        _SLICES,
        _CASES,
        _DATA,
        _TRAINING,
        "{% endblock %}",
    )
)
