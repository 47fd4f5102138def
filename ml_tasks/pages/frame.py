"""The frame of the Airflow pages: menu, style, and what is said where there is nothing to see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ml_tasks.pages.answer import Answer
from ml_tasks.pages.layout import render
from ml_tasks.pages.site import RETRAINING, Site

_FRAME = """{% block style %}
nav { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; border-bottom: 1px solid var(--line);
  padding-bottom: .5rem; } nav a[aria-current] { font-weight: 600; text-decoration: none; }
a { color: #1a5fb4; } a:focus-visible, summary:focus-visible { outline: 3px solid #1a5fb4;
  outline-offset: 2px; }
.skip { position: absolute; left: -99rem; } .skip:focus { left: 1rem; background: #fff; }
article { border: 1px solid var(--line); border-radius: .5rem; padding: .2rem 1rem .8rem;
  margin: 1rem 0; }
article h2 { margin-top: .6rem; font-size: 1.1rem; overflow-wrap: anywhere; }
.state { border: 1px solid currentColor; border-radius: 1rem; padding: 0 .6rem; font-size: .85rem;
  white-space: nowrap; font-weight: 600; }
ul.links { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; }
code { overflow-wrap: anywhere; }
.scroll { overflow-x: auto; } .scroll th, .scroll td.number { overflow-wrap: normal; }
.told { white-space: pre-wrap; overflow-wrap: anywhere; }
a.button { border: 1px solid #1a5fb4; border-radius: .3rem; padding: .1rem .6rem;
  text-decoration: none; }
{% endblock %}
{% block content %}<a class="skip" href="#main">To the content</a>
<nav aria-label="Mammography">{% for entry in menu %}
<a href="{{ entry.href }}"{% if entry.here %} aria-current="page"{% endif %}
{% if entry.leaves %} data-leaves="{{ entry.leaves }}" rel="noopener"{% endif %}
>{{ entry.text }}</a>{% endfor %}</nav>
<main id="main">{% macro out(href, text, where="_self") -%}
<a href="{{ href }}" data-leaves="{{ where }}" rel="noopener">{{ text }}</a>{%- endmacro %}
%MAIN%</main>{% endblock %}
{% block foot %}{% endblock %}
{% block script %}<script src="{{ script }}"></script>{% endblock %}
"""

SCRIPT = """"use strict";
// The frame that Airflow puts these pages in may not lead the whole window elsewhere. A link that
// leaves them is therefore followed by the window itself.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-leaves]");
  if (link === null || window.top === window) return;
  const outer = (() => { try { return window.top.document; } catch { return null; } })();
  if (outer === null) return;
  event.preventDefault();
  const copy = outer.createElement("a");
  copy.href = link.href;
  copy.rel = "noopener";
  copy.target = event.ctrlKey || event.metaKey ? "_blank" : link.dataset.leaves;
  outer.body.append(copy);
  copy.click();
  copy.remove();
});
"""


def framed(
    site: Site, title: str, main: str, values: Mapping[str, Any], status: int = 200
) -> Answer:
    """A page in the frame; `main` is a template, every value is escaped."""
    given = {
        "title": f"{title} - mammography",
        "heading": title,
        "menu": _menu(site, title),
        "script": site.to("page.js"),
        "site": site,
    }
    page = render(_FRAME.replace("%MAIN%", main), {**given, **values})
    # What a damaged file or the name of a folder holds need not be Unicode; a page must be.
    return Answer(status, page.encode(errors="replace").decode())


def told(site: Site, title: str, *sentences: str, status: int = 404) -> Answer:
    """A page that says why there is nothing to see."""
    main = "<h1>{{ heading }}</h1>{% for each in sentences %}<p class='told'>{{ each }}</p>"
    return framed(site, title, main + "{% endfor %}", {"sentences": sentences}, status)


def _menu(site: Site, title: str) -> list[dict[str, Any]]:
    entries: list[tuple[str, str, str]] = [
        ("Models", site.to("models"), ""),
        ("Live curves", site.to("tensorboard") + "/", ""),
        ("Scored batches", site.to("scoring"), ""),
        ("Drift", site.to("drift"), ""),
        ("Audit log", site.to("audit"), ""),
    ]
    if site.mlflow:
        entries.append(("MLflow", site.mlflow, "_blank"))
    entries.append(("Retraining", site.to_dag(RETRAINING), "_self"))
    return [
        {"text": text, "href": href, "leaves": leaves, "here": text == title}
        for text, href, leaves in entries
    ]
