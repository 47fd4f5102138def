"""The page of the leakage certificate: what was compared, and both pictures of every overlap."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml_tasks.dataset.leakage import LeakageCertificate, Overlap, OverlapImage, OverlapKind
from ml_tasks.imaging.encode import png_bytes
from ml_tasks.pages.layout import render

SHOWN = 200  # overlaps on one page; about 15 KB each, and nobody looks through more
_KINDS = {
    OverlapKind.PATIENT: "same patient",
    OverlapKind.EXACT: "equal pixels",
    OverlapKind.NEAR_DUPLICATE: "near-duplicate",
}

_TEMPLATE = """{% macro side(shown) %}
{% if shown.picture %}<img alt="cleaned picture of {{ shown.image.file }}" width="128" height="128"
src="data:image/png;base64,{{ shown.picture }}"><br>{% endif %}
{{ shown.image.file }}<br>patient {{ shown.image.patient }}, <strong>{{ shown.image.split.value }}
</strong>{% endmacro %}
{% macro table(pairs, count, second) %}
<table><tr><th>Found by</th><th>Picture</th><th>{{ second }}</th></tr>
{% for pair in pairs %}<tr><td>{{ pair.kind }}{% if pair.similarity is not none %}<br>similarity
{{ '%.2f'|format(pair.similarity) }}{% endif %}</td><td>{{ side(pair.first) }}</td>
<td>{{ side(pair.second) }}</td></tr>{% endfor %}</table>
{% if count > pairs|length %}<p>{{ count - pairs|length }} more are listed in the certificate's JSON
file.</p>{% endif %}{% endmacro %}
{% block content %}
<h1>Leakage certificate</h1>
<p class="lead {{ 'good' if certificate.clean else 'bad' }}">
{% if certificate.clean %}No leakage was found. No patient and no film of one split was found in
another{% if certificate.against_production is not none %}, and the production model was not trained
on what this run tests with{% endif %}.
{% else %}Leakage was found: {{ certificate.overlaps|length }} overlap(s) between splits
{%- if certificate.against_production is not none %} and
{{ certificate.production_overlaps|length }} with what production was trained on{% endif %}.
The run stops here, since its test figures would be better than the truth.{% endif %}</p>
<h2>What this is</h2>
<p>A model is trained on one part of the pictures and tested on another. If one woman, or one film,
is in both, the model may remember her instead of recognising disease, and the test praises it for
that. So every picture of each split is compared with every picture of the others, by three means:
</p>
<table><tr><th>Means</th><th>What counts as an overlap</th></tr>
<tr><td>same patient</td><td>Pictures of one patient (the <code>patient_id</code> of metadata.csv)
lie in two splits.</td></tr>
<tr><td>equal pixels</td><td>Two files hold exactly the same picture, whatever they are called and
whosever they are said to be. The hashes of their pixels are compared.</td></tr>
<tr><td>near-duplicate</td><td>Two files show one film that was resized, compressed again, cropped,
turned a little, mirrored, or made brighter or darker in between. The fine texture of the cleaned
pictures is laid over one another; from a correlation of
{{ '%.2f'|format(certificate.threshold) }} on (1 is equal) they count as one film. Films of the two
breasts of one woman lie well below it
(method <code>{{ certificate.method }}</code>).</td></tr></table>
<h2>What was compared</h2>
<table><tr><th>Split</th><th class="number">Images</th><th class="number">Patients</th></tr>
{% for split, count in certificate.images.items() %}<tr><td>{{ split.value }}</td>
<td class="number">{{ '{:,}'.format(count) }}</td>
<td class="number">{{ '{:,}'.format(certificate.patients[split]) }}</td></tr>{% endfor %}</table>
<p>{{ '{:,}'.format(certificate.pairs) }} pairs of pictures in different splits.
{% if certificate.against_production is none %}There was no production model to compare with.
{% else %}With the {{ '{:,}'.format(certificate.production_images) }} pictures that trained
production <code>{{ certificate.against_production }}</code> (its training and validation splits):
{{ '{:,}'.format(certificate.production_pairs) }} pairs. This run's test split must share nothing
with them; its validation split nothing with production's training split.{% endif %}</p>
<h2>Overlaps between the splits ({{ certificate.overlaps|length }})</h2>
{% if overlaps %}{{ table(overlaps, certificate.overlaps|length, "lies also in another split as") }}
<p>What to do: if both files are of one patient, give them the same <code>patient_id</code> in
metadata.csv; else remove one of the two from the raw folder. Then start a new run.</p>
{% else %}<p>None.</p>{% endif %}
{% if certificate.against_production is not none %}
<h2>Overlaps with production's training ({{ certificate.production_overlaps|length }})</h2>
{% if production_overlaps %}
{{ table(production_overlaps, certificate.production_overlaps|length,
"production was trained on") }}
<p>What to do: restore the split ledger that this production model was trained with, or remove the
pictures from the raw folder. What has trained a model cannot test it, nor its successors against
it.</p>
{% else %}<p>None.</p>{% endif %}{% endif %}
{% endblock %}"""


@dataclass(frozen=True)
class _Side:
    image: OverlapImage
    picture: str  # base64 of a PNG; empty where there is none


def leakage_page(
    certificate: LeakageCertificate,
    pictures: Mapping[str, NDArray[np.uint8]],
    production_pictures: Mapping[str, NDArray[np.uint8]] | None = None,
) -> str:
    """The certificate as HTML text; `pictures` are cleaned ones (H,W) uint8 by their raw file.

    `production_pictures` are those that production was trained on, where they still exist; a file
    of that name today may be another picture. A picture that is not given is left out.
    """
    then = production_pictures or {}
    return render(
        _TEMPLATE,
        {
            "title": "Leakage certificate",
            "run_id": certificate.run_id,
            "certificate": certificate,
            "overlaps": _pairs(certificate.overlaps, pictures, pictures),
            "production_overlaps": _pairs(certificate.production_overlaps, pictures, then),
        },
    )


def _pairs(
    overlaps: Sequence[Overlap],
    firsts: Mapping[str, NDArray[np.uint8]],
    seconds: Mapping[str, NDArray[np.uint8]],
) -> list[dict[str, object]]:
    return [
        {
            "kind": _KINDS[overlap.kind],
            "similarity": overlap.similarity,
            "first": _side(overlap.first, firsts),
            "second": _side(overlap.second, seconds),
        }
        for overlap in overlaps[:SHOWN]
    ]


def _side(image: OverlapImage, pictures: Mapping[str, NDArray[np.uint8]]) -> _Side:
    pixels = pictures.get(image.file)
    found = "" if pixels is None else base64.b64encode(png_bytes(pixels)).decode("ascii")
    return _Side(image, found)
