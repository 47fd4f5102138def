"""What the stack's MLflow holds, as its own server tells it."""

from __future__ import annotations

import httpx

from tests.stack.running_stack import RunningStack


def tracked_runs(running: RunningStack) -> dict[str, float]:
    """Every figure by "RUN FIGURE"."""
    url = f"{running.url('MLFLOW_PORT')}/api/2.0/mlflow"
    with httpx.Client(trust_env=False, timeout=60) as client:
        listed = client.post(f"{url}/experiments/search", json={"max_results": 50}).json()
        ids = [each["experiment_id"] for each in listed["experiments"]]
        asked = {"experiment_ids": ids, "max_results": 100}
        found = client.post(f"{url}/runs/search", json=asked).json().get("runs", [])
    return {
        f"{run['info']['run_name']} {metric['key']}": metric["value"]
        for run in found
        for metric in run["data"].get("metrics", [])
    }
