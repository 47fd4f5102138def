"""The pages as functions: what they say of good, refused and damaged runs, and of no registry."""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote

import pytest

from ml_tasks.local_stack.ports import free_ports
from ml_tasks.pages import models_page
from ml_tasks.pages.answer import Answer
from ml_tasks.pages.models_page import models
from ml_tasks.pages.reading import decided_in_words, figure, one_line
from ml_tasks.pages.serving_now import serving_now
from ml_tasks.pages.site import MLFLOW, Site
from ml_tasks.pages.web import PAGES, answered
from ml_tasks.records import ChangesRecord, Decision
from ml_tasks.release.audit import NAME as AUDIT
from ml_tasks.release.ledger import NAME as LEDGER
from ml_tasks.run_paths import RunPaths
from ml_tasks.scoring.plan import BatchPlan
from ml_tasks.scoring.summary import BINS, BatchSummary, ProductionNow
from tests.pages.toy_project import DAMAGED, FAILED, REJECTED, SHIPPED, Project, make_project


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_project(tmp_path_factory.mktemp("toy"))


@pytest.fixture
def project(made: Project, tmp_path: Path) -> Project:
    """A copy that the test may damage."""
    root = tmp_path / "project"
    shutil.copytree(made.root, root)
    text = made.file.read_text().replace(str(made.root), str(root))
    (root / "config.yaml").write_text(text)
    below = {name: root / name for name in type(made.config.paths).model_fields}
    paths = made.config.paths.model_copy(update=below)
    config = made.config.model_copy(update={"paths": paths})
    return Project(root, root / "config.yaml", config, made.versions)


