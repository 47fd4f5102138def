"""What holds for every DAG file: cheap parsing, an explained page, limits, honest forms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.dags.described import DAG_FILES, DAGS, HEAVY, describe_file, own_variables

each_file = pytest.mark.parametrize("file", DAG_FILES, ids=lambda file: file.stem)


def _dags(file: Path) -> list[dict[str, Any]]:
    found = list(describe_file(file)["dags"].values())
    assert found, f"{file.name} lies where Airflow looks for DAGs, and holds none"
    return found


def test_there_are_dags() -> None:
    """Else every other test of this file would pass on nothing."""
    assert DAGS / "mammography_retraining.py" in DAG_FILES


@each_file
def test_parsing_loads_nothing_heavy(file: Path) -> None:
    """The scheduler parses the file every half minute; a heavy import would stall every DAG."""
    loaded = [n for n in describe_file(file)["new_modules"] if n.split(".")[0] in HEAVY]
    assert loaded == []


@each_file
def test_parsing_reads_no_file_but_code_and_no_variable_of_ours(file: Path) -> None:
    """What is read at parse time is read every half minute, in a process that runs no task."""
    found = describe_file(file)
    read = [Path(name) for name in found["files"] if "__pycache__" not in name]
    assert [path for path in read if DAGS not in path.parents] == []
    assert own_variables(found["environment"]) == []


@each_file
def test_the_page_explains_the_dag_and_each_task(file: Path) -> None:
    for dag in _dags(file):
        assert dag["doc"], "the module's docstring is the page"
        assert dag["doc"].strip().splitlines()[0].endswith("."), "it opens with one sentence"
        assert dag["display_name"] != dag["dag_id"]
        assert [task for task, doc in dag["docs"].items() if not doc] == []
        assert dag["tags"], "by which the page lists it"


@each_file
def test_it_never_catches_up_and_its_runs_are_limited(file: Path) -> None:
    """Airflow's default is 16 runs of a DAG side by side."""
    for dag in _dags(file):
        assert dag["catchup"] is False
        assert 1 <= dag["max_active_runs"] < 16


@each_file
def test_every_task_has_a_time_limit_and_tries_that_were_chosen(file: Path) -> None:
    for dag in _dags(file):
        assert [task for task, seconds in dag["timeouts"].items() if not seconds] == []
        assert all(0 <= count <= 5 for count in dag["retries"].values())
        assert [task for task, shown in dag["shown"].items() if shown] == []


@each_file
def test_a_task_that_fails_is_told_of(file: Path) -> None:
    """A nightly run that is red and that nobody was told of is a silent failure."""
    for dag in _dags(file):
        assert dag["on_failure"] == {task: ["MammoNotifier"] for task in dag["docs"]}


@each_file
def test_each_field_of_a_form_is_explained_and_its_default_is_allowed(file: Path) -> None:
    """A default that breaks its own schema makes every trigger from the page fail."""
    for dag in _dags(file):
        for name, param in dag["params"].items():
            assert param["schema"].get("title"), name
            assert param["description"], name
            assert param["fits"] is True, f"{name}: {param['fits']}"
            by_hand_alone = dag["timetable"] == "NullTimetable"
            assert not param["required"] or by_hand_alone, f"{name}: a schedule fills in no form"


def test_a_file_that_does_too_much_as_it_is_parsed_is_noticed(tmp_path: Path) -> None:
    """Else the tests above would pass on anything."""
    data = tmp_path.parent / f"{tmp_path.name}.txt"
    data.write_text("read at parse time")
    file = tmp_path / "careless.py"
    file.write_text(
        "import os\nfrom pathlib import Path\n"
        "import ml_tasks.errors\nfrom airflow.sdk import Param, dag\n"
        f"Path({str(data)!r}).read_text()\nos.environ.get('MAMMO_CONFIG')\n"
        "@dag(schedule=None, params={'n': Param(None, type='integer')})\n"
        "def careless():\n    pass\ncareless()\n"
    )
    found = describe_file(file)
    assert "ml_tasks.errors" in found["new_modules"]
    assert str(data) in found["files"]
    assert own_variables(found["environment"]) == ["MAMMO_CONFIG"]
    assert found["dags"]["careless"]["params"]["n"]["fits"] is not True
