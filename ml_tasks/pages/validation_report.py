"""The page of validate_data: what was found, which expectations held, what was set aside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ml_tasks.dataset.manifest import ManifestRow
from ml_tasks.pages.layout import render
from ml_tasks.records import Record, ValidationRecord


class Expectation(Record):
    """One expectation and how the data met it."""

    title: str
    met: bool
    observed: str
    failing: tuple[str, ...] = ()
    failing_count: int = 0


_TEMPLATE = """{% block content %}
<h1>Data validation</h1>
<p class="lead {{ 'good' if record.passed else 'bad' }}">{{ record.summary() }}</p>
<p class="quiet">Folder {{ record.raw }}; started {{ record.started_at }}; manifest
<code>{{ record.manifest_sha256[:12] }}</code></p>
{% for warning in record.warnings %}<p class="warn">Warning: {{ warning }}</p>{% endfor %}
<h2>Expectations</h2>
<table><tr><th></th><th>Expectation</th><th>Found</th></tr>
{% for result in results %}
<tr><td class="{{ 'good' if result.met else 'bad' }}">{{ 'met' if result.met else 'NOT met' }}</td>
<td>{{ result.title }}</td><td>{{ result.observed }}
{% if not result.met and result.failing %}<ul>{% for path in result.failing %}<li>{{ path }}</li>
{% endfor %}</ul>{% if result.failing_count > result.failing|length %}and
{{ result.failing_count - result.failing|length }} more, in the Data Docs{% endif %}{% endif %}
</td></tr>
{% endfor %}</table>
<p><a href="data_docs/index.html">Great Expectations Data Docs</a> list every failing file.</p>
<h2>Classes</h2>
<table><tr><th>Class</th><th>Meaning</th><th class="number">Images</th></tr>
{% for name, count in record.classes.items() %}<tr><td>{{ name }}</td>
<td>{{ meaning.get(name, '') }}</td><td class="number">{{ count }}</td></tr>{% endfor %}</table>
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
        },
    )
