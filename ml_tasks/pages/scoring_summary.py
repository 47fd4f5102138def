"""The page of a scored batch: what was named, what could not be scored, and by which release."""

from __future__ import annotations

from typing import Any

from ml_tasks.inference.answer import Quality
from ml_tasks.pages.layout import render
from ml_tasks.scoring.summary import BINS, SHOWN_ERRORS, BatchSummary

_WIDTH, _HEIGHT = 640, 180  # of the histogram, in the SVG's own units
_FOOT = 24  # for the labels below
QUALITY = {
    Quality.BLANK: "the breast shows no structure",
    Quality.INVERTED: "white background: inverted before it was judged, or not clear which",
    Quality.UNLIKE_TRAINING: "unlike the pictures that the model learned from",
    Quality.CROPPED: "part of the breast may be cut off",
    Quality.LOW_RESOLUTION: "fewer pixels than the model looks at",
}

_TEMPLATE = """{% block content %}
<h1>Scored batch {{ plan.name }}</h1>
<p class="lead">{{ '{:,}'.format(summary.scored) }} of {{ '{:,}'.format(plan.images) }} images have
an answer{% if summary.failed %}; <span class="bad">{{ '{:,}'.format(summary.failed) }} could not be
scored</span>{% endif %}.</p>
{% if not summary.production.same %}<p class="warn">{{ summary.production.text }}.</p>{% endif %}
{% for name in summary.files %}<a href="{{ name }}" download>{{ name }}</a>
{% endfor %}<a href="summary.json" download>summary.json</a>
<h2>Answers</h2>
<table><tr><th>Class</th><th class="number">Images</th><th class="number">Share</th></tr>
{% for row in classes %}<tr><td>{{ row.name }}</td><td class="number">{{ row.count }}</td>
<td class="number">{{ row.share }}</td></tr>{% endfor %}</table>
<p>{{ plan.positive }} is named from a probability of {{ '%.3f' % plan.threshold }} on. An image
alone is no finding: the shares are those of this folder, not of a population.</p>
{% if summary.scored %}<figure><svg viewBox="0 0 {{ width }} {{ height }}" width="{{ width }}"
height="{{ height }}" role="img" aria-labelledby="histogram" style="max-width:100%">
<title id="histogram">Images by their probability of {{ plan.positive }}, in {{ bins }} parts from
0 to 1; the table of the same figures follows</title>
{% for bar in bars %}<rect x="{{ bar.x }}" y="{{ bar.y }}" width="{{ bar.width }}"
height="{{ bar.height }}" fill="{{ '#a8201a' if bar.above else '#3b6ea5' }}"></rect>{% endfor %}
<line x1="{{ mark }}" x2="{{ mark }}" y1="0" y2="{{ floor }}" stroke="#1d2733"
stroke-dasharray="4 3"></line>
<line x1="0" x2="{{ width }}" y1="{{ floor }}" y2="{{ floor }}" stroke="#5b6876"></line>
<text x="0" y="{{ height - 6 }}" font-size="13">0</text>
<text x="{{ width }}" y="{{ height - 6 }}" font-size="13" text-anchor="end">1</text>
<text x="{{ width / 2 }}" y="{{ height - 6 }}" font-size="13" text-anchor="middle">probability of
{{ plan.positive }}; dashed: threshold</text></svg></figure>
<details><summary>The figures of the picture</summary>
<table><tr><th>Probability</th><th class="number">Images</th></tr>
{% for bar in bars %}<tr><td>{{ bar.range }}</td><td class="number">{{ bar.count }}</td></tr>
{% endfor %}</table></details>{% endif %}
<h2>Not scored</h2>
{% if summary.errors %}<table><tr><th>Code</th><th class="number">Images</th></tr>
{% for code, count in summary.errors.items() %}<tr><td><code>{{ code }}</code></td>
<td class="number">{{ '{:,}'.format(count) }}</td></tr>{% endfor %}</table>
<table><tr><th>File</th><th>Code</th><th>Why</th></tr>
{% for error in summary.first_errors %}<tr><td>{{ error.file }}</td>
<td><code>{{ error.code }}</code></td><td>{{ error.text }}</td></tr>{% endfor %}</table>
{% if summary.failed > shown %}<p class="quiet">The first {{ shown }}; the tables hold all.</p>
{% endif %}{% else %}<p>Every file has an answer.</p>{% endif %}
<h2>Quality warnings</h2>
{% if quality %}<table><tr><th>Warning</th><th>Meaning</th><th class="number">Images</th></tr>
{% for row in quality %}<tr><td><code>{{ row.code }}</code></td><td>{{ row.meaning }}</td>
<td class="number">{{ row.count }}</td></tr>{% endfor %}</table>
<p>{{ '{:,}'.format(summary.warned) }} answered images have one or more: look at them before
believing the answer.</p>{% else %}<p>None.</p>{% endif %}
<h2>Left out</h2>
{% if plan.left_out %}<table><tr><th>Kind</th><th class="number">Entries</th><th>The first</th></tr>
{% for kind, count in plan.left_out.items() %}<tr><td>{{ kind }}</td>
<td class="number">{{ '{:,}'.format(count) }}</td>
<td>{{ plan.left_out_names[kind] | join(', ') }}</td></tr>{% endfor %}</table>
{% else %}<p>Nothing: every file of the folder has its row.</p>{% endif %}
<h2>By what</h2>
<table>
<tr><td>Folder</td><td>{{ plan.folder }}</td></tr>
<tr><td>Release</td><td>{{ plan.version }}</td></tr>
<tr><td>Image digest</td><td><code>{{ plan.digest }}</code></td></tr>
<tr><td>Production</td><td>{{ summary.production.text }}</td></tr>
<tr><td>Planned</td><td>{{ plan.planned_at }}</td></tr>
<tr><td>Finished</td><td>{{ summary.finished_at }}, after {{ duration }}</td></tr>
<tr><td>Listing</td><td><code>{{ plan.listing_sha256 }}</code></td></tr>
</table>
{% endblock %}"""


