"""The plugin in Airflow's own api-server: login before all else, and no file that is not meant."""

from __future__ import annotations

import json
import subprocess
import sys
from http.client import HTTPConnection
from urllib.parse import quote

import pytest

from tests.conftest import PROJECT
from tests.pages.toy_project import DAMAGED, FAILED, REJECTED, SCRIPT, SHIPPED
from tests.plugins.conftest import Server
from tests.waiting import PATIENCE

RUN = f"/mammography/runs/{quote(FAILED, safe='')}"
SECRETS = ("config.yaml", "train/model.h5", "evaluate/model.onnx", "champion.json", "logs/x.json")


def as_written(server: Server, path: str, logged_in: bool = True) -> tuple[int, str]:
    """A request whose path is sent as it stands: httpx would take `..` out of it."""
    url = server.user.base_url
    connection = HTTPConnection(url.host, url.port or 80, timeout=PATIENCE)
    headers = {"Authorization": server.user.headers["Authorization"]} if logged_in else {}
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode(errors="replace")
    connection.close()
    return answer.status, text


def test_every_route_refuses_whoever_is_not_logged_in(server: Server) -> None:
    """A route that is added later and forgets the login would show here."""
    asked = 0
    for path, methods in server.routes:
        for old in ("{path:path}", "{run_id}", "{version}", "{day}", "{name}", "{dag_id}"):
            path = path.replace(old, "x")
        path = path.replace("{task_id}", "gate")
        for method in methods:
            answer = server.anonymous.request(method, f"/mammography{path}")
            assert answer.status_code == 401, (method, path)
            asked += 1
    assert asked >= 20


@pytest.mark.parametrize(
    "path",
    ["/", "/nowhere", "//models", "/./models", "/x/../models", "/models/", "/Models", "/static/x"],
)
def test_no_other_address_answers_the_anonymous(server: Server, path: str) -> None:
    status, text = as_written(server, f"/mammography{path}", logged_in=False)
    assert status == 401
    assert "serves" not in text


def test_a_token_that_nobody_gave_opens_nothing(server: Server) -> None:
    for headers in ({"Authorization": "Bearer x.y.z"}, {"Cookie": "_token=x.y.z"}):
        answer = server.anonymous.get("/mammography/models", headers=headers)
        assert answer.status_code in (401, 403)


def test_nothing_but_tensorboard_takes_more_than_a_get(server: Server) -> None:
    """What changes something is Airflow's own form, not a route of ours."""
    for path, methods in server.routes:
        assert methods == ["GET"] or path == "/tensorboard/{path:path}"


def test_models_shows_every_release_and_candidate(server: Server) -> None:
    page = server.user.get("/mammography/models").text
    for version in server.project.versions:
        assert f"Roll back to {version}" in page
    assert "FAILED the gate: AUC 0.710 [0.660, 0.760] is below 0.80" in page
    assert "Rejected by jane" in page
    assert "not readable" in page
    assert "What serves is not known just now" in page


def test_pages_of_runs_read_by_the_id_as_airflow_writes_it_and_by_hand(server: Server) -> None:
    for written in (quote(FAILED, safe=""), FAILED, quote(FAILED)):
        page = server.user.get(f"/mammography/runs/{written}/why")
        assert page.status_code == 200
        assert "is below 0.80" in page.text


@pytest.mark.parametrize("run_id", [DAMAGED, SHIPPED, REJECTED, FAILED])
@pytest.mark.parametrize("page", ["", "/why"])
def test_a_damaged_run_has_a_readable_page(server: Server, run_id: str, page: str) -> None:
    answer = server.user.get(f"/mammography/runs/{quote(run_id, safe='')}{page}")
    assert answer.status_code == 200
    assert ("cannot be read" in answer.text) is (run_id == DAMAGED)


def test_hostile_names_are_shown_and_not_run(server: Server) -> None:
    evil = quote("<script>alert(1)</script>", safe="")
    for path in (f"/runs/{evil}", f"/releases/{evil}", f"/{evil}", f"/drift/{evil}/files/x"):
        answer = server.user.get(f"/mammography{path}")
        assert answer.status_code == 404
        assert "<script>alert" not in answer.text
    for path in ("/models", "/audit", f"/runs/{quote(REJECTED, safe='')}/why"):
        page = server.user.get(f"/mammography{path}").text
        assert SCRIPT not in page
        assert "&lt;script&gt;" in page


def test_reports_of_a_run_are_served_confined(server: Server) -> None:
    """Reports hold file names that others chose: no script, no request, no form, no other frame."""
    for name in (
        "validate_data/report.html",
        "validate_data/data_docs/index.html",
        "validate_data/data_docs/static/styles/own.css",
        "preprocess/contact_sheet.png",
        "evaluate/metrics.json",
    ):
        answer = server.user.get(f"{RUN}/files/{name}")
        assert answer.status_code == 200, name
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'self'" in policy
        assert "script-src" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
    csv = server.user.get(f"{RUN}/files/validate_data/manifest.csv")
    assert csv.headers["content-disposition"].startswith("attachment")


