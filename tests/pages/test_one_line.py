"""The one line of a run: what happened, what a person said, why it came no further."""

from __future__ import annotations

import json
import shutil

from ml_tasks.pages.reading import decided_in_words, one_line
from ml_tasks.records import ChangesRecord
from ml_tasks.run_paths import RunPaths
from tests.pages.shown_pages import everywhere, page
from tests.pages.toy_project import DAMAGED, FAILED, REJECTED, SHIPPED, Project


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


def test_decisions_in_words() -> None:
    rejected = {"answer": "rejected", "who": "jane", "when": "", "why": "too few"}
    assert decided_in_words(rejected) == "rejected by jane: too few"
    assert decided_in_words({**rejected, "answer": "not needed"}) == ""
    assert decided_in_words({}) == ""
