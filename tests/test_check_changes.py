"""The stage check_changes: what counts as new, which run is compared with, who goes on anyway."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from ml_tasks import check_changes as stage
from ml_tasks import sequences
from ml_tasks.check_changes import check_changes, last_completed, settings_sha256
from ml_tasks.config import Config, load_config, save_config
from ml_tasks.errors import StageSkipped
from ml_tasks.records import ChangesRecord, Decision, ReleaseRecord, Verdict
from ml_tasks.release.approval import Answer, ApprovalRecord
from ml_tasks.run_paths import RECORD, RunPaths
from tests.builders import toy_config, validated, write_raw


@dataclasses.dataclass
class Place:
    """A configuration with raw data, in which runs are made up to wherever a test wants."""

    config: Config
    count: int = 0

    def begin(self, config: Config | None = None, **changes: Any) -> RunPaths:
        """A run up to validate_data, a minute later than the one before."""
        self.count += 1
        config = config or self.config
        run = RunPaths(config.paths.runs, f"r{self.count}")
        save_config(config, run.config)
        at = f"2026-01-02T03:{self.count:02}:00+00:00"
        validated(run, config, **{"started_at": at, "data_sha256": "d1", **changes})
        return run

    def check(self, force: bool = False, **changes: Any) -> ChangesRecord:
        return check_changes(self.begin(**changes), self.config, force)

    def completed(self, verdict: Verdict = Verdict.FAIL, **changes: Any) -> RunPaths:
        run = self.begin(**changes)
        check_changes(run, self.config)
        judge(run, verdict)
        return run


def judge(run: RunPaths, verdict: Verdict) -> None:
    with run.writing(Decision.stage) as work:
        run.seal(work, Decision(run_id=run.run_id, verdict=verdict, rules=()))


def answered(run: RunPaths, answer: Answer) -> None:
    record = ApprovalRecord(
        run_id=run.run_id,
        inputs=run.mark(Decision),
        asked=answer is not Answer.NOT_NEEDED,
        answer=answer,
        who="Dr Grey",
        why="seen",
    )
    with run.writing(ApprovalRecord.stage) as work:
        run.seal(work, record)


def ship(run: RunPaths) -> None:
    record = ReleaseRecord(
        run_id=run.run_id,
        version="20260102T030405Z-abcdefabcdef",
        reference="r",
        digest="sha256:1",
        image_id="i",
        bytes_pushed=1,
        bytes_skipped=1,
        production_before=None,
        production="p",
    )
    with run.writing(ReleaseRecord.stage) as work:
        run.seal(work, record)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    config = toy_config(tmp_path)
    write_raw(config.paths.raw, patients=4)
    return Place(config)


def test_a_first_run_is_never_unchanged(place: Place) -> None:
    record = place.check()
    assert record.goes_on and record.compared_with is None
    assert "no completed run" in record.summary()


def test_the_same_data_settings_and_code_are_unchanged_with_the_reason(place: Place) -> None:
    place.completed()
    record = place.check()
    assert not record.goes_on and record.changed == ()
    assert record.compared_with == "r1" and record.compared_end == "FAILED the gate"
    for word in ("UNCHANGED", "r1", "2026-01-02T03:01", "FAILED the gate", "Add data"):
        assert word in record.summary()


def test_other_data_settings_or_code_are_each_named(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.completed()
    assert place.check(data_sha256="d2").changed == ("data",)
    before = place.config
    gate = before.gate.model_copy(update={"min_auc": 0.123})
    place.config = before.model_copy(update={"gate": gate})
    assert place.check().changed == ("settings",)
    place.config = before
    monkeypatch.setattr(stage, "code_sha256", lambda: "other")
    assert place.check().changed == ("code",)


def test_data_of_unknown_content_are_never_the_same(place: Place) -> None:
    """A run of an older version has no such hash."""
    place.completed(data_sha256="")
    assert place.check(data_sha256="").changed == ("data",)


def test_who_asks_for_it_gets_a_training(place: Place) -> None:
    place.completed()
    record = place.check(force=True)
    assert record.goes_on and record.changed == () and record.forced
    assert "unchanged, but asked for" in record.summary()


def test_a_run_that_failed_or_was_killed_is_not_compared_with(place: Place) -> None:
    """Else what a full disk stopped would never be trained again."""
    check_changes(place.begin(), place.config)  # never judged
    passed = place.completed(Verdict.PASS)  # and failed at build_image
    record = place.check()
    assert record.compared_with is None and record.goes_on
    ship(passed)
    record = place.check()
    assert not record.goes_on
    assert record.compared_end == "shipped 20260102T030405Z-abcdefabcdef"


@pytest.mark.parametrize(
    ("verdict", "answer", "says"),
    [
        (Verdict.INCONCLUSIVE, None, None),
        (Verdict.INCONCLUSIVE, "rejected", "was INCONCLUSIVE at the gate and rejected"),
        (Verdict.PASS, "timed out", "was PASS at the gate and timed out"),
        (Verdict.INCONCLUSIVE, "approved", None),
        (Verdict.PASS, "not needed", None),
    ],
)
def test_what_the_gate_and_a_person_ended_is_complete(
    place: Place, verdict: Verdict, answer: str | None, says: str | None
) -> None:
    """Approved, it is complete only once it has shipped."""
    run = place.completed(verdict)
    if answer:
        answered(run, Answer(answer))
    assert place.check().compared_end == (says or "")


def test_inconclusive_is_the_end_only_where_nobody_is_to_be_asked(place: Place) -> None:
    """A run that was stopped while it waited for its answer would never be asked about again."""
    place.completed(Verdict.INCONCLUSIVE)
    assert place.check().compared_with is None
    never = place.config.approval.model_copy(update={"ask": "never"})
    place.config = place.config.model_copy(update={"approval": never})
    place.completed(Verdict.INCONCLUSIVE)
    assert place.check().compared_end == "was INCONCLUSIVE at the gate"


def test_an_answer_counts_for_the_decision_that_it_was_given_to(place: Place) -> None:
    """Judged anew, the model waits for another."""
    run = place.completed(Verdict.INCONCLUSIVE)
    answered(run, Answer.REJECTED)
    assert "rejected" in place.check().compared_end
    judge(run, Verdict.PASS)
    assert place.check().compared_with is None


def test_a_run_that_was_not_to_ship_is_complete(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKIP_DOCKER", "1")
    run = place.completed(Verdict.PASS)
    with pytest.raises(StageSkipped):
        sequences._stage("build_image")(run, place.config)
    assert "was not to ship (SKIP_DOCKER is set" in place.check().compared_end


def test_the_newest_completed_run_counts_not_the_newest_folder(place: Place) -> None:
    place.completed(data_sha256="old")
    place.completed(data_sha256="new")
    check_changes(place.begin(), place.config)
    assert place.check(data_sha256="old").changed == ("data",)
    assert place.check(data_sha256="new").changed == ()


def test_an_unreadable_old_run_is_passed_over(place: Place) -> None:
    run = place.completed()
    (run.stage(ChangesRecord.stage) / RECORD).write_text("{}")
    assert place.check().compared_with is None


def test_where_things_lie_and_who_is_told_decide_nothing(place: Place, tmp_path: Path) -> None:
    same = {
        "paths.raw": str(tmp_path / "elsewhere"),
        "data.snapshot": str(tmp_path / "snapshot"),
        "cleaning.shards": 4,
        "tracking.experiment": "other",
        "notifications.connection": "mail",
        "drift.window_days": 30,
        "release.push_attempts": 9,
    }
    other = {
        "training.seed": 5,
        "data.min_side": 64,
        "release.precision": "int8",
        "approval.ask": "never",
    }
    save_config(place.config, tmp_path / "config.yaml")
    before = settings_sha256(load_config(tmp_path / "config.yaml"))
    for key, value in same.items():
        assert settings_sha256(load_config(tmp_path / "config.yaml", {key: value})) == before, key
    for key, value in other.items():
        assert settings_sha256(load_config(tmp_path / "config.yaml", {key: value})) != before, key


def test_a_weights_file_counts_by_its_content(place: Place, tmp_path: Path) -> None:
    save_config(place.config, tmp_path / "config.yaml")
    found = set()
    for name, content in (("a.h5", b"one"), ("b.h5", b"one"), ("a.h5", b"two")):
        (tmp_path / name).write_bytes(content)
        config = load_config(tmp_path / "config.yaml", {"model.weights": name})
        found.add(settings_sha256(config))
    assert len(found) == 2


def test_it_runs_by_its_name_and_can_be_forced(place: Place, tmp_path: Path) -> None:
    save_config(place.config, tmp_path / "config.yaml")
    place.completed()
    run = place.begin()
    for force in (False, True):
        record = sequences.run_stage(
            "check_changes", run.run_id, tmp_path / "config.yaml", force=force
        )
        assert isinstance(record, ChangesRecord) and record.goes_on is force
    assert last_completed(run) is not None
