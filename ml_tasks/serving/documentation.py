"""The page at /docs: the OpenAPI document to be read by people, from this service alone."""

from __future__ import annotations

import json
from functools import cache
from html import escape
from typing import Any

from ml_tasks.serving.openapi import document

_STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 1rem; }
pre { background: color-mix(in srgb, currentColor 8%, transparent); overflow-x: auto;
  padding: .75rem; }
table { border-collapse: collapse; width: 100%; }
th, td { border: 1px solid color-mix(in srgb, currentColor 40%, transparent); padding: .3rem .5rem;
  text-align: left; vertical-align: top; }
h2 { border-top: 1px solid; margin-top: 2rem; padding-top: 1rem; }
.method { font-weight: bold; text-transform: uppercase; }
"""
_Json = dict[str, Any]


@cache
def page() -> str:
    """The whole page; it loads nothing."""
    told = document()
    parts = [
        _operation(path, method, operation)
        for path, methods in told["paths"].items()
        for method, operation in methods.items()
    ]
    title = escape(told["info"]["title"])
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><main><h1>{title}</h1>"
        f"<p>{escape(told['info']['description'])}</p>"
        '<p>For programs: <a href="/openapi.json">/openapi.json</a>. Where the service has a key, '
        "send it as <code>Authorization: Bearer KEY</code> or <code>X-API-Key: KEY</code> to "
        f"<code>/inference/predict</code> and <code>/v1/*</code>.</p>{''.join(parts)}"
        f"{_schemas(told['components']['schemas'])}</main></body></html>"
    )


def _operation(path: str, method: str, operation: _Json) -> str:
    parts = [
        f'<section><h2><span class="method">{method}</span> <code>{escape(path)}</code></h2>'
        f"<p>{escape(operation['summary'])}.</p>"
    ]
    if "parameters" in operation:
        rows = [(each["name"], each["description"]) for each in operation["parameters"]]
        parts.append(_table(("query parameter", "true or false (the default)"), rows))
    if "requestBody" in operation:
        ((kind, content),) = operation["requestBody"]["content"].items()
        rows = [
            (name, field["description"]) for name, field in content["schema"]["properties"].items()
        ]
        parts.append(_table((f"field of {kind}", "what it holds"), rows))
    answers = operation["responses"]
    parts.append(
        _table(("status", "meaning"), [(status, a["description"]) for status, a in answers.items()])
    )
    example = answers["200"]["content"].get("application/json", {}).get("example")
    if example is not None:
        parts.append(f"<pre><code>{escape(json.dumps(example, indent=2))}</code></pre>")
    return "".join([*parts, "</section>"])


def _schemas(schemas: _Json) -> str:
    shown = "".join(
        f"<details><summary><code>{escape(name)}</code></summary>"
        f"<pre><code>{escape(json.dumps(schema, indent=2))}</code></pre></details>"
        for name, schema in schemas.items()
    )
    return f"<section><h2>Schemas</h2>{shown}</section>"


def _table(head: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row"><code>{escape(name)}</code></th><td>{escape(text)}</td></tr>'
        for name, text in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
