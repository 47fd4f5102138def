"""The pages of one release: what it is, how it was tried, its card, and the way back to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ml_tasks.pages.answer import Answer
from ml_tasks.pages.frame import framed, told
from ml_tasks.pages.reading import (
    DAMAGED,
    json_of,
    release_line,
    shown_time,
)
from ml_tasks.pages.served_files import VERSION
from ml_tasks.pages.serving_now import serving_now
from ml_tasks.pages.site import ROLLBACK, Site
from ml_tasks.records import SmokeRecord

_CARD = 200_000  # characters shown of a model card

_RELEASE = """<h1>Release {{ version }}
{% if serves %}<span class="state good">SERVES</span>{% endif %}</h1>
<p class="lead told">{{ verdict }}</p>
{% for problem in problems %}<p class="warn told">{{ problem }}</p>{% endfor %}
<table>
{% if shipped %}<tr><th scope="row">Image</th><td><code>{{ shipped.digest }}</code></td></tr>
<tr><th scope="row">Shipped</th><td>{{ shipped_at }}</td></tr>{% endif %}
{% for name, value in lineage %}<tr><th scope="row">{{ name }}</th><td class="told">{{ value }}</td>
</tr>{% endfor %}</table>
<ul class="links">{% if run_id %}<li><a href="{{ site.to('runs', run_id) }}">The run</a></li>
<li><a href="{{ site.to('runs', run_id, 'why') }}">Why it was shipped</a></li>
<li><a href="{{ site.to('runs', run_id, 'files', 'evaluate', 'report.html') }}">Report</a></li>
{% endif %}{% if can_roll_back %}<li><a class="button" data-leaves="_self"
href="{{ site.to('releases', version, 'rollback') }}">Roll back to this</a></li>{% endif %}</ul>
<h2>Smoke test of the very image</h2>
{% if smoke %}<p>{{ smoke.summary() }}</p><ul>{% for trial in smoke.trials %}
<li class="{{ 'good' if trial.passed else 'bad' }}">{{ trial.in_words() }}</li>{% endfor %}</ul>
{% else %}<p class="quiet">No record of it is kept with this release.</p>{% endif %}
<h2>Files</h2>
<p>The signed statement says what was built from what; <code>mammo verify {{ version }}</code> holds
image, files and signature against it.</p>
<ul>{% for part, name in files %}<li>
<a href="{{ site.to('releases', version, 'files', part, name) }}">{{ part }}/{{ name }}</a></li>
{% endfor %}</ul>
<h2 id="card">Model card</h2>
{% if card %}<div class="told">{{ card }}</div>{% else %}<p class="warn">It is gone.</p>{% endif %}
"""

_ROLLBACK = """<h1>Roll back to {{ version }}</h1>
<p id="said" role="status">Below is Airflow's own form; the version is being filled in. Say why,
then press its Trigger. Nothing moves before that; the image is smoke-tested first.</p>
<p><a href="{{ site.framed(site.to('models')) }}" data-leaves="_self">Back to Models, nothing
done</a></p>
<iframe id="form" src="{{ form }}" title="The form of the rollback"
data-values="{{ values }}"></iframe>
"""
_WIDE = "<style>body{max-width:none} iframe{width:100%;height:80vh;border:1px solid}</style>"

FILL_IN = """"use strict";
// Opens the form of Airflow's own page in the frame and fills it in; the person presses Trigger.
const frame = document.getElementById("form");
const values = JSON.parse(frame.dataset.values);
const said = document.getElementById("said");
const until = Date.now() + 60000;
let opened = false;

function fill(field, value) {
  const own = frame.contentWindow.HTMLInputElement.prototype;
  Object.getOwnPropertyDescriptor(own, "value").set.call(field, value);
  field.dispatchEvent(new frame.contentWindow.Event("input", { bubbles: true }));
}

function step() {
  const page = frame.contentDocument;
  const fields = Object.keys(values).map(
    (name) => page && page.querySelector(`input[name="element_${name}"]`));
  if (fields.length > 0 && fields.every(Boolean)) {
    Object.values(values).forEach((value, place) => fill(fields[place], value));
    said.textContent = "Filled in. Say why, then press Trigger. Nothing moves before that; "
      + "the image is smoke-tested first.";
    said.dataset.done = "yes";
    return;
  }
  const button = page && page.querySelector('[data-testid="trigger-dag-button"]');
  if (button && !opened) {
    opened = true;
    button.click();
  }
  if (Date.now() < until) {
    setTimeout(step, 250);
  } else {
    said.textContent = "The form could not be filled in: press Trigger in the page below and enter "
      + Object.entries(values).map((pair) => pair.join(" ")).join(", ") + ".";
  }
}
step();
"""


def release(site: Site, version: str) -> Answer:
    """One release, as far as its files are still there."""
    folder = site.config.paths.releases / version
    if not VERSION.fullmatch(version) or not folder.is_dir():
        return _no_such_release(site, version)
    bundle = folder / "bundle"
    serving, lineage = serving_now(site.config), json_of(bundle / "lineage.json")
    shipped = serving.shipped.get(version)
    values = {
        "version": version,
        "verdict": release_line(bundle),
        "problems": serving.problems,
        "shipped": shipped,
        "shipped_at": shown_time(shipped.shipped_at) if shipped else "",
        "serves": shipped is not None and shipped.serves,
        "can_roll_back": shipped is not None and not shipped.serves and not shipped.pruned,
        "lineage": _flat(lineage),
        "run_id": str(lineage.get("run_id") or ""),
        "smoke": _smoke(folder / "record"),
        "files": _files(folder),
        "card": _text(bundle / "model_card.md"),
    }
    return framed(site, f"Release {version}", _RELEASE, values)


def rollback(site: Site, version: str) -> Answer:
    """Airflow's own form of the rollback, with the version filled in; nothing is changed here."""
    if not VERSION.fullmatch(version):
        return _no_such_release(site, version)
    values = {
        "version": version,
        "form": site.to_dag(ROLLBACK),
        "values": json.dumps({"version": version}),
    }
    main = f"{_WIDE}{_ROLLBACK}<script src='{{{{ site.to('fill-in.js') }}}}'></script>"
    return framed(site, f"Roll back to {version}", main, values)


def _no_such_release(site: Site, version: str) -> Answer:
    return told(
        site,
        "No such release",
        f"{site.config.paths.releases} holds no release {version!r}; Models lists those there are.",
    )


def _smoke(record: Path) -> SmokeRecord | None:
    """The latest record of the trials."""
    for path in sorted(record.glob("smoke*.json"), key=lambda path: path.stat().st_mtime)[::-1]:
        try:
            return SmokeRecord.model_validate(json_of(path))
        except DAMAGED:
            continue
    return None


def _files(folder: Path) -> list[tuple[str, str]]:
    """What may be looked at, by part and name."""
    shown = {"bundle": (".json", ".md"), "record": (".json",)}
    return [
        (part, path.name)
        for part, suffixes in shown.items()
        for path in sorted((folder / part).glob("*"))
        if path.suffix in suffixes and path.is_file()
    ]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")[:_CARD]
    except OSError:
        return ""


def _flat(content: dict[str, Any], above: str = "") -> list[tuple[str, str]]:
    """What a release was made of, one line each; nested names are joined by a point."""
    lines = []
    for key, value in content.items():
        name = f"{above}{key}"
        if isinstance(value, dict) and not above.count("."):
            lines += _flat(value, f"{name}.")
        else:
            lines.append((name, value if isinstance(value, str) else json.dumps(value)))
    return lines
