"""docker/kubernetes/: what the chart takes, nothing secret, and the same settings as in compose."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.deployment.airflow_options import options_of
from tests.deployment.chart_strings import (
    FOLDER,
    PROJECT,
    config_map,
    manifests,
    pod_templates,
    settings_of_config,
    values,
)

PAGE = (PROJECT / "docs" / "kubernetes.md").read_text()
TEXT = (FOLDER / "values.yaml").read_text()
OUR_SCHEMA = yaml.safe_load((Path(__file__).parent / "chart_values.schema.yaml").read_text())
COMPOSE = yaml.safe_load((PROJECT / "docker-compose.yaml").read_text())
# Of the machine and its executor: where services stand, and what the chart itself decides.
OF_THE_PLACE = re.compile(
    r"AIRFLOW__(CELERY.*|METRICS__.*|CORE__EXECUTOR|CORE__EXECUTION_API_SERVER_URL"
    r"|API__BASE_URL)|MAMMO_(REGISTRY.*|TENSORBOARD|MLFLOW)|MLFLOW_TRACKING_URI"
)


@pytest.fixture
def given() -> dict[str, Any]:
    return values()


def refusals(given: dict[str, Any]) -> list[str]:
    found = jsonschema.Draft7Validator(OUR_SCHEMA).iter_errors(given)
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in found]


def test_each_value_is_one_that_the_chart_takes(given: dict[str, Any]) -> None:
    jsonschema.Draft7Validator.check_schema(OUR_SCHEMA)
    assert refusals(given) == []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("fernetKeySecretName:", "fernetKeySecret:"),
        ("metadataSecretName:", "metadataSecret:"),
        ("existingClaim:", "existingclaim:"),
        ("executor: KubernetesExecutor", "executor: KubernetesExecuter"),
        ("statsd: {enabled: true}", "statsd: {enable: true}"),
        ("extraVolumeMounts:", "extraMounts:"),
        ("networkPolicy:\n    ingress:\n", "networkPolicy:\n    ingres:\n"),
        ("containers:\n    allowPrivilegeEscalation", "container:\n    allowPrivilegeEscalation"),
        ("replicas: 1", 'replicas: "1"'),
        ("useHelmHooks: false", 'useHelmHooks: "false"'),
        ("memory: 768Mi", "memory: 768Mb"),
        ("podTemplate:", "podTemplates:"),
    ],
)
def test_a_slip_of_the_pen_is_refused(right: str, wrong: str) -> None:
    """The chart would pass over most of these, and run without what was meant."""
    assert right in TEXT
    assert refusals(yaml.safe_load(TEXT.replace(right, wrong)))


def test_the_charts_own_schema_takes_the_values(given: dict[str, Any]) -> None:
    """MAMMO_AIRFLOW_CHART: `helm pull apache-airflow/airflow --version … --untar`."""
    folder = os.environ.get("MAMMO_AIRFLOW_CHART")
    if not folder:
        pytest.skip("MAMMO_AIRFLOW_CHART names no unpacked chart, and none can be fetched here")
    chart = yaml.safe_load((Path(folder) / "Chart.yaml").read_text())
    assert (chart["name"], chart["version"]) == ("airflow", chart_version())
    schema = yaml.safe_load((Path(folder) / "values.schema.json").read_text())
    jsonschema.Draft7Validator(schema).validate(given)


def chart_version() -> str:
    found = re.search(r"official Apache Airflow Helm chart, version (\S+)\.\n", TEXT)
    assert found is not None
    return found[1]


def test_the_chart_has_one_version_wherever_it_is_named(given: dict[str, Any]) -> None:
    named = set(re.findall(r"--version (\d\S+)", TEXT + PAGE))
    assert named == {chart_version()}
    assert given["airflowVersion"] == distribution("apache-airflow").version


def test_each_setting_is_one_of_airflows(given: dict[str, Any]) -> None:
    """In airflow.cfg a key with a slip in it is passed over."""
    for section, keys in given["config"].items():
        if section != "kubernetes_executor":  # of the provider: test_kubernetes_pods.py
            assert set(keys) <= options_of(section), section


def compose_settings() -> Iterator[tuple[str, str]]:
    """What is the same on every machine: of a variable its default, and nothing secret."""
    for name, value in COMPOSE["x-environment"].items():
        text = str(value)
        if ":?" in text or OF_THE_PLACE.fullmatch(name):
            continue
        yield name, re.sub(r"\$\{\w+:-(.*?)\}", r"\1", text)


WAITING = ("TASK_QUEUED_TIMEOUT", "NUM_STUCK_IN_QUEUED_RETRIES")
WEEK = 7 * 24 * 3600


def test_the_settings_are_those_of_compose(given: dict[str, Any]) -> None:
    """One that is added to docker-compose.yaml is wanted here, too."""
    here = settings_of_config(given) | config_map("mammography-settings", given)
    wanted = dict(compose_settings())
    assert len(wanted) >= 10
    # What waits is queued anew in compose, where Redis may lose it; here it has its pod.
    timeout, times = [float(wanted.pop(f"AIRFLOW__SCHEDULER__{name}")) for name in WAITING]
    assert float(here["AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT"]) == timeout * times == WEEK
    assert {name: here.get(name) for name in wanted} == wanted


def secrets_wanted(given: dict[str, Any]) -> set[str]:
    pods = yaml.safe_dump([*pod_templates(given).values(), *manifests()])
    text = TEXT + pods
    names = set(re.findall(r"(?:SecretName|secretName): (\S+)", text))
    names |= set(re.findall(r"secret(?:KeyRef|Ref):\s*\{?\s*name: ([a-z-]+)", text))
    return names | set(given["imagePullSecrets"])


def test_every_secret_and_claim_that_a_pod_waits_for_is_made_on_the_page(
    given: dict[str, Any],
) -> None:
    for name in secrets_wanted(given):
        assert re.search(rf"^(secret|.* create secret docker-registry) {name} ", PAGE, re.M), name
    claims = set(re.findall(r"(?:claimName|existingClaim): ([a-z-]+)", TEXT))
    assert claims == {claim["metadata"]["name"] for claim in manifests()[:3]}
    assert len(secrets_wanted(given)) >= 7


def test_no_password_stands_in_the_file() -> None:
    given = values()
    assert given["createUserJob"] == {"enabled": False}
    assert given["postgresql"] == {"enabled": False}
    for line in TEXT.splitlines():
        word = re.match(r"\s*\S*(password|secret|key)\w*: (.+)", line, re.I)
        assert word is None or "Secret" in line or "secretKeyRef" in line, line


def test_the_database_and_the_signing_secret_stay_out_of_task_pods(given: dict[str, Any]) -> None:
    for pod in pod_templates(given).values():
        text = str(pod)
        assert "mammography-metadata" not in text and "mammography-jwt-secret" not in text
        assert pod["spec"]["automountServiceAccountToken"] is False
        environment = pod["spec"]["containers"][0]["env"]
        assert not [item["name"] for item in environment if "SDK__" in item["name"]]


def test_only_the_build_pod_may_push_and_has_an_engine_of_its_own(given: dict[str, Any]) -> None:
    pods = pod_templates(given)
    assert [name for name, pod in pods.items() if "registry-write" in str(pod)] == ["build"]
    assert [name for name, pod in pods.items() if "privileged" in str(pod)] == ["build"]
    assert "hostPath" not in TEXT and "/var/run" not in TEXT
    engine = pods["build"]["spec"]["initContainers"][0]
    assert engine["restartPolicy"] == "Always"  # else it would end before the task begins
    assert "privileged" not in str(pods["build"]["spec"]["containers"])
    claims = {claim["metadata"]["name"]: claim["spec"]["accessModes"] for claim in manifests()[:3]}
    assert claims["mammography-engine"] == ["ReadWriteOncePod"]


def restricted(spec: dict[str, Any], container: dict[str, Any]) -> dict[str, Any]:
    """What Kubernetes' Pod Security Standard `restricted` asks of a container of a pod."""
    pod, own = spec["securityContext"], container["securityContext"]
    both = pod | own
    return {
        "root": not both.get("runAsNonRoot") or both.get("runAsUser") == 0,
        "more rights": own.get("allowPrivilegeEscalation", True),
        "capabilities": own.get("capabilities", {}).get("drop") != ["ALL"],
        "seccomp": both.get("seccompProfile", {}).get("type") != "RuntimeDefault",
        "host": [key for key in spec if key.startswith("host")],
    }


def test_every_container_but_the_engine_is_restricted(given: dict[str, Any]) -> None:
    service = next(item for item in manifests() if item["kind"] == "Deployment")
    specs = [pod["spec"] for pod in pod_templates(given).values()]
    for spec in [*specs, service["spec"]["template"]["spec"]]:
        for container in spec["containers"]:
            assert not any(restricted(spec, container).values())
    contexts = given["securityContexts"]
    role = {"securityContext": contexts["pod"]}
    assert not any(restricted(role, {"securityContext": contexts["containers"]}).values())


def test_who_only_shows_cannot_write_the_shared_volume(given: dict[str, Any]) -> None:
    writes = set()
    for name in ("scheduler", "apiServer", "dagProcessor", "triggerer"):
        mounts = {mount["name"]: mount for mount in given[name]["extraVolumeMounts"]}
        assert mounts["shared"]["mountPath"] == "/mammo"
        writes |= set() if mounts["shared"].get("readOnly") else {name}
    assert writes == {"triggerer"}


def test_the_service_is_replaced_only_by_one_that_is_ready() -> None:
    deployment = next(item for item in manifests() if item["kind"] == "Deployment")
    assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert re.fullmatch(r"registry\.example\.org/\S+@sha256:0{64}", container["image"])
