"""The audit log, and `mammo audit`: what was edited, taken out or cut off is noticed."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from ml_tasks import cli
from ml_tasks.config import Config, PathsConfig, save_config
from ml_tasks.errors import AuditError, StorageError
from ml_tasks.release.approval import Answer, ApprovalRecord, keep_approval
from ml_tasks.release.audit import (
    PIPELINE,
    Deed,
    acting,
    note,
    noted_once,
    person_here,
    read_audit,
    read_places,
)
from ml_tasks.release.audit_check import check_audit
from ml_tasks.release.audited_moves import note_missing, note_moved
from ml_tasks.release.bundle import add_record, bundle_of
from ml_tasks.release.ledger import Move, note_move
from ml_tasks.release.moving import movers_lock
from ml_tasks.release.signing import sign, signing_key
from ml_tasks.release.statement import NAME as STATEMENT
from ml_tasks.release.statement import PAYLOAD_TYPE, PREDICATE_TYPE, STATEMENT_TYPE
from ml_tasks.storage import write_bytes
from tests.builders import fill, small_disk
from tests.waiting import ended


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Two releases that were pushed, the first approved by a person, and a rollback to it."""
    config = Config(paths=PathsConfig(releases=tmp_path / "releases"))
    releases = config.paths.releases
    note(releases, Deed.ASKED, "run-1", decision="d1")
    entry = note(releases, Deed.APPROVED, "run-1", "ada", "seen all misses", decision="d1")
    released(config, "V1", "run-1")
    approval = ApprovalRecord(
        run_id="run-1",
        inputs={"gate": "d1"},
        asked=True,
        answer=Answer.APPROVED,
        who="ada",
        when=entry.at,
        why="seen all misses",
    )
    keep_approval(bundle_of(releases, "V1"), approval)
    moved(config, "V1", None)
    released(config, "V2", "run-2")
    moved(config, "V2", "sha256:V1")
    back = Move(
        version="V1",
        digest="sha256:V1",
        reference="r",
        moved_at="2999-01-01T00:00:00+00:00",
        digest_before="sha256:V2",
        kind="rollback",
        reason="misses small lesions",
    )
    note_move(releases, back)
    note_moved(releases, back, "grace", back.reason)
    return config


def released(config: Config, version: str, run_id: str) -> None:
    """What sealing and signing a release leave of the audit log."""
    bundle = bundle_of(config.paths.releases, version)
    write_bytes(bundle / "decision.json", b'{"verdict": "INCONCLUSIVE"}')
    write_bytes(bundle / "lineage.json", b'{"parents": {"records_sha256": {"gate": "d1"}}}')
    if version != "V1":
        write_bytes(bundle / "decision.json", b'{"verdict": "PASS"}')
    place = noted_once(config.paths.releases, Deed.RELEASED, version, f"run {run_id}")
    head = {
        "name": "audit log",
        "digest": {"sha256": place.check},
        "annotations": {"lines": place.line},
    }
    content = {
        "_type": STATEMENT_TYPE,
        "predicateType": PREDICATE_TYPE,
        "subject": [],
        "predicate": {
            "buildDefinition": {"resolvedDependencies": []},
            "runDetails": {"byproducts": [head]},
        },
    }
    signed = sign(signing_key(config), PAYLOAD_TYPE, json.dumps(content).encode())
    add_record(bundle, STATEMENT, signed)


def moved(config: Config, version: str, before: str | None) -> Move:
    move = Move(
        version=version,
        digest=f"sha256:{version}",
        reference="r",
        moved_at="2999-01-01T00:00:00+00:00",
        digest_before=before,
    )
    note_move(config.paths.releases, move)
    note_moved(config.paths.releases, move, why="run")
    return move


def log_of(config: Config) -> Path:
    return config.paths.releases / "audit.jsonl"


def test_what_agrees_has_no_problem(config: Config) -> None:
    found = check_audit(config)
    assert found.problems == () and found.notes == ()
    assert [entry.deed for entry in found.entries] == [
        Deed.ASKED,
        Deed.APPROVED,
        Deed.RELEASED,
        Deed.PUSHED,
        Deed.RELEASED,
        Deed.PUSHED,
        Deed.ROLLED_BACK,
    ]
    back = found.entries[-1]
    assert (back.who, back.subject, back.why, back.digest) == (
        "grace",
        "V1",
        "misses small lesions",
        "sha256:V1",
    )


