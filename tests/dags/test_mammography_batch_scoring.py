"""The batch scoring DAG as Airflow parses it: order, form, retries, cost of parsing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import annotated_types
import pytest

from ml_tasks.config import Config
from ml_tasks.config_operation import ScoringConfig
from ml_tasks.scoring.place import LONGEST_NAME, BatchPlace
from tests.dags.described import DAGS, describe

FILE = DAGS / "mammography_batch_scoring.py"


@pytest.fixture(scope="module")
def dag() -> dict[str, Any]:
    return describe(FILE)


def test_plan_then_the_shards_then_assemble_started_by_hand_alone(dag: dict[str, Any]) -> None:
    assert dag["dag_id"] == "mammography_batch_scoring"
    assert dag["edges"] == [["plan", "score"], ["score", "assemble"]]
    assert dag["mapped"] == ["score"]
    assert (dag["timetable"], dag["max_active_runs"]) == ("NullTimetable", 1)
    assert set(dag["queues"].values()) == {"default"}


def test_scoring_is_tried_more_often_since_each_try_goes_on(dag: dict[str, Any]) -> None:
    assert dag["retries"] == {"plan": 1, "score": 3, "assemble": 1}
    assert dag["timeouts"]["score"] == max(dag["timeouts"].values()) == 86_400
    assert all(dag["docs"].values())


def test_the_form_asks_for_the_folder_and_for_nothing_else(dag: dict[str, Any]) -> None:
    """No folder is the usual one: a run without it must not begin."""
    assert [name for name, param in dag["params"].items() if param["required"]] == ["folder"]
    assert set(dag["params"]) == {"folder", "name", "shards", "format"}
    for param in dag["params"].values():
        assert param["value"] is None
        assert param["schema"]["title"] and param["description"]


def test_the_bounds_of_the_form_are_those_of_the_settings(dag: dict[str, Any]) -> None:
    found = ScoringConfig.model_fields["shards"].metadata
    shards = dag["params"]["shards"]["schema"]
    assert shards["minimum"] == next(m.ge for m in found if isinstance(m, annotated_types.Ge))
    assert shards["maximum"] == next(m.le for m in found if isinstance(m, annotated_types.Le))
    name = dag["params"]["name"]["schema"]
    assert name["maxLength"] == LONGEST_NAME
    assert BatchPlace(Path("/s"), "b" * LONGEST_NAME)


def test_each_setting_of_the_form_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A field that no setting belongs to would be shown, filled in and ignored."""
    import importlib

    monkeypatch.syspath_prepend(FILE.parent)
    for setting in importlib.import_module("operators.scoring_task").SETTINGS.values():
        section, name = setting.split(".")
        assert name in type(getattr(Config(), section)).model_fields


def test_the_page_says_what_a_rerun_does_and_where_the_results_are(dag: dict[str, Any]) -> None:
    for word in ("re-run", "summary.html", "predictions.csv", "production", "clear", "mammo"):
        assert word in dag["doc"]
