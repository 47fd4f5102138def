"""Every figure that is shown or judged, from a real Airflow and a real service to Prometheus."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml

from tests.airflow.runs import PATIENCE
from tests.conftest import PROJECT
from tests.deployment import dashboard
from tests.deployment.prometheus_program import RunningPrometheus, running_prometheus
from tests.deployment.test_alerts import ALERTS, PAGE, rules
from tests.serving.conftest import served, wait_for
from tests.statsd.bridge_process import RunningBridge
from tests.toy_run import make_bundle, phantom
from tests.waiting import until

if TYPE_CHECKING:
    from tests.conftest import LocalAirflow

DAG = "metered"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    place = tmp_path_factory.mktemp("metered_service")
    with served(make_bundle(place), place / "log") as (client, _):
        wait_for(client, "/ready", 200)
        yield client


@pytest.fixture(scope="module")
def prometheus(
    prometheus_program: Path,
    statsd_bridge: RunningBridge,
    service: httpx.Client,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RunningPrometheus]:
    """The stack's own configuration and alerts, with the addresses of this machine, and faster."""
    place = tmp_path_factory.mktemp("prometheus")
    settings = yaml.safe_load((PROJECT / "docker" / "prometheus.yml").read_text())
    settings["global"] = dict.fromkeys(settings["global"], "1s")
    airflow, inference, front = settings["scrape_configs"]
    airflow["static_configs"][0]["targets"] = [f"127.0.0.1:{statsd_bridge.port}"]
    del inference["dns_sd_configs"]
    for job in (inference, front):
        job["static_configs"] = [{"targets": [f"127.0.0.1:{service.base_url.port}"]}]
    (place / "alerts.yml").write_text(ALERTS.read_text())
    (place / "prometheus.yml").write_text(yaml.safe_dump(settings))
    with running_prometheus(
        prometheus_program, place / "prometheus.yml", place / "data", place / "log"
    ) as started:
        yield started


@pytest.fixture(scope="module")
def seen(
    airflow: LocalAirflow,
    prometheus: RunningPrometheus,
    service: httpx.Client,
    tmp_path_factory: pytest.TempPathFactory,
) -> RunningPrometheus:
    """Prometheus, after good runs, one that failed, and requests of both kinds."""
    prometheus.wait_for('up{job="airflow"} == 1')
    prometheus.wait_for("mammo_model_info")
    ask(service)
    airflow.api.wait_for_dag(DAG, PATIENCE)
    airflow.api.pause(DAG, False)
    place = tmp_path_factory.mktemp("metered")
    # A task is queued for a moment only, and Airflow looks once a second.
    deadline, numbers = time.monotonic() + PATIENCE, itertools.count()
    run_to_end(airflow, prometheus, place / str(next(numbers)), fail=False)
    while not prometheus.query(f'airflow_ti_queued{{dag_id="{DAG}"}}'):
        assert time.monotonic() < deadline, "no look of Airflow's ever met a queued task"
        run_to_end(airflow, prometheus, place / str(next(numbers)), fail=False)
    # Last, since its alert does not last.
    run_to_end(airflow, prometheus, place / "failed", fail=True)
    prometheus.wait_for(f'airflow_ti_failures_total{{dag_id="{DAG}"}} > 0')
    ask(service)
    prometheus.wait_for("mammo_quality_warnings_total > 0")
    return prometheus


def run_to_end(
    airflow: LocalAirflow, prometheus: RunningPrometheus, seen: Path, fail: bool
) -> None:
    """One run of `metered`, until Prometheus has its end; its work ends once that was seen."""
    ended = f"airflow_dagrun_duration_{'failed' if fail else 'success'}_seconds_count"
    found = prometheus.query(f'{ended}{{dag_id="{DAG}"}}')
    before = float(found[0]["value"][1]) if found else 0.0
    run = airflow.api.trigger(DAG, {"fail": fail, "until": str(seen)})
    try:
        prometheus.wait_for(f'airflow_ti_running{{dag_id="{DAG}", task_id="work"}} == 1')
    finally:
        seen.touch()
    prometheus.wait_for(f'{ended}{{dag_id="{DAG}"}} > {before}')
    # Airflow sends the figure before others can read the state.
    until(lambda: airflow.api.run(DAG, run.dag_run_id).ended, "the run has not ended", PATIENCE)
    assert airflow.api.run(DAG, run.dag_run_id).state == ("failed" if fail else "success")


