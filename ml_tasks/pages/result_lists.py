"""The pages that list drift reports and scored batches; their files are made elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ml_tasks.pages.answer import Answer
from ml_tasks.pages.frame import framed
from ml_tasks.pages.reading import DAMAGED, json_of, shown_time, written_at
from ml_tasks.pages.served_files import plain_name
from ml_tasks.pages.site import Site

SHOWN = 200
_LINES = ("line", "one_line", "sentence", "summary", "reason")  # of a verdict, for people

_MAIN = """<h1>{{ heading }}</h1><p>{{ about }}</p>
{% for each in found %}<article aria-label="{{ each.name }}"><h2>{{ each.name }}
{% if each.verdict %}<span class="state {{ each.kind }}">{{ each.verdict }}</span>{% endif %}</h2>
<p class="quiet">{{ each.when }}</p>{% if each.line %}<p class="told">{{ each.line }}</p>{% endif %}
<ul class="links">{% for text, href in each.links %}<li><a href="{{ href }}">{{ text }}</a></li>
{% endfor %}</ul></article>{% else %}<p>None yet: {{ start }}</p>{% endfor %}
<ul class="links"><li>{{ out(site.to_dag(dag), "The DAG in Airflow") }}</li></ul>
"""


def drift(site: Site) -> Answer:
    """Every drift report, the newest first, each with its verdict."""
    about = "The service's images and scores held against those of the training, the newest first."
    found = [
        {**_entry(site, folder, "drift", _DRIFT), **_verdict(folder)}
        for folder in _folders(site.config.paths.drift, ("report.html", "summary.html"))
    ]
    start = "the DAG mammography_drift makes one a day."
    values = {"found": found, "about": about, "start": start, "dag": "mammography_drift"}
    return framed(site, "Drift", _MAIN, values)


def scoring(site: Site) -> Answer:
    """Every scored batch, the newest first."""
    found = [
        {
            **_entry(site, folder, "scoring", _BATCH),
            "line": _batch(json_of(folder / "summary.json")),
        }
        for folder in _folders(site.config.paths.scoring, ("summary.html",))
    ]
    about = "Folders of images that were scored with a release, the newest first."
    start = "trigger mammography_batch_scoring with a folder."
    values = {"found": found, "about": about, "start": start, "dag": "mammography_batch_scoring"}
    return framed(site, "Scored batches", _MAIN, values)


_DRIFT = (("Summary", "summary.html"), ("Report", "report.html"), ("Figures", "verdict.json"))
_BATCH = (
    ("Summary", "summary.html"),
    ("Predictions, CSV", "predictions.csv"),
    ("Predictions, Parquet", "predictions.parquet"),
)


def _folders(root: Path, one_of: tuple[str, ...]) -> list[Path]:
    """The folders that hold one of these files, the newest first."""
    try:
        there = [path for path in root.iterdir() if plain_name(path.name) and path.is_dir()]
    except OSError:
        return []
    done = [path for path in there if any((path / name).is_file() for name in one_of)]
    return sorted(done, key=lambda path: (written_at(path), path.name), reverse=True)[:SHOWN]


def _entry(
    site: Site, folder: Path, kind: str, files: tuple[tuple[str, str], ...]
) -> dict[str, Any]:
    links = [
        (text, site.to(kind, folder.name, "files", name))
        for text, name in files
        if (folder / name).is_file()
    ]
    when = shown_time(written_at(folder))
    return {
        "name": folder.name,
        "when": when,
        "links": links,
        "verdict": "",
        "kind": "",
        "line": "",
    }


def _batch(told: dict[str, Any]) -> str:
    from ml_tasks.scoring.summary import BatchSummary  # brings ONNX Runtime in: only for this page

    try:
        return BatchSummary.model_validate(told).line()
    except DAMAGED:
        return "its summary.json is gone or cannot be read"


def _verdict(folder: Path) -> dict[str, str]:
    told = json_of(folder / "verdict.json")
    verdict = str(told.get("verdict") or "")
    kind = {"DRIFT": "bad", "NO DRIFT": "good"}.get(verdict.upper().replace("_", " "), "warn")
    # What follows from the verdict, and why, repeats it.
    line = _line(json_of(folder / "suggestion.json")) or _line(told)
    return {"verdict": verdict, "kind": kind, "line": line}


def _line(told: dict[str, Any]) -> str:
    return next((text for key in _LINES if isinstance(text := told.get(key), str) and text), "")