@pytest.mark.parametrize(
    "path",
    [
        "../config.yaml",
        "..%2f..%2fconfig.yaml",
        "%2e%2e/%2e%2e/config.yaml",
        "validate_data/../config.yaml",
        "validate_data/data_docs/../../config.yaml",
        "validate_data/data_docs/../../evaluate/metrics.json",
        "validate_data/data_docs/%2e%2e/%2e%2e/evaluate/report.html",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "validate_data//etc/passwd",
        "validate_data/report.html%00.png",
        "validate_data/%00.html",
        "cleaned/index.csv",
        "preprocess/train/Negative/P00.png",
        "evaluate/metrics.json/..",
        "evaluate",
        "",
        *SECRETS,
    ],
)
def test_no_path_leads_to_another_file(server: Server, path: str) -> None:
    status, text = as_written(server, f"{RUN}/files/{path}")
    assert status == 404
    assert "root:" not in text and "registry:" not in text


def test_no_link_leads_out(server: Server) -> None:
    run = server.project.run(FAILED)
    docs = run.stage("validate_data") / "data_docs"
    (docs / "out.html").symlink_to(run.config)
    (docs / "films").symlink_to(run.stage("preprocess"))
    (docs / "loop.html").symlink_to(docs / "loop.html")
    for name in ("out.html", "films/contact_sheet.png", "loop.html"):
        answer = server.user.get(f"{RUN}/files/validate_data/data_docs/{name}")
        assert answer.status_code == 404, name


def test_releases_show_their_card_as_text_and_never_the_model(server: Server) -> None:
    version = server.project.versions[1]
    page = server.user.get(f"/mammography/releases/{version}")
    assert page.status_code == 200
    assert "memory is 212.5 MB, the limit is 600 MB" in page.text
    assert "Research use; not a diagnosis" in page.text and SCRIPT not in page.text
    files = f"/mammography/releases/{version}/files"
    assert server.user.get(f"{files}/bundle/decision.json").json()["verdict"] == "PASS"
    for name in ("bundle/model.h5", "bundle/model.onnx", "record/../../ledger.jsonl", "x/y.json"):
        assert server.user.get(f"{files}/{name}").status_code == 404


def test_drift_and_batches_are_listed_and_served(server: Server) -> None:
    assert "brightness has moved by 0.31" in server.user.get("/mammography/drift").text
    report = server.user.get("/mammography/drift/2026-01-30/files/report.html")
    assert report.status_code == 200
    assert "sandbox allow-scripts;" in report.headers["content-security-policy"]
    batches = "/mammography/scoring/ward-7/files"
    assert "ward-7" in server.user.get("/mammography/scoring").text
    assert server.user.get(f"{batches}/summary.html").status_code == 200
    for name in ("predictions.csv", "predictions.parquet"):
        answer = server.user.get(f"{batches}/{name}")
        assert answer.headers["content-disposition"].startswith("attachment")
    assert server.user.get("/mammography/scoring/../files/summary.html").status_code == 404
    assert server.user.get(f"{batches}/notes.txt").status_code == 404


@pytest.mark.parametrize(
    ("task", "where"),
    [
        ("validate_data", "files/validate_data/report.html"),
        ("preprocess.plan", "files/plan_cleaning/leakage.html"),
        ("preprocess.assemble", "contact-sheets"),
        ("train", "curves"),
        ("evaluate", "files/evaluate/report.html"),
        ("gate", "why"),
        ("push_model", "release"),
    ],
)
def test_the_tab_of_a_task_leads_to_what_it_made(server: Server, task: str, where: str) -> None:
    dag = "/mammography/dags/mammography_retraining"
    run_id = quote(FAILED, safe="")
    answer = server.user.get(f"{dag}/runs/{run_id}/tasks/{task}")
    assert (answer.status_code, answer.headers["location"]) == (302, f"{RUN}/{where}")


def test_settings_that_cannot_be_read_are_said(server: Server) -> None:
    """config.yaml is read at each request: a slip in it must not take the pages away for good."""
    file = server.project.file
    before = file.read_text()
    file.write_text(before + "\nnonsense: 1\n")
    try:
        answer = server.user.get("/mammography/models")
        assert answer.status_code == 404
        assert "nonsense is not a setting" in answer.text
    finally:
        file.write_text(before)


def test_the_plugin_brings_nothing_heavy_into_airflows_processes() -> None:
    """Airflow runs the file in the scheduler, in the dag-processor and in every task."""
    code = (
        "import sys, json, airflow.sdk, airflow.plugins_manager\n"
        "before = set(sys.modules)\n"
        "sys.path.insert(0, 'plugins')\n"
        "import mammography_pages\n"
        "print(json.dumps(sorted({m.split('.')[0] for m in set(sys.modules) - before})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    brought = set(json.loads(done.stdout.splitlines()[-1]))
    heavy = {"fastapi", "ml_tasks", "jinja2", "tensorflow", "mlflow", "docker", "numpy", "httpx"}
    assert not brought & heavy, brought