@pytest.fixture
def silent_registry() -> Iterator[str]:
    """An address that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", free_ports(1)[0])) as listening:
        yield f"localhost:{listening.getsockname()[1]}"


def page(project: Project) -> str:
    return models(Site(project.config, {})).text


def test_one_line_says_what_happened(project: Project) -> None:
    assert one_line(project.run(FAILED)) == (
        "FAILED the gate: AUC 0.710 [0.660, 0.760] is below 0.80"
    )
    assert one_line(project.run(REJECTED)).startswith("Rejected by jane: too few patients")
    assert one_line(project.run(SHIPPED)).startswith("shipped localhost:1/mammography-toy")
    assert "cannot be read" in one_line(project.run(DAMAGED))
    assert one_line(project.run("never")) == "has not come to the gate"


def test_a_failed_stage_is_the_line_of_a_run_that_came_no_further(project: Project) -> None:
    run = project.run("fails")
    (run.root / "tracking").mkdir(parents=True)
    facts = {"run_id": "fails", "failed_stage": "train", "failure": "no memory left"}
    (run.root / "tracking" / "facts.json").write_text(json.dumps(facts))
    assert one_line(run) == "FAILED in train: no memory left"


def everywhere(project: Project, run_id: str) -> list[str]:
    """The pages that tell of a run."""
    named = ("/runs/{run_id}", "/runs/{run_id}/why")
    return [page(project), *(shown(project, path, run_id=run_id).text for path in named)]


def test_a_name_and_a_reason_stay_as_they_were_written(project: Project) -> None:
    record = project.run(REJECTED).stage("approve") / "record.json"
    told = json.loads(record.read_text()) | {"who": "Jane McKay", "why": "AUC of BI-RADS 0"}
    record.write_text(json.dumps(told))
    for text in everywhere(project, REJECTED):
        assert "Rejected by Jane McKay: AUC of BI-RADS 0" in text


def test_an_answer_to_an_earlier_verdict_is_none(project: Project) -> None:
    """Evaluated and judged anew, the model has yet to be decided about: approve says the same."""
    run = project.run(REJECTED)
    record = run.stage("approve") / "record.json"
    told = json.loads(record.read_text())
    record.write_text(json.dumps(told | {"answer": "approved", "why": "good enough"}))
    assert "Approved by jane: good enough" in one_line(run)
    gate = run.stage("gate") / "record.json"
    gate.write_text(json.dumps(json.loads(gate.read_text()) | {"production": "another"}))
    for text in everywhere(project, REJECTED):
        assert "pproved by jane" not in text


def test_a_failure_after_the_gate_is_not_hidden_by_its_verdict(project: Project) -> None:
    run = project.run(FAILED)
    _judged_anew(run, "PASS")
    facts = {"run_id": FAILED, "failed_stage": "smoke_test", "failure": "ReleaseError"}
    (run.root / "tracking").mkdir()
    (run.root / "tracking" / "facts.json").write_text(json.dumps(facts))
    assert one_line(run).startswith("FAILED in smoke_test: ReleaseError. The model PASSED the gate")


def test_what_passed_and_was_not_to_ship_says_why(project: Project) -> None:
    run = project.run(FAILED)
    _judged_anew(run, "PASS")
    run.note_skipped("push_model", "release.push is false")
    assert one_line(run).endswith(". Not shipped: release.push is false")


def _judged_anew(run: RunPaths, verdict: str) -> None:
    gate = run.stage("gate") / "record.json"
    told = json.loads(gate.read_text()) | {"verdict": verdict}
    told["rules"] = [each | {"verdict": verdict} for each in told["rules"]]
    gate.write_text(json.dumps(told))


def test_a_run_that_found_nothing_new_says_so_where_people_look(project: Project) -> None:
    run = project.run("scheduled__2026-02-06T03:00:00+00:00")
    run.root.mkdir()
    shutil.copy(project.run(FAILED).config, run.config)
    assert "The newest run" in page(project) and "has not come to the gate" in page(project)
    record = ChangesRecord(
        run_id=run.run_id,
        started_at="2026-02-06T03:00:00+00:00",
        data_sha256="ab" * 32,
        settings_sha256="ab" * 32,
        code_sha256="ab" * 32,
        changed=(),
        forced=False,
        compared_with=FAILED,
        compared_at="2026-01-16T03:00:00+00:00",
        compared_end="FAILED the gate",
    )
    with run.writing(ChangesRecord.stage) as work:
        run.seal(work, record)
    for text in everywhere(project, run.run_id):
        assert "UNCHANGED, nothing is trained" in text


def test_who_let_an_inconclusive_model_ship_stands_with_its_release(project: Project) -> None:
    version = project.versions[0]
    record = project.config.paths.releases / version / "record"
    told = {"answer": "approved", "who": "Jane McKay", "when": "", "why": "it is no worse"}
    (record / "approval.json").write_text(json.dumps(told))
    for text in (page(project), shown(project, "/releases/{version}", version=version).text):
        assert "reaches 0.80. Approved by Jane McKay: it is no worse" in text


def test_the_newest_stands_first_and_each_stands_once(project: Project) -> None:
    text = page(project)
    order = [
        text.index(f'<article aria-label="{name}"')
        for name in (_html(REJECTED), _html(FAILED), project.versions[1], project.versions[0])
    ]
    assert order == sorted(order)
    assert text.count("<article") == 5
    assert f'aria-label="{_html(SHIPPED)}"' not in text


def _html(text: str) -> str:
    return text.replace("+", "&#43;") if "&#43;" in text else text


def test_figures_come_with_intervals_and_against_production_then(project: Project) -> None:
    text = page(project)
    assert "0.950 [0.920, 0.980]" in text
    assert "+0.012 [-0.020, +0.044]" in text
    assert f"Production then was {project.versions[0]}" in text


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"levels": 3}', '{"levels": {"test": []}}'])
def test_damaged_files_never_take_the_page_away(project: Project, damage: str) -> None:
    """Whatever a disk did to them: the other models are still to be seen."""
    folder = project.run(FAILED)
    for name in ("gate/record.json", "evaluate/metrics.json", "validate_data/record.json"):
        (folder.root / name).write_text(damage)
    (folder.root / "elsewhere.json").write_text(damage)
    bundle = project.config.paths.releases / project.versions[0] / "bundle"
    for name in ("decision.json", "lineage.json", "metrics.json"):
        (bundle / name).chmod(0o644)
        (bundle / name).write_text(damage)
    for path, shown in PAGES.items():
        named = {"run_id": FAILED} if "{run_id}" in path else {}
        named |= {"version": project.versions[0]} if "{version}" in path else {}
        if "{path" in path or "{dag_id}" in path:
            continue
        answer = answered(shown, {"MAMMO_CONFIG": str(project.file)}, "/mammography", **named)
        assert answer.status == 200, path
    assert page(project).count("<article") == 5


def shown(project: Project, page: str, /, **named: str) -> Answer:
    return answered(PAGES[page], {"MAMMO_CONFIG": str(project.file)}, "/mammography", **named)


@pytest.mark.parametrize(
    "record",
    [
        '{"answer": "rejected", "who": "\\ud800", "why": "half a sign"}',
        '{"answer": "rejected", "when": "0001-01-01T00:00:00+10:00"}',
    ],
)
def test_no_answer_of_a_person_takes_a_page_away(project: Project, record: str) -> None:
    mark = json.dumps(project.run(REJECTED).mark(Decision))
    told = record.removesuffix("}") + f', "inputs": {mark}}}'
    (project.run(REJECTED).stage("approve") / "record.json").write_text(told)
    assert one_line(project.run(REJECTED)).startswith("Rejected")
    for path in ("/models", "/runs/{run_id}", "/runs/{run_id}/why"):
        named = {"run_id": REJECTED} if "{" in path else {}
        answer = shown(project, path, **named)
        assert answer.status == 200 and answer.text.encode()


def test_figures_and_names_that_no_program_writes_take_no_page_away(project: Project) -> None:
    metrics = project.run(FAILED).stage("evaluate") / "metrics.json"
    content = json.loads(metrics.read_text())
    content["levels"]["test"]["patient"]["figures"]["auc"]["value"] = 10**400
    metrics.write_text(json.dumps(content))
    gate = project.config.paths.runs / os.fsdecode(b"foreign\xff") / "gate"
    gate.mkdir(parents=True)
    (gate / "record.json").write_text("{")
    lineage = project.config.paths.releases / project.versions[0] / "bundle" / "lineage.json"
    lineage.chmod(0o644)
    lineage.write_text(json.dumps({"run_id": "x" * 5000}))
    batch = project.config.paths.scoring / os.fsdecode(b"ward\xff")
    batch.mkdir()
    (batch / "summary.html").write_text("")
    assert shown(project, "/models").text.count("<article") == 6
    assert shown(project, "/scoring").text.count("<article") == 2
    assert shown(project, "/releases/{version}", version=project.versions[0]).status == 200


def test_a_run_of_a_name_too_long_for_a_folder_is_none(project: Project) -> None:
    for path in ("/runs/{run_id}", "/runs/{run_id}/why"):
        assert shown(project, path, run_id="x" * 5000).status == 404
    there = {"dag_id": "other", "run_id": "x" * 5000}
    assert shown(project, "/dags/{dag_id}/runs/{run_id}", **there).status == 404


def test_a_file_that_airflow_may_not_read_is_said(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow often runs as another user than the worker that wrote the file."""
    file = project.run(FAILED).stage("evaluate") / "report.html"
    plain = Path.open

    # Root, as whom tests may run, may read all.
    def refusing(path: Path, *rest: Any, **named: Any) -> Any:
        if path == file:
            raise PermissionError(13, "Permission denied")
        return plain(path, *rest, **named)

    monkeypatch.setattr(Path, "open", refusing)
    named = {"run_id": FAILED, "path": "evaluate/report.html"}
    answer = shown(project, "/runs/{run_id}/files/{path:path}", **named)
    assert answer.file is None and "may not be read by" in answer.text


