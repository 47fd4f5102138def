"""Damaged, foreign and unreadable files: each is said in its place, and no page is lost."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ml_tasks.pages.reading import one_line
from ml_tasks.pages.web import PAGES, answered
from ml_tasks.records import Decision
from ml_tasks.release.audit import NAME as AUDIT
from ml_tasks.release.ledger import NAME as LEDGER
from tests.pages.shown_pages import page, shown
from tests.pages.toy_project import FAILED, REJECTED, Project


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
    for path, made_page in PAGES.items():
        named = {"run_id": FAILED} if "{run_id}" in path else {}
        named |= {"version": project.versions[0]} if "{version}" in path else {}
        if "{path" in path or "{dag_id}" in path:
            continue
        answer = answered(made_page, {"MAMMO_CONFIG": str(project.file)}, "/mammography", **named)
        assert answer.status == 200, path
    assert page(project).count("<article") == 5


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


def test_a_damaged_ledger_is_said_and_the_models_are_still_shown(project: Project) -> None:
    ledger = project.config.paths.releases / LEDGER
    ledger.write_text(ledger.read_text().replace("push", "pull") + "{}\n")
    text = page(project)
    assert "the releases cannot be listed" in text and text.count("<article") == 5


def test_an_edited_audit_log_is_said(project: Project) -> None:
    audit = project.config.paths.releases / AUDIT
    audit.write_text(audit.read_text().replace("jane", "joan"))
    assert "is damaged or was edited" in page(project)


def test_no_release_is_called_never_shipped_because_the_ledger_cannot_be_read(
    project: Project,
) -> None:
    (project.config.paths.releases / LEDGER).write_text("{}\n")
    text = page(project)
    assert "never in production" not in text and text.count(">not known<") == 2
