"""Who is asked, what an answer does, and that nothing counts which the audit log does not hold."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Literal

import pytest

from ml_tasks import approve, cli, sequences
from ml_tasks.config import Config, PathsConfig, save_config
from ml_tasks.config_operation import ApprovalConfig
from ml_tasks.errors import (
    ApprovalPending,
    ApprovalRefused,
    AuditError,
    GateRefused,
    StageOrderError,
    StorageError,
)
from ml_tasks.records import STAGES, Decision, Verdict
from ml_tasks.release.approval import Answer, ApprovalRecord, cleared, goes_on, why_not
from ml_tasks.release.audit import Deed, read_audit
from ml_tasks.run_paths import RunPaths
from tests.builders import fill, small_disk
from tests.toy_run import ToyRun, make_toy_run

Ask = Literal["always", "when_inconclusive", "never"]
PASS, INCONCLUSIVE, FAIL = Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL


def judged(root: Path, verdict: Verdict, ask: Ask = "when_inconclusive") -> ToyRun:
    """A run that the gate has judged, about which nobody has decided."""
    toy = _MADE[verdict]
    paths = PathsConfig(raw=root / "raw", runs=root / "runs", releases=root / "releases")
    config = toy.config.model_copy(update={"approval": ApprovalConfig(ask=ask), "paths": paths})
    run = RunPaths(paths.runs, "judged")
    shutil.copytree(toy.run.root, run.root, ignore=shutil.ignore_patterns("approve"))
    save_config(config, run.config)
    return ToyRun(run, config)


_MADE: dict[Verdict, ToyRun] = {}


@pytest.fixture(scope="module", autouse=True)
def _made(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One run for each verdict, which the tests copy: to make one takes a second or two."""
    for verdict in Verdict:
        root = tmp_path_factory.mktemp(verdict.value)
        _MADE[verdict] = make_toy_run(root, "judged", verdict=verdict)


@pytest.fixture
def unsure(tmp_path: Path) -> ToyRun:
    return judged(tmp_path, INCONCLUSIVE)


def deeds(config: Config) -> list[Deed]:
    return [entry.deed for entry in read_audit(config.paths.releases)]


def yes(toy: ToyRun, why: str = "more films would not help") -> ApprovalRecord:
    return approve.answer(toy.run, toy.config, Answer.APPROVED, "ada", why)


def test_the_stage_stands_between_gate_and_image() -> None:
    place = STAGES.index(ApprovalRecord.stage)
    assert STAGES[place - 1 : place + 2] == ("gate", "approve", "build_image")


@pytest.mark.parametrize(
    ("verdict", "ask", "asked", "follows"),
    [
        (PASS, "always", True, True),
        (PASS, "when_inconclusive", False, True),
        (PASS, "never", False, True),
        (INCONCLUSIVE, "always", True, True),
        (INCONCLUSIVE, "when_inconclusive", True, True),
        (INCONCLUSIVE, "never", False, False),
        (FAIL, "always", False, False),
        (FAIL, "when_inconclusive", False, False),
        (FAIL, "never", False, False),
    ],
)
def test_who_is_asked_when(
    tmp_path: Path, verdict: Verdict, ask: Ask, asked: bool, follows: bool
) -> None:
    toy = judged(tmp_path, verdict, ask)
    assert goes_on(verdict, ask) is follows
    if not follows:
        with pytest.raises(GateRefused, match="nobody is asked about a model that"):
            approve.approve(toy.run, toy.config)
        with pytest.raises(GateRefused):
            yes(toy)
        assert deeds(toy.config) == []
    elif asked:
        with pytest.raises(ApprovalPending, match=r"mammo approve --run 'judged' --answer approve"):
            approve.approve(toy.run, toy.config)
        assert deeds(toy.config) == [Deed.ASKED]
    else:
        record = approve.approve(toy.run, toy.config)
        assert (record.asked, record.answer, record.who) == (False, Answer.NOT_NEEDED, "")
        assert deeds(toy.config) == []
        with pytest.raises(ApprovalRefused, match="nobody is asked about judged"):
            yes(toy)