def test_a_batch_is_listed_with_what_became_of_it(project: Project) -> None:
    folder = project.config.paths.scoring / "ward-7"
    assert "summary.json is gone or cannot be read" in shown(project, "/scoring").text
    plan = BatchPlan(
        name="ward-7",
        folder="/data/ward-7",
        planned_at="2026-02-01T00:00:00+00:00",
        version=project.versions[1],
        digest="sha256:" + "ab" * 32,
        proof="the ledger",
        positive="Positive",
        negative="Negative",
        threshold=0.5,
        images=1200,
        size=1,
        chunk=100,
        chunks=12,
        shards=2,
        format="csv",
        listing_sha256="ab" * 32,
        left_out={},
        left_out_names={},
    )
    summary = BatchSummary(
        plan=plan,
        plan_sha256="ab" * 32,
        finished_at="2026-02-01T01:00:00+00:00",
        seconds=60,
        scored=1190,
        classes={"Negative": 1000, "Positive": 190},
        errors={"BAD": 10},
        quality={},
        warned=0,
        histogram=(0,) * BINS,
        first_errors=(),
        production=ProductionNow(same=True, text="serves"),
        files=("predictions.csv",),
    )
    (folder / "summary.json").write_text(summary.model_dump_json())
    text = shown(project, "/scoring").text
    assert "1,190 of 1,200 images scored by" in text and "10 could not be scored" in text


def test_drift_is_listed_with_what_follows_from_it(project: Project) -> None:
    assert "brightness has moved by 0.31" in shown(project, "/drift").text
    told = {"action": "none", "reason": "drift seen, but retraining suggested on 2026-01-28"}
    (project.config.paths.drift / "2026-01-30" / "suggestion.json").write_text(json.dumps(told))
    assert "retraining suggested on 2026-01-28" in shown(project, "/drift").text


def test_data_docs_open_at_their_results(project: Project) -> None:
    """Their index, which scripts from other hosts fill, stays empty in these pages."""
    path = "validate_data/data_docs/validations/raw_mammograms/__none__/2026/manifest.html"
    file = project.run(FAILED).root / path
    file.parent.mkdir(parents=True)
    file.write_text("<h1>18 expectations</h1>")
    address = "/runs/{run_id}/files/{path:path}"
    index = shown(project, address, run_id=FAILED, path="validate_data/data_docs/index.html")
    assert index.location is not None and unquote(index.location).endswith(path)
    assert shown(project, address, run_id=FAILED, path=path).file == file.resolve()