def scoring_page(summary: BatchSummary) -> str:
    """The page as HTML text; the tables lie beside it."""
    plan = summary.plan
    return render(
        _TEMPLATE,
        {
            "title": f"Scored batch {plan.name}",
            "run_id": plan.name,
            "summary": summary,
            "plan": plan,
            "classes": [
                {"name": name, "count": f"{count:,}", "share": _share(count, summary.scored)}
                for name, count in summary.classes.items()
            ],
            "bars": _bars(summary),
            "bins": BINS,
            "width": _WIDTH,
            "height": _HEIGHT,
            "floor": _HEIGHT - _FOOT,
            "mark": round(plan.threshold * _WIDTH, 1),
            "quality": [
                {"code": code, "meaning": QUALITY[Quality(code)], "count": f"{count:,}"}
                for code, count in summary.quality.items()
            ],
            "shown": SHOWN_ERRORS,
            "duration": _duration(summary.seconds),
        },
    )


def _bars(summary: BatchSummary) -> list[dict[str, Any]]:
    highest, floor = max(1, *summary.histogram), _HEIGHT - _FOOT
    bars = []
    for number, count in enumerate(summary.histogram):
        height = round(count / highest * (floor - 4), 1)
        bars.append(
            {
                "x": round(number * _WIDTH / BINS + 1, 1),
                "y": round(floor - height, 1),
                "width": round(_WIDTH / BINS - 2, 1),
                "height": height,
                "above": (number + 0.5) / BINS >= summary.plan.threshold,
                "range": f"{number / BINS:.2f} to {(number + 1) / BINS:.2f}",
                "count": f"{count:,}",
            }
        )
    return bars


def _share(count: int, of: int) -> str:
    return f"{100 * count / of:.1f} %" if of else "-"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