@pytest.mark.parametrize("verdict", list(Verdict))
@pytest.mark.parametrize("answer", [None, *Answer])
def test_what_ships(tmp_path: Path, verdict: Verdict, answer: Answer | None) -> None:
    """PASS with nobody asked, or a named person's approval of what did not fail; nothing else."""
    decision = judged(tmp_path, verdict).run.load(Decision)
    approval = None
    if answer is not None:
        asked = answer is not Answer.NOT_NEEDED
        approval = ApprovalRecord(run_id="judged", asked=asked, answer=answer, who="ada", why="so")
    ships = {(PASS, None), (PASS, Answer.NOT_NEEDED), (PASS, Answer.APPROVED)}
    ships |= {(INCONCLUSIVE, Answer.APPROVED)}
    assert (why_not(decision, approval) is None) is ((verdict, answer) in ships)


@pytest.mark.parametrize("who", ["", "pipeline", "unknown user", "Anonymous", "airflow"])
def test_an_approval_needs_a_named_person_and_a_reason(unsure: ToyRun, who: str) -> None:
    """Otherwise whoever passes by at a page without a login could ship a model."""
    with pytest.raises(ApprovalRefused, match="is not the name of a person"):
        approve.answer(unsure.run, unsure.config, Answer.APPROVED, who, "looks good")
    with pytest.raises(ApprovalRefused, match="ada approved it, which does not count: it gave no"):
        yes(unsure, "  \n ")
    assert not unsure.run.has(ApprovalRecord)
    assert deeds(unsure.config) == [Deed.UNCOUNTED, Deed.UNCOUNTED]
    if who != "airflow":
        with pytest.raises(ValueError, match="has the name of a person and a reason"):
            ApprovalRecord(run_id="r", asked=True, answer=Answer.APPROVED, who=who, why="good")


def test_an_approval_of_before_in_the_containers_name_is_still_read(unsure: ToyRun) -> None:
    """Its record is signed into a release, which could be neither verified nor gone back to."""
    record = yes(unsure, "good")
    old = record.model_copy(update={"who": "airflow"})
    assert ApprovalRecord.model_validate_json(old.model_dump_json()) == old
    assert why_not(unsure.run.load(Decision), old) is None


def test_an_approval_is_written_down_twice_and_clears_the_run(unsure: ToyRun) -> None:
    record = yes(unsure, "read the\nten misses")
    (entry,) = read_audit(unsure.config.paths.releases)
    assert (entry.who, entry.deed, entry.subject) == ("ada", Deed.APPROVED, "judged")
    assert (entry.why, entry.at) == ("read the ten misses", record.when)
    assert entry.decision == record.inputs["gate"] == unsure.run.mark(Decision)["gate"]
    assert cleared(unsure.run, unsure.config, "nothing") == (unsure.run.load(Decision), record)
    assert approve.approve(unsure.run, unsure.config) == record
    assert record.summary().startswith("APPROVED by ada on 20")


@pytest.mark.parametrize("verdict", [PASS, INCONCLUSIVE])
def test_a_rejection_or_no_answer_ships_nothing_and_can_be_reconsidered(
    tmp_path: Path, verdict: Verdict
) -> None:
    toy = judged(tmp_path, verdict, "always")
    for answered in (
        lambda: approve.answer(toy.run, toy.config, Answer.REJECTED, "ada", "misses lesions"),
        lambda: approve.time_out(toy.run, toy.config),
    ):
        approve.ask(toy.run, toy.config)
        record = answered()
        assert not record.passed and approve.approve(toy.run, toy.config) == record
        with pytest.raises(GateRefused, match="nothing is pushed of a model that"):
            cleared(toy.run, toy.config, "nothing is pushed")
    never = toy.config.model_copy(update={"approval": ApprovalConfig(ask="never")})
    assert approve.given(toy.run, never) == record, "a rejection is not undone by a setting"
    yes(toy)
    cleared(toy.run, toy.config, "nothing is pushed")
    told = deeds(toy.config)
    assert told == [Deed.ASKED, Deed.REJECTED, Deed.ASKED, Deed.TIMED_OUT, Deed.APPROVED]
    timed_out = read_audit(toy.config.paths.releases)[3]
    assert (timed_out.who, timed_out.why) == ("pipeline", "nobody answered within 72 hours")


