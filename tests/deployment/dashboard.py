"""The dashboard's queries, with Grafana's variables filled in as Grafana fills them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.conftest import PROJECT

FILE = PROJECT / "docker" / "grafana" / "mammography.json"
# A real rate interval is at least four scrapes; the test scrapes each second.
VARIABLES = {"$__rate_interval": "2m", "$__range": "10m", "$dag": ".*"}


def load() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(FILE.read_text())
    return content


def filled(expression: str) -> str:
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression, f"a variable that Grafana does not know: {expression}"
    return expression


def queries(dashboard: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each query with its panel's title, those of variables and annotations too."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], filled(target["expr"])
