"""`python -m tests.deployment.executor_pods FOLDER QUEUE…`: the pods Airflow makes, as JSON.

Airflow's KubernetesExecutor is asked for a task of each queue, by the settings of values.yaml
written to FOLDER; what it would send to the cluster goes to FOLDER/pods.json.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.deployment.chart_strings import config_map, rendered, values


def main(folder: Path, queues: list[str]) -> None:
    """Writes the settings, then asks; Airflow reads them as it is imported."""
    given = values()
    write_settings(folder, given)
    os.environ["AIRFLOW_HOME"] = str(folder)
    for variable in given["scheduler"]["env"]:
        os.environ[variable["name"]] = variable["value"].replace("/opt/airflow/queues", str(folder))
    pods = {queue: pod_of(queue) for queue in queues}
    (folder / "pods.json").write_text(json.dumps(pods))


def write_settings(folder: Path, given: dict[str, Any]) -> None:
    """airflow.cfg and the pod templates, where the chart mounts them in the scheduler."""
    config: dict[str, dict[str, str]] = given["config"]
    of_chart = {"namespace": "mammography", "pod_template_file": f"{folder}/default.yaml"}
    config["kubernetes_executor"] |= of_chart
    config["core"]["executor"] = given["executor"]
    lines = []
    for section, keys in config.items():
        lines += [f"[{section}]", *(f"{key} = {rendered(keys[key], given)}" for key in keys)]
    (folder / "airflow.cfg").write_text("\n".join(lines))
    (folder / "default.yaml").write_text(rendered(given["podTemplate"], given))
    for name, pod in config_map("mammography-queues", given).items():
        (folder / name).write_text(pod)


def pod_of(queue: str) -> dict[str, Any]:
    """The pod of a task of this queue, as the executor's own code makes it."""
    from queue import Queue

    from airflow.models.taskinstancekey import TaskInstanceKey
    from airflow.providers.cncf.kubernetes.executors.kubernetes_executor import KubernetesExecutor
    from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator
    from kubernetes import client

    executor = KubernetesExecutor()
    executor.task_queue = Queue()
    key = TaskInstanceKey("mammography_retraining", "train", "manual", 1, -1)
    executor.execute_async(key, ["airflow", "tasks", "run"], queue=queue, executor_config={})
    job = executor.task_queue.get_nowait()
    template = job.pod_template_file or executor.kube_config.pod_template_file
    pod = PodGenerator.construct_pod(
        dag_id=key.dag_id,
        task_id=key.task_id,
        pod_id="train",
        try_number=1,
        kube_image=job.kube_image or executor.kube_config.kube_image,
        date=None,
        args=["python"],
        pod_override_object=job.kube_executor_config,
        base_worker_pod=PodGenerator.deserialize_model_file(template),
        namespace=executor.kube_config.kube_namespace,
        scheduler_job_id="1",
        run_id=key.run_id,
    )
    sent: dict[str, Any] = client.ApiClient().sanitize_for_serialization(pod)
    return sent


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