def test_the_command_prints_a_table_and_ends_with_1_where_something_does_not_agree(
    config: Config,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ml_tasks.cli.log_to_terminal", lambda: None)
    save_config(config, tmp_path / "config.yaml")
    command = ["audit", "--config", str(tmp_path / "config.yaml")]
    assert cli.main(command) == 0
    table = capsys.readouterr().out
    assert "ada              approved                run-1" in table and "PROBLEM" not in table
    assert cli.main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["entries"][1]["who"] == "ada"
    cut(config, 1)
    assert cli.main(command) == 1
    assert "PROBLEM: the ledger says that production moved to V1" in capsys.readouterr().out
    assert cli.main([*command, "--complete"]) == 0
    assert "not known" in capsys.readouterr().out


def cut(config: Config, lines: int) -> None:
    kept = log_of(config).read_text().splitlines(keepends=True)[:-lines]
    log_of(config).write_text("".join(kept))


@pytest.mark.parametrize("line", range(7))
def test_an_edited_line_is_named(config: Config, line: int) -> None:
    lines = log_of(config).read_text().splitlines()
    lines[line] = json.dumps({**json.loads(lines[line]), "who": "eve"})
    log_of(config).write_text("".join(f"{each}\n" for each in lines))
    (problem,) = check_audit(config).problems
    assert f"line {line + 1} is damaged or was edited" in problem
    with pytest.raises(AuditError):
        note(config.paths.releases, Deed.PUSHED, "V3")


@pytest.mark.parametrize("line", range(6))
def test_a_line_taken_out_is_noticed(config: Config, line: int) -> None:
    lines = log_of(config).read_text().splitlines(keepends=True)
    log_of(config).write_text("".join(lines[:line] + lines[line + 1 :]))
    (problem,) = check_audit(config).problems
    assert f"line {line + 1} is damaged or was edited" in problem


@pytest.mark.parametrize("lines", range(1, 8))
def test_a_log_cut_short_at_its_end_is_noticed(config: Config, lines: int) -> None:
    """By the ledger, by the releases' approvals, and by what their statements have signed."""
    cut(config, lines)
    problems = check_audit(config).problems
    assert problems, f"{lines} lines went without a word"
    if lines >= 3:
        assert any("when V2 was signed" in problem for problem in problems)
    if lines >= 6:
        assert any("'APPROVED by ada" in problem for problem in problems)


def test_a_log_begun_anew_is_not_taken_for_the_old_one(config: Config) -> None:
    """Every line of it is in order, and it holds each move."""
    log_of(config).unlink()
    note(config.paths.releases, Deed.ASKED, "x")
    list(note_missing(config.paths.releases))
    problems = check_audit(config).problems
    assert any("another one up to line 3 than when V1 was signed" in each for each in problems)


def test_completing_the_log_waits_for_whoever_moves_just_now(config: Config) -> None:
    """The mover's own line has a name; between its two lines it must not be noted without one."""
    releases = config.paths.releases
    completing = Thread(target=lambda: list(note_missing(releases)))
    with movers_lock(releases):
        move = Move(
            version="V3",
            digest="sha256:V3",
            reference="r",
            moved_at="2999-01-01T00:00:00+00:00",
            digest_before="sha256:V1",
        )
        note_move(releases, move)
        completing.start()
        completing.join(0.5)
        note_moved(releases, move, "ada")
    ended(completing)
    assert [entry.who for entry in read_audit(releases) if entry.subject == "V3"] == ["ada"]


def test_a_move_that_the_ledger_does_not_hold_is_told(config: Config) -> None:
    note(config.paths.releases, Deed.PUSHED, "V9", "ada", digest="sha256:V9")
    (problem,) = check_audit(config).problems
    assert "ada pushed V9" in problem and "the ledger does not hold" in problem


def test_moves_from_before_the_log_began_are_a_note(tmp_path: Path) -> None:
    """A unit that used earlier versions has a ledger, and no line could be written then."""
    config = Config(paths=PathsConfig(releases=tmp_path))
    old = Move(
        version="V0",
        digest="sha256:V0",
        reference="r",
        moved_at="2020-01-01T00:00:00+00:00",
        digest_before=None,
    )
    note_move(tmp_path, old)
    assert check_audit(config).problems == ()
    note(tmp_path, Deed.ASKED, "run-1")
    found = check_audit(config)
    assert found.problems == () and "1 move(s) of production" in found.notes[0]


def test_an_approval_that_was_altered_beside_its_release_is_told(config: Config) -> None:
    file = config.paths.releases / "V1" / "record" / "approval.json"
    file.write_text(file.read_text().replace("ada", "eve"))
    (problem,) = check_audit(config).problems
    assert "APPROVED by eve" in problem and "does not hold" in problem
    file.write_text("{}")
    (problem,) = check_audit(config).problems
    assert "cannot be read as an approval" in problem
    file.unlink()
    (problem,) = check_audit(config).problems
    assert problem.startswith("V1 is INCONCLUSIVE by its gate, and no approval of that decision")


@pytest.mark.parametrize(
    "other",
    [
        {"inputs": {"gate": "d0"}},  # of another run: the log holds that one, too
        {"asked": False, "answer": Answer.NOT_NEEDED},
    ],
)
def test_what_is_no_approval_of_that_decision_is_not_taken_for_one(
    config: Config, other: dict[str, Any]
) -> None:
    note(config.paths.releases, Deed.APPROVED, "run-0", "ada", "seen all misses", decision="d0")
    file = config.paths.releases / "V1" / "record" / "approval.json"
    record = ApprovalRecord.model_validate_json(file.read_bytes())
    file.write_text(record.model_copy(update=other).model_dump_json())
    (problem,) = check_audit(config).problems
    assert problem.startswith("V1 is INCONCLUSIVE by its gate, and no approval of that decision")


def test_a_statement_that_no_known_key_signed_is_told(config: Config) -> None:
    file = config.paths.releases / "V2" / "record" / f"{STATEMENT}.json"
    envelope = json.loads(file.read_text())
    file.write_text(json.dumps({**envelope, "payload": envelope["payload"][:-8] + "AAAAAAA="}))
    (problem,) = check_audit(config).problems
    assert "does not say how the log stood" in problem
    (config.paths.releases / "signing_key.pub").unlink()
    found = check_audit(config)
    assert found.problems == () and "not held against the signed statements" in found.notes[0]


def test_a_move_is_noted_once_and_again_after_another_one(config: Config) -> None:
    before = len(read_audit(config.paths.releases))
    again = moved(config, "V2", "sha256:V1")
    assert len(read_audit(config.paths.releases)) == before + 1
    note_moved(config.paths.releases, again)
    assert len(read_audit(config.paths.releases)) == before + 1
    assert check_audit(config).problems == ()


def test_a_move_whose_line_cannot_be_written_is_told_and_repaired(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", kib=32) as disk:
        config = Config(paths=PathsConfig(releases=disk))
        note(disk, Deed.ASKED, "run-1")
        move = Move(
            version="V1",
            digest="sha256:V1",
            reference="r",
            moved_at="2999-01-01T00:00:00+00:00",
            digest_before=None,
        )
        note_move(disk, move)
        fill(disk)
        with pytest.raises(StorageError, match="no space left"):
            for number in range(40):  # the log's last block has room for some lines
                note(disk, Deed.DRIFTED, f"{number}", why="x" * 1500)
        with pytest.raises(StorageError, match="no space left"):
            note_moved(disk, move, why="x" * 1500)
        (problem,) = check_audit(config).problems
        assert "production moved to V1" in problem
        (disk / "filler").unlink()
        note_moved(disk, move, "ada")
        assert check_audit(config).problems == ()


def test_who_acts_is_noted_where_no_name_is_given(tmp_path: Path) -> None:
    with acting("ada"):
        note(tmp_path, Deed.REMOVED, "V1")
        note(tmp_path, Deed.REMOVED, "V2", "grace")
    with acting(""):
        note(tmp_path, Deed.REMOVED, "V3")
    note(tmp_path, Deed.REMOVED, "V4")
    assert [entry.who for entry in read_audit(tmp_path)] == ["ada", "grace", PIPELINE, PIPELINE]
    assert person_here()


def test_a_deed_that_is_noted_once_keeps_its_place(tmp_path: Path) -> None:
    """The statement signs it: signed again, it must be the same."""
    first = noted_once(tmp_path, Deed.RELEASED, "V1")
    note(tmp_path, Deed.PUSHED, "V1")
    assert noted_once(tmp_path, Deed.RELEASED, "V1") == first
    assert noted_once(tmp_path, Deed.RELEASED, "V2").line == 3
    assert [place.line for _, place in read_places(tmp_path)] == [1, 2, 3]
