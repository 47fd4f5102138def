"""The new-data DAG: looks every five minutes, announces, and only then takes the flag."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from ml_tasks.config import save_config
from ml_tasks.dataset import announcement
from ml_tasks.dataset.raw_files import READY
from ml_tasks.errors import DataUnsettled
from tests.builders import toy_config, write_raw
from tests.dags.described import DAGS, describe


@pytest.fixture(scope="module")
def dag() -> dict[str, Any]:
    return describe(DAGS / "mammography_new_data.py")


def test_it_looks_every_five_minutes_one_look_at_a_time(dag: dict[str, Any]) -> None:
    assert dag["dag_id"] == "mammography_new_data"
    assert dag["cron"] == "*/5 * * * *"
    assert dag["max_active_runs"] == 1


def test_the_flag_goes_only_after_the_event(dag: dict[str, Any]) -> None:
    """The event is made as look ends: killed before that, the flag must still stand."""
    assert dag["edges"] == [["look", "take_flag"]]
    assert dag["outlets"] == {"look": ["mammography_new_data"], "take_flag": []}


def test_the_page_says_how_to_announce(dag: dict[str, Any]) -> None:
    for word in (READY, "_TAKEN-", "snapshot", "unchanged", "data_dir", "images", "green"):
        assert word in dag["doc"]
    assert set(dag["params"]) == {"data_dir"}


class _Place(SimpleNamespace):
    module: ModuleType
    raw: Path
    event: SimpleNamespace
    retraining: SimpleNamespace
    params: dict[str, Any]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Place:
    """The operators module as Airflow imports it, on raw data in a temporary folder."""
    monkeypatch.syspath_prepend(DAGS)
    monkeypatch.setattr(announcement, "SETTLE_SECONDS", 0.0)
    module = importlib.import_module("operators.new_data")
    config = toy_config(tmp_path)
    snapshots = config.paths.model_copy(update={"snapshots": tmp_path / "snapshots"})
    save_config(config.model_copy(update={"paths": snapshots}), tmp_path / "config.yaml")
    write_raw(config.paths.raw, patients=6)
    monkeypatch.setenv("MAMMO_CONFIG", str(tmp_path / "config.yaml"))
    assets = importlib.import_module("operators.assets")
    events = {assets.NEW_DATA: SimpleNamespace(extra={})}
    params: dict[str, Any] = {"data_dir": None}
    retraining = SimpleNamespace(is_paused=False)
    task = SimpleNamespace(get_dag={"mammography_retraining": retraining}.__getitem__)
    context = {"params": params, "outlet_events": events, "ti": task}
    monkeypatch.setattr(module, "get_current_context", lambda: context)
    event = events[assets.NEW_DATA]
    return _Place(
        module=module, raw=config.paths.raw, event=event, params=params, retraining=retraining
    )


def test_without_a_flag_the_look_is_skipped(place: _Place) -> None:
    with pytest.raises(AirflowSkipException, match="no new data"):
        place.module.look_for_data()
    assert place.event.extra == {}


def test_with_a_flag_the_event_carries_folder_count_and_snapshot(place: _Place) -> None:
    (place.raw / READY).touch()
    announced = place.module.look_for_data()
    assert place.event.extra["data_dir"] == str(place.raw)
    assert place.event.extra["images"] == len(list(place.raw.glob("*/*.png")))
    assert Path(place.event.extra["snapshot"], "listing.csv").exists()
    place.module.take_the_flag(announced)
    assert not (place.raw / READY).exists()


def test_a_flag_that_could_not_be_taken_announces_nothing(
    place: _Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would start a retraining every five minutes."""
    (place.raw / READY).touch()
    monkeypatch.setattr("ml_tasks.announce.os.access", lambda *_: False)  # root may everything
    with pytest.raises(AirflowException, match="announced again and again; give this user"):
        place.module.look_for_data()
    assert place.event.extra == {}
    place.params["data_dir"] = str(place.raw)
    place.module.look_for_data()
    assert place.event.extra["data_dir"] == str(place.raw), "by hand it is announced once"


def test_the_retraining_takes_the_snapshot_from_the_event(place: _Place) -> None:
    """What the one DAG says is what the other reads."""
    (place.raw / READY).touch()
    place.module.look_for_data()
    stage_task = importlib.import_module("operators.stage_task")
    event = SimpleNamespace(extra=place.event.extra, timestamp=1)
    context = {"params": {}, "triggering_asset_events": {"mammography_new_data": [event]}}
    assert stage_task.chosen_settings(context) == {
        "paths.raw": str(place.raw),
        "data.snapshot": place.event.extra["snapshot"],
    }


def test_a_copy_that_goes_on_is_tried_again_and_a_wrong_folder_is_not(
    place: _Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsettled(*_: Any) -> None:
        raise DataUnsettled("is the copy still going on?")

    place.params["data_dir"] = str(place.raw.parent / "nowhere")
    with pytest.raises(AirflowFailException, match="cannot be read"):
        place.module.look_for_data()
    monkeypatch.setattr(place.module, "announce", unsettled)
    with pytest.raises(AirflowException, match="still going on") as raised:
        place.module.look_for_data()
    assert not isinstance(raised.value, AirflowFailException)


def test_nothing_is_announced_to_a_retraining_that_is_paused(place: _Place) -> None:
    """Airflow drops events for a paused DAG: the data would never be trained on."""
    place.retraining.is_paused = True
    with pytest.raises(AirflowSkipException, match="no new data"):
        place.module.look_for_data()
    (place.raw / READY).touch()
    with pytest.raises(AirflowSkipException, match="is paused .* The flag stays"):
        place.module.look_for_data()
    place.params["data_dir"] = str(place.raw)
    with pytest.raises(AirflowFailException, match="is paused .* announce them again"):
        place.module.look_for_data()
    assert place.event.extra == {} and (place.raw / READY).exists()
