"""The page of validate_data: what was found, which expectations held, what was set aside."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from ml_tasks.dataset.expectations import Expectation
from ml_tasks.dataset.manifest import ManifestRow
from ml_tasks.pages.layout import render
from ml_tasks.records import ValidationRecord

_TEMPLATE = """{% macro files(paths) %}<ul>{% for path in paths %}<li>{{ path }}</li>
{% endfor %}</ul>{% endmacro %}{% block content %}
<h1>Data validation</h1>
<p class="lead {{ 'good' if record.passed else 'bad' }}">{{ record.summary() }}</p>
<p class="quiet">Folder {{ record.raw }}{% if record.snapshot %}, snapshot {{ record.snapshot }}
{%- endif %}; started {{ record.started_at }}; manifest
<code>{{ record.manifest_sha256[:12] }}</code></p>
{% for warning in record.warnings %}<p class="warn">Warning: {{ warning }}</p>{% endfor %}
<h2>Expectations</h2>
<table><tr><th></th><th>Expectation</th><th>Found</th></tr>
{% for result in results %}
<tr><td class="{{ 'good' if result.met else 'bad' if result.required else 'warn' }}">
{{- 'met' if result.met else 'NOT met' if result.required else 'warning' }}</td>
<td>{{ result.title }}</td><td>{{ result.observed }}
{% if not result.met and result.failing %}{{ files(result.failing[:20]) }}
{% if result.failing|length > 20 %}<details><summary>and {{ result.failing|length - 20 }} more
</summary>{{ files(result.failing[20:]) }}</details>{% endif %}{% endif %}
</td></tr>
{% endfor %}</table>
<p>What is not met fails the run. A warning does not: cleaning copes with it, but a person should
look. The limits stand in config.yaml under <code>data</code> and <code>validation</code>.
<a href="failing_files.csv">failing_files.csv</a> lists every failing file; the
<a href="data_docs/index.html">Great Expectations Data Docs</a> hold each expectation's figures.</p>
<h2>Classes</h2>
<table><tr><th>Class</th><th>Meaning</th><th class="number">Images</th></tr>
{% for name, count in record.classes.items() %}<tr><td>{{ name }}</td>
<td>{{ meaning.get(name, '') }}</td><td class="number">{{ count }}</td></tr>{% endfor %}</table>
<h2>What the images are like</h2>
<table><tr><th></th><th class="number">lowest</th><th class="number">middle</th>
<th class="number">highest</th></tr>
{% for figure in figures %}<tr><td>{{ figure.name }}</td>
{% for value in (figure.low, figure.middle, figure.high) %}
<td class="number">{{ '%.4g' % value }}</td>{% endfor %}</tr>{% endfor %}</table>
<h2>Set aside ({{ aside|length }})</h2>
{% if aside %}<table><tr><th>File</th><th>Reason</th></tr>
{% for row in aside %}<tr><td>{{ row.path }}</td><td>{{ row.reason }}</td></tr>{% endfor %}</table>
<p>Nothing was moved or deleted. A mended file is used again by the next run.</p>
{% else %}<p>None.</p>{% endif %}
{% endblock %}"""


def validation_report(
    record: ValidationRecord,
    results: Sequence[Expectation],
    rows: Sequence[ManifestRow],
    meaning: Mapping[str, str],
) -> str:
    """The report as HTML text."""
    return render(
        _TEMPLATE,
        {
            "title": "Data validation",
            "run_id": record.run_id,
            "record": record,
            "results": results,
            "aside": [row for row in rows if not row.usable],
            "meaning": meaning,
            "figures": _figures([row for row in rows if row.usable]),
        },
    )


_SHOWN = {
    "width": "width, pixels",
    "height": "height, pixels",
    "bit_depth": "bits of a pixel",
    "brightness": "brightness, mean grey level of 255",
    "contrast": "contrast, standard deviation of the grey levels",
    "breast_share": "share of the film that is breast",
    "label_blobs": "labels and markers beside the breast",
    "saturation": "share of the breast at the end of the grey scale",
    "sharpness": "sharpness",
}


def _figures(rows: Sequence[ManifestRow]) -> list[dict[str, object]]:
    """Lowest, middle and highest of each measure of the usable images."""
    figures: list[dict[str, object]] = []
    for field, name in _SHOWN.items():
        values = [value for row in rows if (value := getattr(row, field)) is not None]
        if values:
            middle = statistics.median(values)
            figures.append(
                {"name": name, "low": min(values), "middle": middle, "high": max(values)}
            )
    return figures
