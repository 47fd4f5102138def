"""The page of preprocess: splits, what cleaning did, contact sheets, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence

from ml_tasks.dataset.assembly import Findings
from ml_tasks.pages.layout import render
from ml_tasks.records import PreprocessRecord, Split

_TEMPLATE = """{% block content %}
<h1>Cleaned set</h1>
<p class="lead">{{ record.summary() }}</p>
<p class="quiet">Folder {{ record.raw }}; {{ record.quarantined }} file(s) were set aside by
validation.</p>
{% for warning in record.warnings %}<p class="warn">Warning: {{ warning }}</p>{% endfor %}
<h2>Splits</h2>
<table><tr><th>Split</th><th class="number">Patients</th>
{% for name in record.classes %}<th class="number">{{ name }}</th>{% endfor %}
<th class="number">{{ record.positive }}, share</th></tr>
{% for row in splits %}<tr><td>{{ row.name }}</td><td class="number">{{ row.patients }}</td>
{% for count in row.counts %}<td class="number">{{ count }}</td>{% endfor %}
<td class="number">{{ '%.1f' % (100 * row.prevalence) }} %</td></tr>{% endfor %}</table>
<p>Validation and test keep their true share of {{ record.positive }}; only training is balanced:
an epoch shows {% for name, count in record.trained_on.items() %}{{ count }} {{ name }}
{%- if not loop.last %}, {% endif %}{% endfor %}
{%- if record.class_weights %}, weighted {% for name, weight in record.class_weights.items() %}
{{ name }} {{ '%.3g' % weight }}{% if not loop.last %}, {% endif %}{% endfor %}{% endif %}.
A patient is in one split for good.</p>
<p>{{ record.certificate }}. <a href="leakage.html">Leakage certificate</a></p>
<h2>What cleaning did</h2>
<p>Of the film, {{ '%.0f' % (100 * kept.low) }} % to {{ '%.0f' % (100 * kept.high) }} % was kept
(middle {{ '%.0f' % (100 * kept.middle) }} %); from {{ parted }} of {{ films }} films labels,
markers or tape were taken. <b>Look at the sheets</b>: left the film with the kept region outlined,
right the finished picture.</p>
{% if lesions %}<p>{{ lesions.sentence() }}.</p>
{% else %}<p>No lesions.csv: what the finished size costs cannot be told.</p>{% endif %}
<h2>Shortcuts</h2>
<p>A fixed classifier is asked to tell the classes apart from what no diagnosis can rest on, for
patients it has not seen. 0.50 is chance. A high figure for what was removed says how tempting the
shortcut was; for the outline alone it says that the classes differ in more than disease.</p>
<table><tr><th>From</th><th class="number">AUC</th><th class="number">95 % interval</th>
<th></th></tr>
{% for control in controls %}<tr><td>{{ control.name }}</td>
{% if control.auc is none %}<td></td><td></td><td>{{ control.why }}</td>
{% else %}<td class="number">{{ '%.2f' % control.auc }}</td>
<td class="number">{{ '%.2f' % control.low }} to {{ '%.2f' % control.high }}</td>
<td>{% if control.warning %}<span class="warn">above {{ '%.2f' % control.bound }}</span>{% endif %}
</td>
{% endif %}</tr>{% endfor %}</table>
<h2>The films that lost most</h2>
<p><a href="most_removed.png"><img src="most_removed.png" alt="films that lost most"
style="max-width:100%"></a></p>
<h2>A sample</h2>
<p><a href="contact_sheet.png"><img src="contact_sheet.png" alt="a sample of films"
style="max-width:100%"></a></p>
{% endblock %}"""


def cleaning_report(record: PreprocessRecord, findings: Findings) -> str:
    """The report as HTML text; the contact sheets lie beside it."""
    shares: Sequence[float] = sorted(findings.kept_shares)
    return render(
        _TEMPLATE,
        {
            "title": "Cleaned set",
            "run_id": record.run_id,
            "record": record,
            "splits": [_split(record, split) for split in Split],
            "kept": {
                "low": shares[0],
                "middle": shares[len(shares) // 2],
                "high": shares[-1],
            },
            "parted": findings.parted,
            "films": len(shares),
            "lesions": findings.lesions,
            "controls": findings.controls,
        },
    )


def _split(record: PreprocessRecord, split: Split) -> dict[str, object]:
    counts = [record.counts[split].get(name, 0) for name in record.classes]
    positive = record.counts[split].get(record.positive, 0)
    return {
        "name": split.value,
        "patients": record.patients[split],
        "counts": counts,
        "prevalence": positive / max(1, sum(counts)),
    }
