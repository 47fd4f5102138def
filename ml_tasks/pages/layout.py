"""The frame that every page shares: one style sheet inside, escaped content, no outside address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined

_LAYOUT = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
:root { color-scheme: light; --ink: #1d2733; --quiet: #5b6876; --line: #d9dfe6; --good: #12703c;
  --bad: #a8201a; --warn: #8a5a00; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); max-width: 62rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
p.lead { font-size: 1.1rem; } .quiet { color: var(--quiet); }
.good { color: var(--good); } .bad { color: var(--bad); } .warn { color: var(--warn); }
table { border-collapse: collapse; width: 100%; margin: .6rem 0; }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid var(--line);
  vertical-align: top; overflow-wrap: anywhere; }
th:first-child, td:first-child { min-width: 6.5rem; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
td.number { white-space: nowrap; }
figure { display: inline-block; margin: .5rem 1rem .5rem 0; } figure img { max-width: 100%; }
code { background: #f2f4f7; padding: 0 .25rem; }
footer { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: .6rem; }
{% block style %}{% endblock %}
</style></head><body>
{% block content %}{% endblock %}
<footer class="quiet">Research use; not a diagnosis.
{% block foot %}Run {{ run_id }}.{% endblock %}</footer>
{% block script %}{% endblock %}
</body></html>
"""


def render(template: str, values: Mapping[str, Any]) -> str:
    """A page from a template that fills the block `content`; every value is escaped.

    Raises:
        jinja2.UndefinedError: the template names a value that is not given.
    """
    environment = Environment(
        loader=DictLoader({"layout": _LAYOUT, "page": '{% extends "layout" %}' + template}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page").render(values)