def test_judging_anew_voids_the_approval(unsure: ToyRun) -> None:
    yes(unsure)
    decision = unsure.run.load(Decision)
    unsure.run.seal(
        unsure.run.stage("gate"), decision.model_copy(update={"production": "sha256:2"})
    )
    with pytest.raises(StageOrderError, match="approve .* from an earlier attempt of gate"):
        cleared(unsure.run, unsure.config, "nothing is pushed")
    with pytest.raises(ApprovalPending):
        approve.approve(unsure.run, unsure.config)


def test_asking_again_voids_the_approval_until_it_is_answered(unsure: ToyRun) -> None:
    yes(unsure)
    assert approve.ask(unsure.run, unsure.config) is not None
    with pytest.raises(GateRefused, match="the audit log in .* does not hold its approval by ada"):
        cleared(unsure.run, unsure.config, "nothing is pushed")
    yes(unsure)
    cleared(unsure.run, unsure.config, "nothing is pushed")


def test_a_record_written_by_hand_approves_nothing(unsure: ToyRun) -> None:
    """Who can write the run's folder would else decide in another's name, without a trace."""
    yes(unsure)
    record = unsure.run.load(ApprovalRecord).model_copy(update={"who": "grace"})
    unsure.run.seal(unsure.run.stage("approve"), record)
    with pytest.raises(GateRefused, match="does not hold its approval by grace"):
        cleared(unsure.run, unsure.config, "nothing is pushed")
    with pytest.raises(ApprovalPending):
        approve.approve(unsure.run, unsure.config)


def test_nobody_asked_where_a_person_must_be_is_refused(tmp_path: Path) -> None:
    toy = judged(tmp_path, PASS)
    approve.approve(toy.run, toy.config)
    cleared(toy.run, toy.config, "nothing is built")
    always = toy.config.model_copy(update={"approval": ApprovalConfig(ask="always")})
    with pytest.raises(GateRefused, match="approval.ask is always: mammo approve --run 'judged'"):
        cleared(toy.run, always, "nothing is built")


@pytest.mark.parametrize("answer", [None, Answer.REJECTED, Answer.TIMED_OUT])
def test_who_was_asked_once_is_not_passed_over_by_a_setting(
    tmp_path: Path, answer: Answer | None
) -> None:
    """Nor where approve itself runs again by the changed setting, as it does when it is cleared."""
    toy = judged(tmp_path, PASS, "always")
    not_asked = approve.approve(toy.run, _asks(toy, "never"))
    approve.ask(toy.run, toy.config)
    if answer is not None:
        approve.answer(toy.run, toy.config, answer, "ada", "misses small lesions")
    never = _asks(toy, "never")
    assert approve.not_needed(toy.run, never) is None
    assert approve.ask(toy.run, never) is not None
    with toy.run.writing("approve") as work:  # as approve left it before anybody was asked
        toy.run.seal(work, not_asked)
    with pytest.raises(GateRefused, match="a person was asked about it, who has to approve it"):
        cleared(toy.run, never, "nothing is pushed")
    approve.answer(toy.run, never, Answer.APPROVED, "grace", "the misses are implants")
    cleared(toy.run, never, "nothing is pushed")


def _asks(toy: ToyRun, ask: Ask) -> Config:
    return toy.config.model_copy(update={"approval": ApprovalConfig(ask=ask)})


