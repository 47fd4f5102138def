"""Which settings Airflow and its providers know, read from their files: importing takes seconds."""

from __future__ import annotations

import runpy
from functools import cache
from importlib.metadata import distribution
from typing import Any

import yaml

_PROVIDERS = {
    "fab": ("apache-airflow-providers-fab", "fab"),
    "kubernetes_executor": ("apache-airflow-providers-cncf-kubernetes", "cncf/kubernetes"),
}


def options_of(section: str) -> set[str]:
    """The keys of a section of airflow.cfg."""
    if section in _PROVIDERS:
        name, folder = _PROVIDERS[section]
        path = f"airflow/providers/{folder}/get_provider_info.py"
        known: dict[str, Any] = runpy.run_path(str(distribution(name).locate_file(path)))[
            "get_provider_info"
        ]()
        return set(known["config"][section]["options"])
    return set(_of_core()[section]["options"])


@cache
def _of_core() -> dict[str, Any]:
    path = "airflow/config_templates/config.yml"
    with open(str(distribution("apache-airflow-core").locate_file(path))) as stream:
        known: dict[str, Any] = yaml.load(stream, Loader=yaml.CSafeLoader)
    return known