def ask(service: httpx.Client) -> None:
    """One small film, which is warned of, and one that is no image."""
    for data, status in ((phantom(180), 200), (b"no image", 422)):
        answer = service.post("/v1/predict", files={"file": ("film", data)})
        assert answer.status_code == status, answer.text


def names_in(expression: str) -> set[str]:
    """The names of series in an expression."""
    found = set(re.findall(r"\b(?:airflow|mammo|statsd|process)_[a-z_]+|\bup\b", expression))
    assert found, expression
    return found


def test_every_query_of_the_dashboard_finds_series(seen: RunningPrometheus) -> None:
    asked = list(dashboard.queries(dashboard.load()))
    assert len(asked) > 40
    empty = [f"{title}: {query}" for title, query in asked if not seen.query(query)]
    assert empty == []


def test_every_series_that_an_alert_judges_is_there(seen: RunningPrometheus) -> None:
    needed = set().union(*(names_in(rule["expr"]) for rule in rules()))
    assert sorted(name for name in needed if not seen.query(name)) == []


def test_every_documented_name_is_there_and_every_used_name_documented(
    seen: RunningPrometheus,
) -> None:
    documented = set(
        re.findall(r"^\| `((?:airflow|mammo|statsd)_[a-z_]+)` \|", PAGE.read_text(), re.M)
    )
    shown = {
        name
        for name in documented
        if seen.query(name) or seen.query(f"{name}_count") or seen.query(f"{name}_bucket")
    }
    assert documented - shown == set()
    used = set().union(*(names_in(rule["expr"]) for rule in rules()))
    used |= set().union(*(set(re.findall(r"\b(?:airflow|mammo|statsd)_[a-z_]+", query))
                          for _, query in dashboard.queries(dashboard.load())))  # fmt: skip
    plain = {re.sub(r"(?<=_seconds)_(sum|count|bucket)$", "", name) for name in used - {"up"}}
    assert plain - documented == set()


def test_the_failure_is_alerted_and_nothing_that_is_well(seen: RunningPrometheus) -> None:
    (task,) = seen.wait_for(f'ALERTS{{alertname="TaskFailed", dag_id="{DAG}", task_id="end"}}')
    (run,) = seen.wait_for(f'ALERTS{{alertname="RunFailed", dag_id="{DAG}"}}')
    assert task["metric"]["alertstate"] == run["metric"]["alertstate"] == "firing"
    well = "SchedulerSilent|DagProcessorSilent|TriggererSilent|MetricsBridgeGone"
    well += "|ServiceGone|ServiceNotReady|ServiceErrors|ServiceSlow|DagsBroken|QueueUnattended"
    assert seen.query(f'ALERTS{{alertname=~"{well}", alertstate="firing"}}') == []


def test_a_stage_is_timed_in_seconds(seen: RunningPrometheus, airflow: LocalAirflow) -> None:
    """Not in milliseconds; what else a busy machine puts between two clocks is no matter."""
    runs = [run.dag_run_id for run in airflow.api.runs(DAG, limit=100)]
    tasks = [task for run_id in runs for task in airflow.api.tasks(DAG, run_id)]
    noted = [task.duration or 0.0 for task in tasks if task.task_id == "work"]
    (work,) = seen.query(f'airflow_task_duration_seconds_sum{{dag_id="{DAG}", task_id="work"}}')
    (count,) = seen.query(f'airflow_task_duration_seconds_count{{dag_id="{DAG}", task_id="work"}}')
    told = float(work["value"][1]) / float(count["value"][1])
    assert told == pytest.approx(sum(noted) / len(noted), rel=0.5, abs=2)


def test_the_first_failure_is_a_step_that_increase_sees(seen: RunningPrometheus) -> None:
    (failed,) = seen.query(f'increase(airflow_ti_failures_total{{dag_id="{DAG}"}}[10m]) > 0')
    assert failed["metric"]["task_id"] == "end"


def test_no_label_names_a_run(seen: RunningPrometheus) -> None:
    """Labels that grow with every run would fill Prometheus over the years."""
    labels: set[str] = set()
    series: list[dict[str, Any]] = seen.query('{__name__=~"airflow_.+"}')
    for one in series:
        labels |= set(one["metric"])
    assert not labels & {"run_id", "job_id", "try_number", "map_index", "logical_date"}
    assert len(series) < 3000


def test_all_that_airflow_sends_is_read(seen: RunningPrometheus) -> None:
    assert seen.query("statsd_lines_total > 100")
    assert seen.query("statsd_lines_refused_total > 0") == []