@pytest.mark.parametrize("what", [Answer.APPROVED, Answer.REJECTED, Answer.TIMED_OUT])
def test_an_answer_is_to_the_decision_that_was_shown(unsure: ToyRun, what: Answer) -> None:
    """Judged anew while a person reads, it is another model that the answer would be put to."""
    request = approve.ask(unsure.run, unsure.config)
    assert request is not None and request.decision == unsure.run.mark(Decision)["gate"]
    decision = unsure.run.load(Decision)
    anew = decision.model_copy(update={"production": "sha256:2"})
    unsure.run.seal(unsure.run.stage("gate"), anew)
    with pytest.raises(ApprovalRefused, match="judged anew since the question was asked"):
        approve.answer(unsure.run, unsure.config, what, "ada", "so", asked_about=request.decision)
    assert deeds(unsure.config) == [Deed.ASKED, Deed.UNCOUNTED]
    assert not unsure.run.has(ApprovalRecord)


@pytest.mark.parametrize("what", [Answer.APPROVED, Answer.REJECTED])
def test_the_end_of_the_time_does_not_undo_an_answer_given_elsewhere(
    unsure: ToyRun, what: Answer
) -> None:
    """The page waits, somebody answers at a terminal, and it ships: nobody "did not answer"."""
    request = approve.ask(unsure.run, unsure.config)
    assert request is not None
    record = approve.answer(unsure.run, unsure.config, what, "ada", "so")
    assert approve.time_out(unsure.run, unsure.config, request.decision) == record
    assert unsure.run.load(ApprovalRecord) == record
    assert deeds(unsure.config)[1:] == [Deed(what.value)]
    approve.ask(unsure.run, unsure.config)  # asked again, that answer does not count any more
    assert approve.time_out(unsure.run, unsure.config).answer is Answer.TIMED_OUT


def test_a_damaged_audit_log_stops_every_answer(unsure: ToyRun) -> None:
    yes(unsure)
    log = unsure.config.paths.releases / "audit.jsonl"
    log.write_text(log.read_text().replace("ada", "eve"))
    for attempt in (
        lambda: yes(unsure),
        lambda: cleared(unsure.run, unsure.config, "nothing"),
        lambda: approve.ask(unsure.run, unsure.config),
    ):
        with pytest.raises(AuditError, match="line 1 is damaged or was edited"):
            attempt()