def test_every_release_is_shown_however_many_candidates_came_after_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What serves, and what can be gone back to, is on the page for good."""
    monkeypatch.setattr(models_page, "SHOWN", 1)
    text = page(project)
    for version in project.versions:
        assert f'aria-label="{version}"' in text
    assert text.count("<article") == 3 and "And 2 older candidates" in text


def test_a_damaged_ledger_is_said_and_the_models_are_still_shown(project: Project) -> None:
    ledger = project.config.paths.releases / LEDGER
    ledger.write_text(ledger.read_text().replace("push", "pull") + "{}\n")
    text = page(project)
    assert "the releases cannot be listed" in text and text.count("<article") == 5


def test_an_edited_audit_log_is_said(project: Project) -> None:
    audit = project.config.paths.releases / AUDIT
    audit.write_text(audit.read_text().replace("jane", "joan"))
    assert "is damaged or was edited" in page(project)


def test_a_registry_that_never_answers_costs_the_page_its_patience_and_no_more(
    project: Project, silent_registry: str
) -> None:
    release = project.config.release.model_copy(update={"registry": silent_registry})
    config = project.config.model_copy(update={"release": release})
    told = serving_now(config, patience=0.5)
    assert not told.known and "has not answered within" in told.problems[0]
    # What was shipped, and could be gone back to, is known without the registry.
    assert told.listed and set(told.shipped) == set(project.versions)


def test_no_release_is_called_never_shipped_because_the_ledger_cannot_be_read(
    project: Project,
) -> None:
    (project.config.paths.releases / LEDGER).write_text("{}\n")
    text = page(project)
    assert "never in production" not in text and text.count(">not known<") == 2


class _Holds(BaseHTTPRequestHandler):
    """A registry: what it holds by tag."""

    tags: ClassVar[dict[str, str]] = {}

    def do_HEAD(self) -> None:
        digest = self.tags.get(self.path.rpartition("/")[2])
        self.send_response(200 if digest else 404)
        if digest:
            self.send_header("Docker-Content-Digest", digest)
        self.end_headers()

    def do_GET(self) -> None:
        self.send_response(404)
        self.end_headers()
        self.wfile.write(b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}')

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def holding(project: Project) -> Iterator[Project]:
    """The project with a registry that answers; what it holds is for the test to say."""
    _Holds.tags.clear()
    server = HTTPServer(("127.0.0.1", 0), _Holds)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    release = project.config.release.model_copy(
        update={"registry": f"localhost:{server.server_port}"}
    )
    yield replace(project, config=project.config.model_copy(update={"release": release}))
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("production", "says"),
    [
        ("sha256:" + "7" * 64, f"ledger last noted it: <code>sha256:{'7' * 64}</code>"),
        ("", "holds no <code>production</code>"),
    ],
)
def test_what_serves_outside_the_ledger_is_never_called_nothing(
    holding: Project, production: str, says: str
) -> None:
    """Somebody may have moved, or removed, the tag by hand."""
    _Holds.tags["production"] = production
    text = page(holding)
    assert says in text and "nothing was released" not in text


def test_mlflow_is_linked_where_an_address_is_known(project: Project) -> None:
    assert Site(project.config, {}).mlflow is None
    assert Site(project.config, {MLFLOW: "http://localhost:5001"}).mlflow == "http://localhost:5001"
    server = {"MLFLOW_TRACKING_URI": "http://jane:secret@mlflow:5000"}
    assert "secret" not in str(Site(project.config, server).mlflow)


def test_pages_below_another_path_link_below_it(project: Project) -> None:
    """Airflow may stand below a path of its host."""
    text = models(Site(project.config, {}, "/airflow/mammography")).text
    assert 'href="/airflow/mammography/audit"' in text
    assert 'href="/airflow/dags/mammography_retraining"' in text
    assert 'href="/mammography' not in text


def test_decisions_in_words() -> None:
    rejected = {"answer": "rejected", "who": "jane", "when": "", "why": "too few"}
    assert decided_in_words(rejected) == "rejected by jane: too few"
    assert decided_in_words({**rejected, "answer": "not needed"}) == ""
    assert decided_in_words({}) == ""


def test_a_figure_is_written_with_its_interval() -> None:
    assert figure({"value": 0.71, "low": 0.66, "high": 0.76}) == "0.710 [0.660, 0.760]"
    assert figure({"value": None}) == "not computable"
    assert figure({"value": 0.5, "low": None, "high": None}) == "0.500 (no interval)"
    assert figure(None) == figure(["x"]) == figure({"value": "x", "low": 1, "high": 2}) == ""
