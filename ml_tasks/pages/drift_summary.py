"""The short page of one day's drift: the verdict, each limit, each figure, what was left out."""

from __future__ import annotations

from ml_tasks.monitoring.verdict import REPORT, DriftReport, DriftVerdict
from ml_tasks.pages.layout import render

_TEMPLATE = """{% block content %}
<h1>Drift</h1>
<p class="lead {{ tone }}">{{ report.summary() }}</p>
<p class="quiet">Images of {{ report.version or 'no release' }} from {{ report.since }} to
{{ report.until }} (UTC).{% if page %} <a href="{{ page }}">Evidently's report</a> shows each
distribution (it needs scripts).{% endif %}</p>
{% if report.rules %}
<h2>Limits</h2>
<table><tr><th></th><th>Limit</th></tr>
{% for rule in report.rules %}<tr><td class="{{ 'good' if rule.passed else 'bad' }}">
{{- 'kept' if rule.passed else 'exceeded' }}</td><td>{{ rule.sentence }}</td></tr>
{% endfor %}</table>
<h2>Figures</h2>
<table><tr><th>Figure</th><th class="number">release's own</th><th class="number">service's</th>
<th class="number">distance</th><th class="number">limit</th><th class="number">by chance</th>
<th></th></tr>
{% for figure in figures %}<tr><td>{{ figure.name }}</td>
{% for value in (figure.before, figure.now, figure.distance, figure.limit, figure.by_chance) %}
<td class="number">{{ '%.3g' % value }}</td>{% endfor %}
<td class="{{ 'bad' if figure.drifted else 'good' }}">
{{- 'drifted' if figure.drifted else 'alike' }}</td></tr>
{% endfor %}</table>
<p>The distance is how far values have moved on the average, in standard deviations of the release's
own ({{ report.reference_images }} pictures, {{ report.reference_scores }} scores). Like images
exceed the one by chance once in 200 comparisons; a limit is never below it.</p>
{% endif %}
<h2>Images of the service</h2>
<table>
{% for name, count in counts.items() %}<tr><td>{{ name }}</td>
<td class="number">{{ count }}</td></tr>{% endfor %}
{% for name, count in report.formats.items() %}<tr><td>format {{ name or 'not told' }}</td>
<td class="number">{{ count }}</td></tr>{% endfor %}
{% for code, share in report.quality.items() %}<tr><td>warning {{ code }}</td>
<td class="number">{{ '%.1f' % (100 * share) }} %</td></tr>{% endfor %}
</table>
{% endblock %}"""

_TONES = {DriftVerdict.DRIFT: "bad", DriftVerdict.NO_DRIFT: "good"}
_SAID = {
    "files": "files read",
    "images": "images of the release in the window",
    "compared": "of these compared",
    "repeated": "the same picture again",
    "earlier": "older",
    "later": "later",
    "other_version": "of other releases",
    "unusable": "lines whose figures are missing or no numbers",
    "foreign": "lines that are not the service's",
    "torn": "lines not complete",
}


def drift_summary(report: DriftReport, page: bool) -> str:
    """The page as HTML text; `page`: Evidently's report lies beside it."""
    figures = (*report.figures, *([report.score] if report.score else []))
    return render(
        _TEMPLATE,
        {
            "title": "Drift",
            "run_id": report.run_id,
            "report": report,
            "tone": _TONES.get(report.verdict, "warn"),
            "page": REPORT if page else None,
            "figures": figures,
            "counts": {_SAID[name]: count for name, count in report.counts},
        },
    )