def test_an_approval_that_cannot_be_noted_does_not_count(unsure: ToyRun, tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", kib=64) as disk:
        paths = unsure.config.paths.model_copy(update={"releases": disk})
        full = unsure.config.model_copy(update={"paths": paths})
        approve.ask(unsure.run, full)
        before = read_audit(disk)
        fill(disk)
        with pytest.raises(StorageError, match="no space left"):
            for _ in range(40):  # the log's last block has room for some lines
                approve.answer(unsure.run, full, Answer.REJECTED, "ada", "x" * 1900)
        noted = read_audit(disk)
        assert noted[: len(before)] == before
        with pytest.raises(StorageError, match="no space left"):
            approve.answer(unsure.run, full, Answer.APPROVED, "ada", "x" * 1900)
        assert not (unsure.run.has(ApprovalRecord) and unsure.run.load(ApprovalRecord).passed)
        assert read_audit(disk) == noted


def test_the_request_shows_what_is_known_and_what_is_not(unsure: ToyRun) -> None:
    request = approve.request(unsure.run, unsure.config)
    assert request.subject == "INCONCLUSIVE: shall the model of judged ship?"
    assert "| AUC | 0.950 [0.920, 0.980] |" in request.body
    assert "100 test patients, 50 of them Positive" in request.body
    assert "- whether accuracy reaches 0.8 cannot be told" in request.body
    assert "No model is in production" in request.body
    assert "(/mammography/runs/judged/files/evaluate/report.html)" in request.body
    assert "(/mammography/runs/judged)" in request.body
    assert "within 72 hours" in request.body and request.timeout_hours == 72
    assert approve.request(unsure.run, unsure.config) == request


def command(toy: ToyRun, *words: str, name: str = "approve") -> int:
    config = toy.config.paths.runs.parent / "config.yaml"
    save_config(toy.config, config)
    return cli.main([name, "--run", toy.run.run_id, "--config", str(config), *words])


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml_tasks.cli.log_to_terminal", lambda: None)
    monkeypatch.setattr("ml_tasks.cli_approve.person_here", lambda: "ada")


def test_the_command_asks_takes_the_answer_and_ends_with_its_status(
    unsure: ToyRun, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(unsure) == ApprovalPending.exit_status == 4
    shown = capsys.readouterr()
    assert "| AUC | 0.950" in shown.out and "ApprovalPending: a person must decide" in shown.err
    assert command(unsure) == 4
    assert deeds(unsure.config) == [Deed.ASKED], "looked at twice, asked once"
    assert command(unsure, "--reason", "because") == 2
    assert command(unsure, "--answer", "approve") == 1
    assert command(unsure, "--answer", "reject", "--reason", "too few positives") == 3
    assert command(unsure) == 3
    assert command(unsure, "--answer", "approve", "--reason", "read all misses") == 0
    told = capsys.readouterr().out
    assert "APPROVED by ada" in told and "mammo release --run 'judged'" in told
    assert command(unsure) == 0


def test_a_release_by_hand_stops_where_a_person_must_decide(
    unsure: ToyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It never waits; once approved, it goes on to the image (here no engine is wanted)."""
    monkeypatch.delenv("SKIP_DOCKER", raising=False)
    assert command(unsure, name="release") == 4
    yes(unsure)
    monkeypatch.setenv("SKIP_DOCKER", "1")
    assert command(unsure, name="release") == 1  # nothing was pushed: SKIP_DOCKER
    approve.answer(unsure.run, unsure.config, Answer.REJECTED, "ada", "no")
    monkeypatch.delenv("SKIP_DOCKER")
    assert command(unsure, name="release") == GateRefused.exit_status


@pytest.mark.parametrize(("ask", "status"), [("when_inconclusive", 4), ("never", 3)])
def test_a_whole_run_at_a_terminal_stops_there_and_never_waits(
    unsure: ToyRun, monkeypatch: pytest.MonkeyPatch, ask: Ask, status: int
) -> None:
    """What stands before approve is there already; the image stages must not be reached."""

    def stage(name: str) -> Any:
        before = STAGES[: STAGES.index("gate")]
        stages: dict[str, Any] = dict.fromkeys(before, lambda run, config, *part: None)
        return (stages | {"gate": lambda run, _: run.load(Decision), "approve": approve.approve})[
            name
        ]

    monkeypatch.setattr(sequences, "_stage", stage)
    monkeypatch.setenv("SKIP_DOCKER", "1")
    asked = unsure.config.model_copy(update={"approval": ApprovalConfig(ask=ask)})
    assert command(ToyRun(unsure.run, asked), name="run") == status


def test_the_gates_task_opens_for_a_person_too(unsure: ToyRun, tmp_path: Path) -> None:
    save_config(unsure.config, tmp_path / "config.yaml")
    assert sequences.gate_opens("judged", tmp_path / "config.yaml")
    never = unsure.config.model_copy(update={"approval": ApprovalConfig(ask="never")})
    save_config(never, unsure.run.config)
    assert not sequences.gate_opens("judged", tmp_path / "config.yaml")


def test_the_record_is_plain_json(unsure: ToyRun) -> None:
    yes(unsure)
    told = json.loads((unsure.run.stage("approve") / "record.json").read_text())
    assert set(told) == {"run_id", "inputs", "asked", "answer", "who", "when", "why"}
    assert told["answer"] == "approved"
