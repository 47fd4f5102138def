"""Which pod a task of each queue gets: asked of Airflow's KubernetesExecutor itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.deployment.airflow_options import options_of
from tests.deployment.chart_strings import PROJECT, manifests, pod_templates, values

pytest.importorskip("kubernetes", reason="the extra `kubernetes` is not installed")

IMAGES = "registry.example.org/mammography"


@pytest.fixture(scope="module")
def pods(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of one task in each queue; `batch` is one that no setting names."""
    folder = tmp_path_factory.mktemp("airflow")
    command = [sys.executable, "-m", "tests.deployment.executor_pods", str(folder)]
    command += ["default", "gpu", "build", "batch"]
    clean = {name: text for name, text in os.environ.items() if "AIRFLOW" not in name}
    done = subprocess.run(command, cwd=PROJECT, env=clean, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads((folder / "pods.json").read_text())
    return found


def base(pod: dict[str, Any]) -> dict[str, Any]:
    (container,) = (item for item in pod["spec"]["containers"] if item["name"] == "base")
    found: dict[str, Any] = container
    return found


def test_a_task_of_the_queue_gpu_gets_a_gpu_on_a_gpu_node(pods: dict[str, Any]) -> None:
    """Though the DAG says no more than `queue="gpu"`, as it does for Celery."""
    pod = pods["gpu"]
    assert base(pod)["image"] == f"{IMAGES}/mammography-gpu:1"
    assert base(pod)["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert pod["spec"]["nodeSelector"] == {"mammography/pool": "gpu"}
    taints = [item["key"] for item in pod["spec"]["tolerations"]]
    assert taints == ["nvidia.com/gpu"]


def test_a_task_of_the_queue_build_gets_the_engine(pods: dict[str, Any]) -> None:
    spec = pods["build"]["spec"]
    assert [item["name"] for item in spec["initContainers"]] == ["engine"]
    assert spec["nodeSelector"] == {"mammography/pool": "build"}
    named = {item["name"]: item.get("value") for item in base(pods["build"])["env"]}
    assert named["DOCKER_HOST"] == "unix:///run/engine/docker.sock"


@pytest.mark.parametrize("queue", ["default", "batch"])
def test_every_other_task_gets_a_plain_pod(pods: dict[str, Any], queue: str) -> None:
    pod = pods[queue]
    assert base(pod)["image"] == f"{IMAGES}/mammography-airflow:1"
    assert "nodeSelector" not in pod["spec"] and "initContainers" not in pod["spec"]
    assert "nvidia.com/gpu" not in str(pod)


def test_airflow_adds_the_task_and_takes_nothing_away(pods: dict[str, Any]) -> None:
    for queue, template in pod_templates(values()).items():
        pod = pods[queue]
        assert base(pod)["args"]
        assert pod["metadata"]["namespace"] == "mammography"
        assert template["metadata"]["labels"].items() <= pod["metadata"]["labels"].items()
        assert base(pod)["volumeMounts"] == base(template)["volumeMounts"]
        assert pod["spec"]["securityContext"] == template["spec"]["securityContext"]


def test_kubernetes_knows_every_field() -> None:
    from tests.deployment.kubernetes_types import oddities

    for pod in pod_templates(values()).values():
        assert list(oddities(pod, "V1Pod")) == []
    for item in manifests():
        assert list(oddities(item, f"V1{item['kind']}")) == []
    given = values()
    policy = given["apiServer"]["networkPolicy"]["ingress"]["from"]
    assert list(oddities(policy, "list[V1NetworkPolicyPeer]")) == []


def test_a_slip_in_a_pod_template_is_seen() -> None:
    from tests.deployment.kubernetes_types import oddities

    pod = pod_templates(values())["gpu"]
    pod["spec"]["nodeSelectors"] = pod["spec"].pop("nodeSelector")
    base(pod)["resources"]["limits"]["memory"] = 32
    found = list(oddities(pod, "V1Pod"))
    assert len(found) == 2
    assert "nodeSelectors is no field of V1PodSpec" in found[0] + found[1]


def test_the_executors_settings_are_the_providers() -> None:
    ours = set(values()["config"]["kubernetes_executor"])
    assert ours <= options_of("kubernetes_executor")
