"""The strings of values.yaml as Helm renders them: only these expressions stand in them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).resolve().parents[2]
FOLDER = PROJECT / "docker" / "kubernetes"
RELEASE = "mammography"


def values() -> dict[str, Any]:
    """The values file."""
    content: dict[str, Any] = yaml.safe_load((FOLDER / "values.yaml").read_text())
    return content


def rendered(text: str, given: dict[str, Any]) -> str:
    """The text with each expression replaced; one that is not known here is an error.

    What each gives was compared with Helm's own engine, see docs/kubernetes.md.
    """
    image: str = given["defaultAirflowRepository"]
    known = {
        ".Release.Name": RELEASE,
        'include "airflow.fullname" .': RELEASE,
        'include "airflow_config" .': f"{RELEASE}-config",
        ".Values.ports.apiServer": "8080",
        ".Values.defaultAirflowTag": given["defaultAirflowTag"],
        "dir .Values.defaultAirflowRepository": image.rpartition("/")[0],
        'splitList "/" .Values.defaultAirflowRepository | first': image.partition("/")[0],
    }
    return re.sub(r"\{\{ (.*?) \}\}", lambda found: known[found[1]], text)


def config_map(name: str, given: dict[str, Any]) -> dict[str, str]:
    """What a ConfigMap of the values file holds."""
    data: str = given["extraConfigMaps"][name]["data"]
    content: dict[str, str] = yaml.safe_load(rendered(data, given))
    return content


def pod_templates(given: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The pod of each queue."""
    queues = config_map("mammography-queues", given)
    pods = {"default": yaml.safe_load(rendered(given["podTemplate"], given))}
    return pods | {name.removesuffix(".yaml"): yaml.safe_load(pod) for name, pod in queues.items()}


def manifests() -> list[dict[str, Any]]:
    """Every object of the files beside values.yaml."""
    files = [FOLDER / "storage.yaml", FOLDER / "inference.yaml"]
    return [item for file in files for item in yaml.safe_load_all(file.read_text())]


def settings_of_config(given: dict[str, Any]) -> dict[str, str]:
    """`config` as the variables by which docker-compose.yaml says the same."""
    return {
        f"AIRFLOW__{section.upper()}__{key.upper()}": rendered(value, given)
        for section, keys in given["config"].items()
        for key, value in keys.items()
    }
